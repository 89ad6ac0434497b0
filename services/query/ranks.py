"""Ranks: exact, and at the same cost for the first lead and the last, from the counts of leads by score."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.schema import SCORE_COUNTS


async def rank_of(connection: AsyncConnection, tenant_id: str, score: int) -> int:
    """One more than the leads with a higher score: equal scores share a rank, 1, 1, 3."""
    above = select(func.coalesce(func.sum(SCORE_COUNTS.c.leads), 0)).where(
        SCORE_COUNTS.c.tenant_id == tenant_id, SCORE_COUNTS.c.score > score
    )
    return 1 + int((await connection.execute(above)).scalar_one())


async def total_leads(connection: AsyncConnection, tenant_id: str) -> int:
    """How many leads a tenant has."""
    total = select(func.coalesce(func.sum(SCORE_COUNTS.c.leads), 0)).where(SCORE_COUNTS.c.tenant_id == tenant_id)
    return int((await connection.execute(total)).scalar_one())
