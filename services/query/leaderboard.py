"""The leads by score: pages by key, in a total order, with exact ranks."""

from collections.abc import Sequence
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, Select, Subquery, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import Node, comparisons_in
from services.query.leads import SHOWN, find_lead
from services.query.orders import BEST_FIRST, BEST_LAST, Order
from services.query.pages import Page, Stretch, Walk, read_page
from services.query.ranks import ranks_of, ranks_of_page, standing_of
from services.query.reading import PAGE_SIZE_DEFAULT, decode_key, encode_key, snapshot
from services.query.wire import set_times
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEADS

ENTRY = (
    "lead_id", "score", "engagement", "fit", "grade", "version", "last_event_at", "status", "owner", "machine_score",
)  # fmt: skip
"""What is shown of a row, beside what the profile has."""


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
    tree = parse_filter(filter_text)
    size = page_size or PAGE_SIZE_DEFAULT
    after = decode_key(page_token, BEST_FIRST.shape, "leaderboard", filter_text)
    if around_lead_id and page_token:
        raise InvalidRequest([FieldViolation("around_lead_id", "must not be given with a page token")])
    async with snapshot(engine) as connection:
        if around_lead_id:
            page = await _page_around(connection, tenant_id, around_lead_id, size, tree)
        else:
            page = await read_page(connection, _walk(tenant_id, BEST_FIRST, BEST_FIRST.behind(after), tree), size)
        scores = [row.score for row in page.rows]
        first = await standing_of(connection, tenant_id, scores[0] if scores else 0)
        if tree:
            by_score = await ranks_of(connection, tenant_id, scores)
            ranks = [by_score[score] for score in scores]
        else:
            ranks = ranks_of_page(scores, first)
    return contract.ListLeaderboardResponse(
        entries=[_entry(row, rank) for row, rank in zip(page.rows, ranks, strict=True)],
        next_page_token=encode_key(page.after, "leaderboard", filter_text) if page.after else "",
        total_leads=first.total,
    )


async def _page_around(connection: AsyncConnection, tenant_id: str, lead_id: str, size: int, tree: Node | None) -> Page:
    """A page with a lead in its middle, or with where it would be if a filter does not let it pass."""
    lead = await find_lead(connection, tenant_id, lead_id)
    key = lead.score, lead.lead_id
    above: list[Row[Any]] = []
    if half := size // 2:
        above = (await read_page(connection, _walk(tenant_id, BEST_LAST, BEST_LAST.behind(key), tree), half)).rows
    below = _walk(tenant_id, BEST_FIRST, [Stretch(LEADS.c.lead_id == lead_id), *BEST_FIRST.behind(key)], tree)
    page = await read_page(connection, below, size - len(above))
    return Page([*reversed(above), *page.rows], page.after)


def _walk(tenant_id: str, order: Order, stretches: Sequence[Stretch], tree: Node | None) -> Walk:
    leads = select(*SHOWN).where(LEADS.c.tenant_id == tenant_id)

    def shown(near: Subquery) -> Select[Any]:
        of_profile = [near.c.profile[key].label(key) for key in ("name", "company")]
        query = select(*(near.c[name] for name in ENTRY), *of_profile)
        return query.where(condition_of(tree, near.c)) if tree else query

    return Walk(LEADS, leads, stretches, order.ordering, shown, comparisons=comparisons_in(tree))


def _entry(row: Row[Any], rank: int) -> contract.LeaderboardEntry:
    entry = contract.LeaderboardEntry(
        rank=rank,
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
    """A value of a profile, if it is a text."""
    return value if isinstance(value, str) else ""
