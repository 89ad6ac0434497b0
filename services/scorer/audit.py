"""Who changed what, and when."""

from typing import Any

from leadscore.admin.v1 import admin_service_pb2 as contract
from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.scorer.wire import to_struct, to_timestamp
from services.shared.clock import to_datetime, to_us
from services.shared.credentials import Caller
from services.shared.paging import Filling
from services.shared.schema import AUDIT
from services.shared.tokens import decode_page, encode_page

PAGE_SIZE_DEFAULT = 50


async def record(
    connection: AsyncConnection, caller: Caller, now_us: int, action: str, subject: str, **details: Any
) -> None:
    """Adds an entry, in the transaction of what it tells of."""
    await connection.execute(
        insert(AUDIT).values(
            tenant_id=caller.tenant_id,
            at=to_datetime(now_us),
            actor=caller.actor,
            action=action,
            subject=subject,
            details={name: value for name, value in details.items() if value not in (None, "")},
        )
    )


async def list_audit(
    engine: AsyncEngine, tenant_id: str, request: contract.ListAuditRequest
) -> contract.ListAuditResponse:
    """A page of a tenant's audit log, newest first."""
    query = select(AUDIT).where(AUDIT.c.tenant_id == tenant_id)
    if request.subject:
        query = query.where(AUDIT.c.subject == request.subject)
    if (below := decode_page(request.page_token, int)) is not None:
        query = query.where(AUDIT.c.entry_id < below)
    page = Filling(request.page_size or PAGE_SIZE_DEFAULT, _entry)
    async with engine.connect() as connection:
        await page.take(connection, query.order_by(AUDIT.c.entry_id.desc()))
    more = encode_page(page.items[-1].entry_id) if page.is_full else ""
    return contract.ListAuditResponse(entries=page.items, next_page_token=more)


def _entry(row: Row[Any]) -> contract.AuditEntry:
    return contract.AuditEntry(
        entry_id=row.entry_id,
        at=to_timestamp(to_us(row.at)),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        details=to_struct(row.details),
    )
