"""The ledger of one lead."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from leadscore.score.v1 import score_pb2
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.leads import askable, check_lead
from services.query.pages import WANTED, take_alone
from services.query.reading import PAGE_SIZE_DEFAULT, Whole
from services.query.statements import Statement
from services.query.wire import set_times
from services.shared.paging import Filling
from services.shared.schema import LEDGER
from services.shared.tokens import decode_page, encode_page

FROM_NEWEST = 2**63 - 1
"""Below this is every sequence."""
CHANGES = Statement(
    select(LEDGER)
    .where(
        LEDGER.c.tenant_id == bindparam("tenant_id"),
        LEDGER.c.lead_id == bindparam("lead_id"),
        LEDGER.c.sequence < bindparam("below"),
    )
    .order_by(LEDGER.c.sequence.desc())
    .limit(WANTED)
)


async def list_history(
    engine: AsyncEngine, tenant_id: str, lead_id: str, page_size: int, page_token: str
) -> contract.ListHistoryResponse:
    """A page of a lead's changes, newest first. Raises NotFound."""
    below = decode_page(page_token, Whole)
    parameters = {"tenant_id": tenant_id, "lead_id": askable(lead_id), "below": FROM_NEWEST if below is None else below}
    page = Filling(page_size or PAGE_SIZE_DEFAULT, _entry)
    await take_alone(engine, CHANGES, page, parameters)
    if not page.items:
        await check_lead(engine, tenant_id, lead_id)
    more = encode_page(page.items[-1].sequence) if page.is_full else ""
    return contract.ListHistoryResponse(entries=page.items, next_page_token=more)


def _entry(row: Any) -> contract.LedgerEntry:
    entry = contract.LedgerEntry(
        sequence=row.sequence,
        delta=row.delta,
        score_before=row.score_before,
        score_after=row.score_after,
        cause=row.cause,
        event_id=row.event_id,
        type=row.type,
        model_version=row.model_version,
        contributions=[score_pb2.Contribution(**each) for each in row.contributions],
        crossings=[score_pb2.Crossing(**each) for each in row.crossings or ()],
    )
    set_times(entry, occurred_at=row.occurred_at, recorded_at=row.recorded_at)
    return entry
