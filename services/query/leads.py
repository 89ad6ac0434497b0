"""One lead, and its rank."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.ranks import standing_of
from services.query.reading import snapshot
from services.query.wire import set_times, to_struct
from services.shared.errors import NotFound
from services.shared.schema import LEADS

SHOWN = [column for column in LEADS.c if column.name not in ("state", "explanation")]
"""Without what only the scorer reads, which is most of a row."""


async def get_lead(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.Lead:
    """A lead with its rank. Raises NotFound."""
    async with snapshot(engine) as connection:
        row = await find_lead(connection, tenant_id, lead_id)
        standing = await standing_of(connection, tenant_id, row.score)
    lead = contract.Lead(
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        rank=standing.rank,
        version=row.version,
        profile=to_struct(row.profile),
        status=row.status,
        event_count=row.event_count,
        model_version=row.model_version,
    )
    set_times(lead, first_event_at=row.first_event_at, last_event_at=row.last_event_at, updated_at=row.updated_at)
    return lead


async def get_rank(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.GetRankResponse:
    """A lead's rank. Raises NotFound."""
    async with snapshot(engine) as connection:
        row = await find_lead(connection, tenant_id, lead_id)
        standing = await standing_of(connection, tenant_id, row.score)
    return contract.GetRankResponse(lead_id=lead_id, rank=standing.rank, score=row.score, total_leads=standing.total)


async def find_lead(connection: AsyncConnection, tenant_id: str, lead_id: str) -> Row[Any]:
    """A lead's row. Raises NotFound."""
    query = select(*SHOWN).where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == lead_id)
    # PostgreSQL does not even take a NUL as a parameter, and no lead has one.
    row = (await connection.execute(query)).one_or_none() if "\0" not in lead_id else None
    if row is None:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    return row
