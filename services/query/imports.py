"""How imports are doing, from what their reader reported and what the scorer found."""

from typing import Any

from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.reading import PAGE_SIZE_DEFAULT, Key, Whole, snapshot
from services.query.wire import set_times
from services.shared.errors import NotFound
from services.shared.schema import IMPORT_COUNTS, IMPORT_ERRORS, IMPORTS, PARTITIONS
from services.shared.tokens import decode_page, decode_positions, encode_page


async def get_import(engine: AsyncEngine, tenant_id: str, import_id: str) -> contract.Import:
    """An import. Raises NotFound."""
    counts = (
        select(
            func.coalesce(func.sum(IMPORT_COUNTS.c.accepted), 0).label("accepted"),
            func.coalesce(func.sum(IMPORT_COUNTS.c.duplicates), 0).label("duplicates"),
            func.coalesce(func.sum(IMPORT_COUNTS.c.conflicts), 0).label("conflicts"),
        )
        .where(IMPORT_COUNTS.c.tenant_id == tenant_id, IMPORT_COUNTS.c.import_id == import_id)
        .subquery()
    )
    query = (
        select(IMPORTS, counts)
        .join(counts, true())
        .where(IMPORTS.c.tenant_id == tenant_id, IMPORTS.c.import_id == import_id)
    )
    async with snapshot(engine) as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound(f"nothing is known of import {import_id!r}")
        wanted = decode_positions(row.token) if row.token else {}
        reached = select(PARTITIONS.c.partition, PARTITIONS.c.position).where(PARTITIONS.c.partition.in_(wanted))
        positions = {row.partition: row.position for row in await connection.execute(reached)}
    return _import(row, all(positions.get(partition, 0) >= wish for partition, wish in wanted.items()))


def _import(row: Row[Any], is_scored: bool) -> contract.Import:
    state = contract.IMPORT_STATE_RUNNING
    if row.reading == ingest.IMPORT_READING_FAILED:
        state = contract.IMPORT_STATE_FAILED
    elif row.reading == ingest.IMPORT_READING_COMPLETE and is_scored:
        state = contract.IMPORT_STATE_DONE
    duplicates = row.duplicates
    if is_scored and state != contract.IMPORT_STATE_RUNNING:
        # Also those that the stream itself recognised and the scorer never saw.
        duplicates = max(duplicates, row.rows_read - row.rows_rejected - row.accepted - row.conflicts)
    found = contract.Import(
        import_id=row.import_id,
        state=state,
        file_name=row.file_name,
        rows_read=row.rows_read,
        accepted=int(row.accepted),
        duplicates=int(duplicates),
        conflicts=int(row.conflicts),
        rejected=row.rows_rejected,
        reason=row.reason,
    )
    set_times(found, started_at=row.started_at, updated_at=row.updated_at)
    return found


async def list_import_errors(
    engine: AsyncEngine, tenant_id: str, import_id: str, page_size: int, page_token: str
) -> contract.ListImportErrorsResponse:
    """A page of an import's refused rows, in the order of the file. Raises NotFound."""
    size = page_size or PAGE_SIZE_DEFAULT
    known = select(IMPORTS.c.import_id).where(IMPORTS.c.tenant_id == tenant_id, IMPORTS.c.import_id == import_id)
    errors = select(IMPORT_ERRORS).where(IMPORT_ERRORS.c.tenant_id == tenant_id, IMPORT_ERRORS.c.import_id == import_id)
    key = IMPORT_ERRORS.c.row, IMPORT_ERRORS.c.field
    if (after := decode_page(page_token, tuple[Whole, Key])) is not None:
        errors = errors.where(tuple_(*key) > after)
    async with snapshot(engine) as connection:
        if (await connection.execute(known)).one_or_none() is None:
            raise NotFound(f"nothing is known of import {import_id!r}")
        rows = (await connection.execute(errors.order_by(*key).limit(size + 1))).all()
    page = rows[:size]
    return contract.ListImportErrorsResponse(
        errors=[contract.ImportError(row=row.row, field=row.field, description=row.description) for row in page],
        next_page_token=encode_page((page[-1].row, page[-1].field)) if len(rows) > size else "",
    )
