"""The leads by score: pages by key, in a total order, with exact ranks."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.ranks import ranks_of_page, standing_of
from services.query.reading import PAGE_SIZE_DEFAULT, Key, Score, snapshot
from services.query.wire import set_times
from services.shared.schema import LEADS
from services.shared.tokens import decode_page, encode_page

ENTRY = (
    LEADS.c.lead_id,
    LEADS.c.score,
    LEADS.c.engagement,
    LEADS.c.fit,
    LEADS.c.grade,
    LEADS.c.version,
    LEADS.c.last_event_at,
    LEADS.c.profile["name"].label("name"),
    LEADS.c.profile["company"].label("company"),
    LEADS.c.status,
)


async def list_leaderboard(
    engine: AsyncEngine, tenant_id: str, page_size: int, page_token: str
) -> contract.ListLeaderboardResponse:
    """A page of the leaderboard. Equal scores are in the order of their lead ids, by code point."""
    size = page_size or PAGE_SIZE_DEFAULT
    after = decode_page(page_token, tuple[Score, Key])
    async with snapshot(engine) as connection:
        rows = await _rows_after(connection, tenant_id, after, size + 1)
        first = await standing_of(connection, tenant_id, rows[0].score if rows else 0)
    page = rows[:size]
    more = encode_page((page[-1].score, page[-1].lead_id)) if len(rows) > size else ""
    ranks = ranks_of_page([row.score for row in page], first)
    entries = [_entry(row, rank) for row, rank in zip(page, ranks, strict=True)]
    return contract.ListLeaderboardResponse(entries=entries, next_page_token=more, total_leads=first.total)


async def _rows_after(
    connection: AsyncConnection, tenant_id: str, after: tuple[int, str] | None, limit: int
) -> list[Row[Any]]:
    """The rows behind a key. First the rest of its score, then the lower ones: as one condition the two would be walked
    to from the first lead with that score, and thousands may share one.
    """
    leads = select(*ENTRY).where(LEADS.c.tenant_id == tenant_id)
    if after is None:
        return await _first_rows(connection, leads, limit)
    score, lead_id = after
    level = leads.where(LEADS.c.score == score, LEADS.c.lead_id > lead_id)
    rows = await _first_rows(connection, level, limit)
    if len(rows) < limit:
        rows += await _first_rows(connection, leads.where(LEADS.c.score < score), limit - len(rows))
    return rows


async def _first_rows(connection: AsyncConnection, leads: Select[Any], limit: int) -> list[Row[Any]]:
    query = leads.order_by(LEADS.c.score.desc(), LEADS.c.lead_id).limit(limit)
    return list((await connection.execute(query)).all())


def _entry(row: Row[Any], rank: int) -> contract.LeaderboardEntry:
    entry = contract.LeaderboardEntry(
        rank=rank,
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        name=_text(row.name),
        company=_text(row.company),
        status=row.status,
    )
    set_times(entry, last_event_at=row.last_event_at)
    return entry


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
