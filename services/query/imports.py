"""How imports are doing, from what their reader reported and what the scorer found."""

from collections.abc import Mapping
from typing import Any

from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, Select, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.reading import PAGE_SIZE_DEFAULT, Key, Moment, Whole, decode_key, encode_key, snapshot
from services.query.wire import set_times
from services.shared.clock import to_datetime
from services.shared.errors import NotFound
from services.shared.paging import Filling
from services.shared.schema import IMPORT_COUNTS, IMPORT_ERRORS, IMPORTS, PARTITIONS
from services.shared.tokens import decode_page, decode_positions, encode_page


async def get_import(engine: AsyncEngine, tenant_id: str, import_id: str) -> contract.Import:
    """An import. Raises NotFound."""
    async with snapshot(engine) as connection:
        of_import = select(IMPORTS).where(IMPORTS.c.tenant_id == tenant_id, IMPORTS.c.import_id == import_id)
        page = await _imports(connection, of_import, size=1)
    if not page.items:
        raise NotFound(f"nothing is known of import {import_id!r}")
    return page.items[0]


async def list_imports(
    engine: AsyncEngine, tenant_id: str, page_size: int, page_token: str
) -> contract.ListImportsResponse:
    """A page of the imports, newest first. Raises InvalidRequest."""
    size = page_size or PAGE_SIZE_DEFAULT
    key = IMPORTS.c.started_at, IMPORTS.c.import_id
    query = (
        select(IMPORTS).where(IMPORTS.c.tenant_id == tenant_id).order_by(*(each.desc() for each in key)).limit(size + 1)
    )
    if (after := decode_key(page_token, tuple[Moment, Key], "imports")) is not None:
        query = query.where(tuple_(*key) < (to_datetime(after[0]), after[1]))
    async with snapshot(engine) as connection:
        page = await _imports(connection, query, size)
    last = page.last
    more = encode_key((last.started_at, last.import_id), "imports") if page.is_full and last is not None else ""
    return contract.ListImportsResponse(imports=page.items, next_page_token=more)


async def _imports(connection: AsyncConnection, query: Select[Any], size: int) -> Filling[contract.Import]:
    """The imports of a query, with what the scorer found in them and how far it is with them."""
    reached = await connection.execute(select(PARTITIONS.c.partition, PARTITIONS.c.position))
    positions = {row.partition: row.position for row in reached}
    page = Filling(size, lambda row: _import(row, _is_scored(row.token, positions)))
    known = query.subquery()
    of_import = IMPORT_COUNTS.c.tenant_id == known.c.tenant_id, IMPORT_COUNTS.c.import_id == known.c.import_id
    names = "accepted", "duplicates", "conflicts"
    sums = [func.coalesce(func.sum(IMPORT_COUNTS.c[name]), 0).label(name) for name in names]
    counts = select(*sums).where(*of_import).lateral()
    newest_first = known.c.started_at.desc(), known.c.import_id.desc()
    await page.take(connection, select(known, counts).join(counts, true()).order_by(*newest_first))
    return page


def _is_scored(token: str, positions: Mapping[int, int]) -> bool:
    wanted = decode_positions(token) if token else {}
    return all(positions.get(partition, 0) >= wish for partition, wish in wanted.items())


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
    known = select(IMPORTS.c.import_id).where(IMPORTS.c.tenant_id == tenant_id, IMPORTS.c.import_id == import_id)
    errors = select(IMPORT_ERRORS).where(IMPORT_ERRORS.c.tenant_id == tenant_id, IMPORT_ERRORS.c.import_id == import_id)
    key = IMPORT_ERRORS.c.row, IMPORT_ERRORS.c.field
    if (after := decode_page(page_token, tuple[Whole, Key])) is not None:
        errors = errors.where(tuple_(*key) > after)
    async with snapshot(engine) as connection:
        if (await connection.execute(known)).one_or_none() is None:
            raise NotFound(f"nothing is known of import {import_id!r}")
        page = Filling(page_size or PAGE_SIZE_DEFAULT, _error)
        await page.take(connection, errors.order_by(*key))
    more = encode_page((page.items[-1].row, page.items[-1].field)) if page.is_full else ""
    return contract.ListImportErrorsResponse(errors=page.items, next_page_token=more)


def _error(row: Row[Any]) -> contract.ImportError:
    return contract.ImportError(row=row.row, field=row.field, description=row.description)
