"""Rescores in the background: begun, looked at, cancelled. The scorers do the work in their chores."""

from typing import Any

from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import ColumnElement, Row, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.scorer import audit
from services.scorer.wire import to_timestamp
from services.shared.clock import Clock, to_datetime, to_us
from services.shared.credentials import Caller
from services.shared.errors import NotFound
from services.shared.paging import Filling
from services.shared.schema import OPERATION_PARTITIONS, OPERATIONS, PARTITIONS, SCORE_COUNTS, TENANTS
from services.shared.tokens import decode_page, encode_page

RUNNING = contract.OPERATION_STATE_RUNNING
CANCELLED = contract.OPERATION_STATE_CANCELLED
PAGE_SIZE_DEFAULT = 50

Stored = Row[Any]


async def begin(connection: AsyncConnection, caller: Caller, version: int, now_us: int) -> contract.Operation:
    """Begins to score all leads of a tenant anew by a version, in place of what is under way."""
    tenant_id = caller.tenant_id
    await end_running(connection, tenant_id, now_us)
    count = select(func.coalesce(func.sum(SCORE_COUNTS.c.leads), 0)).where(SCORE_COUNTS.c.tenant_id == tenant_id)
    values = {
        "tenant_id": tenant_id, "state": RUNNING, "model_version": version, "created_at": to_datetime(now_us),
        "created_by": caller.actor, "leads_total": (await connection.execute(count)).scalar_one(),
    }  # fmt: skip
    row = (await connection.execute(insert(OPERATIONS).values(values).returning(OPERATIONS))).one()
    places = select(literal(tenant_id), literal(row.operation_id), PARTITIONS.c.partition, literal(""))
    names = ["tenant_id", "operation_id", "partition", "cursor"]
    await connection.execute(insert(OPERATION_PARTITIONS).from_select(names, places))
    await audit.record(
        connection, caller, now_us, "operation.begin", f"operation/{row.operation_id}", model_version=version
    )
    return _operation(row)


async def end_running(connection: AsyncConnection, tenant_id: str, now_us: int) -> None:
    """Cancels what is under way."""
    places = OPERATION_PARTITIONS.c.tenant_id == tenant_id
    await connection.execute(delete(OPERATION_PARTITIONS).where(places))
    running = update(OPERATIONS).where(OPERATIONS.c.tenant_id == tenant_id, OPERATIONS.c.state == RUNNING)
    await connection.execute(running.values(state=CANCELLED, ended_at=to_datetime(now_us)))


class Operations:
    """The operations of all tenants. The tenant of a call is there already."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def rescore(self, caller: Caller) -> contract.Operation:
        """Scores all leads anew by the published version."""
        published = select(TENANTS.c.model_version).where(TENANTS.c.tenant_id == caller.tenant_id).with_for_update()
        async with self._engine.begin() as connection:
            version = (await connection.execute(published)).scalar_one()
            return await begin(connection, caller, version, self._clock.now_us())

    async def get(self, tenant_id: str, operation_id: int) -> contract.Operation:
        """One operation. Raises NotFound."""
        async with self._engine.connect() as connection:
            return _operation(await _find(connection, tenant_id, operation_id))

    async def list(self, tenant_id: str, page_size: int, page_token: str) -> contract.ListOperationsResponse:
        """A page of operations, newest first."""
        query = select(OPERATIONS).where(OPERATIONS.c.tenant_id == tenant_id)
        if (below := decode_page(page_token, int)) is not None:
            query = query.where(OPERATIONS.c.operation_id < below)
        page = Filling(page_size or PAGE_SIZE_DEFAULT, _operation)
        async with self._engine.connect() as connection:
            await page.take(connection, query.order_by(OPERATIONS.c.operation_id.desc()))
        more = encode_page(page.items[-1].operation_id) if page.is_full else ""
        return contract.ListOperationsResponse(operations=page.items, next_page_token=more)

    async def cancel(self, caller: Caller, operation_id: int) -> contract.Operation:
        """Stops an operation; one that has ended stays as it is. Raises NotFound."""
        now_us, tenant_id = self._clock.now_us(), caller.tenant_id
        async with self._engine.begin() as connection:
            # The places first, as the scorers do: none of the two waits for the other in a circle.
            of_operation = (
                OPERATION_PARTITIONS.c.tenant_id == tenant_id,
                OPERATION_PARTITIONS.c.operation_id == operation_id,
            )
            await connection.execute(delete(OPERATION_PARTITIONS).where(*of_operation))
            running = (*_key(tenant_id, operation_id), OPERATIONS.c.state == RUNNING)
            stopped = update(OPERATIONS).where(*running).values(state=CANCELLED, ended_at=to_datetime(now_us))
            if (await connection.execute(stopped)).rowcount:
                subject = f"operation/{operation_id}"
                await audit.record(connection, caller, now_us, "operation.cancel", subject)
            return _operation(await _find(connection, tenant_id, operation_id))


def _key(tenant_id: str, operation_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return OPERATIONS.c.tenant_id == tenant_id, OPERATIONS.c.operation_id == operation_id


async def _find(connection: AsyncConnection, tenant_id: str, operation_id: int) -> Stored:
    row = (await connection.execute(select(OPERATIONS).where(*_key(tenant_id, operation_id)))).one_or_none()
    if row is None:
        raise NotFound(f"there is no operation {operation_id}")
    return row


def _operation(row: Stored) -> contract.Operation:
    return contract.Operation(
        operation_id=row.operation_id,
        state=row.state,
        model_version=row.model_version,
        leads_total=row.leads_total,
        leads_done=row.leads_done,
        leads_changed=row.leads_changed,
        created_at=to_timestamp(to_us(row.created_at)),
        created_by=row.created_by,
        ended_at=to_timestamp(to_us(row.ended_at)) if row.ended_at else None,
    )
