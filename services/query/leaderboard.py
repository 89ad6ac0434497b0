"""The leads by score: pages by key, in a total order, with exact ranks."""

from collections.abc import Sequence
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.ranks import rank_of, total_leads
from services.query.reading import PAGE_SIZE_DEFAULT, snapshot
from services.query.wire import set_times
from services.shared.schema import LEADS
from services.shared.tokens import decode_page, encode_page


async def list_leaderboard(
    engine: AsyncEngine, tenant_id: str, page_size: int, page_token: str
) -> contract.ListLeaderboardResponse:
    """A page of the leaderboard. Equal scores are in the order of their lead ids, by code point."""
    size = page_size or PAGE_SIZE_DEFAULT
    query = select(LEADS).where(LEADS.c.tenant_id == tenant_id)
    if after := decode_page(page_token, tuple[int, str]):
        score, lead_id = after
        behind = or_(LEADS.c.score < score, and_(LEADS.c.score == score, LEADS.c.lead_id > lead_id))
        # The first part alone bounds the walk along the index.
        query = query.where(LEADS.c.score <= score, behind)
    query = query.order_by(LEADS.c.score.desc(), LEADS.c.lead_id).limit(size + 1)
    async with snapshot(engine) as connection:
        rows = (await connection.execute(query)).all()
        first_rank = await rank_of(connection, tenant_id, rows[0].score) if rows else 1
        # Ranks within the page follow from how many leads share the first one's score, some of them on pages before.
        second_rank = await rank_of(connection, tenant_id, rows[0].score - 1) if rows else 1
        total = await total_leads(connection, tenant_id)
    page = rows[:size]
    more = encode_page((page[-1].score, page[-1].lead_id)) if len(rows) > size else ""
    entries = [_entry(row, rank) for row, rank in zip(page, _ranks(page, first_rank, second_rank), strict=True)]
    return contract.ListLeaderboardResponse(entries=entries, next_page_token=more, total_leads=total)


def _ranks(page: Sequence[Row[Any]], first_rank: int, second_rank: int) -> list[int]:
    """The ranks of a page whose first score has `first_rank`, and whose next lower score has `second_rank`."""
    ranks: list[int] = []
    first_ties = sum(row.score == page[0].score for row in page)
    for index, row in enumerate(page):
        if row.score == page[0].score:
            ranks.append(first_rank)
        elif row.score == page[index - 1].score:
            ranks.append(ranks[-1])
        else:
            ranks.append(second_rank + index - first_ties)
    return ranks


def _entry(row: Row[Any], rank: int) -> contract.LeaderboardEntry:
    entry = contract.LeaderboardEntry(
        rank=rank,
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        name=_text(row.profile.get("name")),
        company=_text(row.profile.get("company")),
        status=row.status,
    )
    set_times(entry, last_event_at=row.last_event_at)
    return entry


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
