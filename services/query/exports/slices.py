"""The rows of an export, slice by slice, in one snapshot. No statement looks at more than a slice or one lead."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, text, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.query.exports.sheets import Sheet
from services.shared.schema import EVENTS

SLICE_ROWS = 1_000
"""Rows read at a time. An event has at most 32 KiB, so a slice has at most 32 MiB; most have less than half of one."""
COUNT_TIMEOUT_MS = 1_500
"""How long counting the rows may keep a caller waiting for the first of them: enough for some ten million."""

Slice = Sequence[Row[Any]]


@dataclass(frozen=True)
class Scope:
    """Which rows of a sheet."""

    tenant_id: str
    lead_id: str = ""
    condition: ColumnElement[bool] | None = None

    def of(self, sheet: Sheet) -> list[ColumnElement[bool]]:
        """The rows of the tenant, and of the lead if there is one; not yet those that the condition lets pass."""
        table = sheet.table
        lead = [table.c.lead_id == self.lead_id] if self.lead_id else []
        return [table.c.tenant_id == self.tenant_id, *lead]


async def count_rows(connection: AsyncConnection, sheet: Sheet, scope: Scope) -> int:
    """How many rows there are; 0 if counting them takes too long."""
    conditions = scope.of(sheet) + ([] if scope.condition is None else [scope.condition])
    counted = await connection.begin_nested()
    try:
        await connection.execute(text(f"SET LOCAL statement_timeout = {COUNT_TIMEOUT_MS}"))
        query = select(func.count()).select_from(sheet.table).where(*conditions)
        return int((await connection.execute(query)).scalar_one())
    except OperationalError as error:
        if error.connection_invalidated:
            raise
        return 0
    finally:
        # In either case: that takes the timeout away again.
        if not connection.invalidated:
            await counted.rollback()


async def read_slices(connection: AsyncConnection, sheet: Sheet, scope: Scope) -> AsyncGenerator[Slice, None]:
    """All rows in the order of their key. A slice may be empty where a condition lets nothing pass."""
    if sheet.table is EVENTS and scope.lead_id:
        slices = _by_cursor(connection, sheet, scope)
    elif scope.condition is not None:
        slices = _by_windows(connection, sheet, scope, scope.condition)
    else:
        slices = _by_key(connection, sheet, scope)
    # Closed with this one: a cursor cannot be, when its connection is gone.
    async with aclosing(slices):
        async for rows in slices:
            yield rows


async def _by_key(connection: AsyncConnection, sheet: Sheet, scope: Scope) -> AsyncGenerator[Slice, None]:
    query = _ordered(sheet, scope).limit(SLICE_ROWS)
    places = [sheet.names.index(name) for name in sheet.key]
    rows = (await connection.execute(query)).all()
    while rows:
        yield rows
        if len(rows) < SLICE_ROWS:
            return
        after = tuple(rows[-1][place] for place in places)
        rows = (await connection.execute(query.where(_key(sheet) > after))).all()


async def _by_windows(
    connection: AsyncConnection, sheet: Sheet, scope: Scope, condition: ColumnElement[bool]
) -> AsyncGenerator[Slice, None]:
    """Window by window of the table: with a condition that few rows pass, looking for the next thousand of them could
    take one statement over the whole table.
    """
    key = [sheet.table.c[name] for name in sheet.key]
    ends = first_ends = select(*key).where(*scope.of(sheet)).order_by(*key).offset(SLICE_ROWS - 1).limit(1)
    rows = first_rows = _ordered(sheet, scope).where(condition)
    while (end := (await connection.execute(ends)).one_or_none()) is not None:
        yield (await connection.execute(rows.where(_key(sheet) <= tuple(end)))).all()
        ends, rows = (each.where(_key(sheet) > tuple(end)) for each in (first_ends, first_rows))
    yield (await connection.execute(rows)).all()


async def _by_cursor(connection: AsyncConnection, sheet: Sheet, scope: Scope) -> AsyncGenerator[Slice, None]:
    """The events of one lead, which no index has in this order: found by the lead and sorted once. Without the offset,
    PostgreSQL might go through the events of all leads, because those are in order.
    """
    found = select(*_sources(sheet)).where(*scope.of(sheet)).offset(0).subquery()
    query = select(found).order_by(*(found.c[name] for name in sheet.key))
    async with connection.stream(query.execution_options(yield_per=SLICE_ROWS)) as result:
        async for rows in result.partitions():
            yield rows


def _ordered(sheet: Sheet, scope: Scope) -> Select[Any]:
    return select(*_sources(sheet)).where(*scope.of(sheet)).order_by(*(sheet.table.c[name] for name in sheet.key))


def _sources(sheet: Sheet) -> list[Any]:
    return [column.source.label(column.name) for column in sheet.columns]


def _key(sheet: Sheet) -> Any:
    return tuple_(*(sheet.table.c[name] for name in sheet.key))
