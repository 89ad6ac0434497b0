"""The events of one lead."""

from functools import cache
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import ARRAY, Select, Subquery, Text, and_, bindparam, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.leads import find_lead
from services.query.pages import Ordering, Stretch, Walk, read_page
from services.query.reading import PAGE_SIZE_DEFAULT, Key, Moment, decode_key, encode_key, still
from services.query.wire import fill_struct, set_times
from services.shared.clock import to_datetime
from services.shared.facts.identity import fold_type
from services.shared.paging import Filling
from services.shared.schema import EVENTS

ORDERING = Ordering([("occurred_at", True), ("event_id", False)])
AFTER_AT = bindparam("after_occurred_at", type_=EVENTS.c.occurred_at.type)
AFTER_ID = bindparam("after_event_id", type_=EVENTS.c.event_id.type)
BEHIND = and_(
    # Alone, this can be looked up in the index.
    EVENTS.c.occurred_at <= AFTER_AT,
    or_(EVENTS.c.occurred_at < AFTER_AT, EVENTS.c.event_id > AFTER_ID),
)
SHOWN = [column for column in EVENTS.c if column.name != "digest"]


async def list_events(
    engine: AsyncEngine, tenant_id: str, request: contract.ListEventsRequest
) -> contract.ListEventsResponse:
    """A page of a lead's events, newest first. Raises InvalidRequest and NotFound."""
    # PostgreSQL takes no NUL, and no event has one.
    types = sorted({fold_type(each) for each in request.types if "\0" not in each})
    call = "events", request.lead_id, types, bool(request.types)
    after = decode_key(request.page_token, tuple[Moment, Key], *call)
    parameters = {"tenant_id": tenant_id, "lead_id": request.lead_id, "types": types, **_parameters(after)}
    async with still(engine) as driver:
        await find_lead(driver, tenant_id, request.lead_id)
        page = Filling(request.page_size or PAGE_SIZE_DEFAULT, _event)
        behind = await read_page(driver, _walk(after is not None, bool(request.types)), page, parameters)
    more = encode_key(behind, *call) if behind else ""
    return contract.ListEventsResponse(events=page.items, next_page_token=more)


@cache
def _walk(has_after: bool, has_types: bool) -> Walk:
    of_lead = EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.lead_id == bindparam("lead_id")
    events = select(*SHOWN).where(*of_lead)

    def shown(near: Subquery) -> Select[Any]:
        # The suite's own facts about a lead are no events.
        query = select(near).where(func.left(near.c.type, 1) != "$")
        return query.where(near.c.type == func.any(bindparam("types", type_=ARRAY(Text)))) if has_types else query

    return Walk(EVENTS, events, [Stretch(BEHIND if has_after else true())], ORDERING, shown, comparisons=1)


def _parameters(after: tuple[int, str] | None) -> dict[str, object]:
    return {} if after is None else {AFTER_AT.key: to_datetime(after[0]), AFTER_ID.key: after[1]}


def _event(row: Any) -> contract.StoredEvent:
    event = contract.StoredEvent(event_id=row.event_id, type=row.type, source=row.source)
    if row.properties is not None:
        fill_struct(event.properties, row.properties)
    set_times(event, occurred_at=row.occurred_at, received_at=row.received_at)
    return event
