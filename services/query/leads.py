"""One lead, and its rank."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.ranks import rank_of, total_leads
from services.query.reading import snapshot
from services.query.wire import set_times, to_struct
from services.shared.errors import NotFound
from services.shared.schema import LEADS


async def get_lead(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.Lead:
    """A lead with its rank. Raises NotFound."""
    async with snapshot(engine) as connection:
        row = await find_lead(connection, tenant_id, lead_id)
        rank = await rank_of(connection, tenant_id, row.score)
    lead = contract.Lead(
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        rank=rank,
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
        return contract.GetRankResponse(
            lead_id=lead_id,
            rank=await rank_of(connection, tenant_id, row.score),
            score=row.score,
            total_leads=await total_leads(connection, tenant_id),
        )


async def find_lead(connection: AsyncConnection, tenant_id: str, lead_id: str) -> Row[Any]:
    """A lead's row. Raises NotFound."""
    query = select(LEADS).where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == lead_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    return row
