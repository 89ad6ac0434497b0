"""The leads by score: pages by key, in a total order, with exact ranks."""

from enum import Enum, auto
from functools import lru_cache
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, Select, Subquery, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import comparisons_in
from services.query.leads import SHOWN, find_lead
from services.query.orders import BEST_FIRST, BEST_LAST, Form, form_of
from services.query.pages import WALKS_KEPT_MAX, Key, Stretch, Walk, read_page, read_page_alone
from services.query.ranks import TOTAL, ranks
from services.query.reading import PAGE_SIZE_DEFAULT, decode_key, encode_key, read, snapshot
from services.query.wire import set_times
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.paging import PAGE_BYTES_MAX, Filling
from services.shared.schema import LEADS

ENTRY = (
    "lead_id", "score", "engagement", "fit", "grade", "version", "last_event_at", "status", "owner", "machine_score",
)  # fmt: skip
"""What is shown of a row, beside what the profile has."""
TEXT_LENGTH_MAX = 200
"""Of a name or a company: enough for a line, and a thousand of them fit one answer."""


async def list_leaderboard(
    engine: AsyncEngine,
    tenant_id: str,
    page_size: int,
    page_token: str,
    around_lead_id: str = "",
    filter_text: str = "",
) -> contract.ListLeaderboardResponse:
    """A page of the leaderboard. Equal scores are in the order of their lead ids, by code point. Raises InvalidRequest,
    and NotFound for a lead of which nothing is known.
    """
    size = page_size or PAGE_SIZE_DEFAULT
    after = decode_key(page_token, BEST_FIRST.shape, "leaderboard", filter_text)
    if around_lead_id and page_token:
        raise InvalidRequest([FieldViolation("around_lead_id", "must not be given with a page token")])
    if around_lead_id:
        entries, last, behind = await _entries_around(engine, tenant_id, around_lead_id, size, filter_text)
    else:
        page = Filling(size, _entry)
        parameters = {"tenant_id": tenant_id, **BEST_FIRST.parameters(after)}
        behind = await read_page_alone(engine, _walk(Way.DOWN, form_of(after), filter_text), page, parameters)
        entries, last = page.items, page.last
    total = (await read(engine, TOTAL, tenant_id=tenant_id))[0].total if last is None else last.total
    more = encode_key(behind, "leaderboard", filter_text) if behind else ""
    return contract.ListLeaderboardResponse(entries=entries, next_page_token=more, total_leads=total)


async def _entries_around(
    engine: AsyncEngine, tenant_id: str, lead_id: str, size: int, filter_text: str
) -> tuple[list[contract.LeaderboardEntry], Row[Any] | None, Key | None]:
    """A page with a lead in its middle, or with where it would be if a filter does not let it pass. Also the row of one
    of the entries, if there are any.
    """
    async with snapshot(engine) as connection:
        lead = await find_lead(connection, tenant_id, lead_id)
        key = lead.score, lead.lead_id
        parameters = {"tenant_id": tenant_id, **BEST_FIRST.parameters(key)}
        above = Filling(size // 2, _entry, PAGE_BYTES_MAX // 2)
        if size > 1:
            await read_page(connection, _walk(Way.UP, form_of(key), filter_text), above, parameters)
        below = Filling(size - len(above.items), _entry, PAGE_BYTES_MAX // 2 + above.bytes_left)
        behind = await read_page(connection, _walk(Way.DOWN_FROM_IT, form_of(key), filter_text), below, parameters)
    return [*reversed(above.items), *below.items], below.last or above.last, behind


class Way(Enum):
    """Which way to go from a lead's place."""

    DOWN = auto()
    DOWN_FROM_IT = auto()
    """Beginning with the lead itself."""
    UP = auto()


@lru_cache(WALKS_KEPT_MAX)
def _walk(way: Way, form: Form, filter_text: str) -> Walk:
    order, tree = BEST_LAST if way is Way.UP else BEST_FIRST, parse_filter(filter_text)
    itself = [Stretch(LEADS.c.lead_id == bindparam("after_lead_id"))] if way is Way.DOWN_FROM_IT else []
    leads = select(*SHOWN).where(LEADS.c.tenant_id == bindparam("tenant_id"))

    def shown(near: Subquery) -> Select[Any]:
        of_profile = [near.c.profile[key].label(key) for key in ("name", "company")]
        query = select(*(near.c[name] for name in ENTRY), *of_profile)
        return query.where(condition_of(tree, near.c)) if tree else query

    def ranked(found: Subquery) -> Select[Any]:
        known = ranks()
        return select(found, known.c.rank, known.c.total).join_from(found, known, known.c.score == found.c.score)

    return Walk(LEADS, leads, [*itself, *order.behind(form)], order.ordering, shown, comparisons_in(tree), ranked)


def _entry(row: Row[Any]) -> contract.LeaderboardEntry:
    entry = contract.LeaderboardEntry(
        rank=row.rank,
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        name=text_of(row.name),
        company=text_of(row.company),
        status=row.status,
        owner=row.owner,
        machine_score=row.machine_score,
    )
    set_times(entry, last_event_at=row.last_event_at)
    return entry


def text_of(value: object) -> str:
    """The beginning of a value of a profile, if it is a text."""
    return value[:TEXT_LENGTH_MAX] if isinstance(value, str) else ""
