"""What was set apart, as it is listed."""

from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.scoring.lead import PROFILE
from services.scorer.wire import to_struct, to_timestamp
from services.shared.clock import to_us
from services.shared.schema import QUARANTINE
from services.shared.tokens import decode_page, encode_page

PAGE_SIZE_DEFAULT = 50


async def list_quarantine(
    engine: AsyncEngine, tenant_id: str, page_size: int, page_token: str
) -> contract.ListQuarantineResponse:
    """A page of a tenant's quarantine, newest first."""
    size = page_size or PAGE_SIZE_DEFAULT
    below = decode_page(page_token, int)
    query = select(QUARANTINE).where(QUARANTINE.c.tenant_id == tenant_id)
    if below is not None:
        query = query.where(QUARANTINE.c.item_id < below)
    async with engine.connect() as connection:
        rows = (await connection.execute(query.order_by(QUARANTINE.c.item_id.desc()).limit(size + 1))).all()
    more = encode_page(rows[size - 1].item_id) if len(rows) > size else ""
    return contract.ListQuarantineResponse(items=[_item(row) for row in rows[:size]], next_page_token=more)


def _item(row: Row[tuple[object, ...]]) -> contract.QuarantinedEvent:
    item = contract.QuarantinedEvent(
        event_id=row.event_id,
        lead_id=row.lead_id,
        reason=row.reason,
        detail=row.detail,
        type="" if row.type == PROFILE else row.type,
        source=row.source,
        standing_lead_id=row.standing_lead_id,
        quarantined_at=to_timestamp(to_us(row.quarantined_at)),
        item_id=row.item_id,
    )
    if row.occurred_at is not None:
        item.occurred_at.CopyFrom(to_timestamp(to_us(row.occurred_at)))
    if row.properties is not None:
        item.properties.CopyFrom(to_struct(row.properties))
    return item
