"""The events of one lead."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import ColumnElement, Row, Select, Subquery, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.leads import find_lead
from services.query.pages import Ordering, Stretch, Walk, read_page
from services.query.reading import PAGE_SIZE_DEFAULT, Key, Moment, decode_key, encode_key, snapshot
from services.query.wire import set_times, to_struct
from services.shared.clock import to_datetime
from services.shared.facts.identity import fold_type
from services.shared.paging import Filling
from services.shared.schema import EVENTS

ORDERING = Ordering([("occurred_at", True), ("event_id", False)])
SHOWN = [column for column in EVENTS.c if column.name != "digest"]


async def list_events(
    engine: AsyncEngine, tenant_id: str, request: contract.ListEventsRequest
) -> contract.ListEventsResponse:
    """A page of a lead's events, newest first. Raises InvalidRequest and NotFound."""
    # PostgreSQL takes no NUL, and no event has one.
    types = sorted({fold_type(each) for each in request.types if "\0" not in each})
    call = "events", request.lead_id, types, bool(request.types)
    after = decode_key(request.page_token, tuple[Moment, Key], *call)
    walk = _walk(tenant_id, request.lead_id, after, types if request.types else None)
    async with snapshot(engine) as connection:
        await find_lead(connection, tenant_id, request.lead_id)
        page = Filling(request.page_size or PAGE_SIZE_DEFAULT, _event)
        behind = await read_page(connection, walk, page)
    more = encode_key(behind, *call) if behind else ""
    return contract.ListEventsResponse(events=page.items, next_page_token=more)


def _walk(tenant_id: str, lead_id: str, after: tuple[int, str] | None, types: list[str] | None) -> Walk:
    events = select(*SHOWN).where(EVENTS.c.tenant_id == tenant_id, EVENTS.c.lead_id == lead_id)

    def shown(near: Subquery) -> Select[Any]:
        # The suite's own facts about a lead are no events.
        query = select(near).where(func.left(near.c.type, 1) != "$")
        return query if types is None else query.where(near.c.type.in_(types))

    return Walk(EVENTS, events, [Stretch(_behind(after))], ORDERING, shown, comparisons=1)


def _behind(after: tuple[int, str] | None) -> ColumnElement[bool]:
    if after is None:
        return true()
    at, event_id = to_datetime(after[0]), after[1]
    # The first half alone can be looked up in the index.
    return and_(EVENTS.c.occurred_at <= at, or_(EVENTS.c.occurred_at < at, EVENTS.c.event_id > event_id))


def _event(row: Row[Any]) -> contract.StoredEvent:
    event = contract.StoredEvent(event_id=row.event_id, type=row.type, source=row.source)
    if row.properties is not None:
        event.properties.CopyFrom(to_struct(row.properties))
    set_times(event, occurred_at=row.occurred_at, received_at=row.received_at)
    return event
