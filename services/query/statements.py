"""Statements of reads: built by SQLAlchemy once, and sent by the driver as they are from then on.

What SQLAlchemy does for each execution and each row takes longer than the database takes for most answers.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from psycopg import AsyncConnection, AsyncRawCursor, AsyncRawServerCursor
from psycopg.rows import namedtuple_row
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.ext.asyncio import AsyncConnection as PooledConnection

DIALECT = PGDialectAsync_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
"""Parameters as PostgreSQL itself numbers them: the driver need not look for them."""
TEXTS_KEPT_MAX = 20
"""Of one statement: callers ask for pages of some sizes, not of any number of them."""
CURSOR = "rows"
"""A connection has one at a time."""

Driver = AsyncConnection[Any]
"""A connection as the driver has it."""
Parameters = Mapping[str, object]


class Text(NamedTuple):
    """What a statement says."""

    text: bytes
    names: Sequence[str]
    """Of its parameters, in their order."""
    processors: Mapping[str, Callable[[Any], object]]
    """What makes of a value one that the driver knows, where it does not know it by itself."""


class Sent(NamedTuple):
    """A statement as it is sent."""

    text: bytes
    values: Sequence[object]


class Statement:
    """A statement with parameters. Its rows are named tuples, and their values the driver's.

    Parameters that are executed as literals, limits above all, are numbers in the text: with an unknown limit
    PostgreSQL expects a tenth of all rows, finds its plan for these too dear to keep, and makes one anew each time.
    """

    def __init__(self, built: Executable) -> None:
        self._built = built
        self._texts: dict[tuple[object, ...], Text] = {}

    @cached_property
    def _compiled(self) -> Any:
        return self._built.compile(dialect=DIALECT)  # type: ignore[attr-defined]

    @cached_property
    def _fixed(self) -> Parameters:
        """The values that are the same each time."""
        compiled = self._compiled
        return {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}

    @cached_property
    def _numbers(self) -> Sequence[str]:
        """The parameters that are no parameters for PostgreSQL."""
        return [self._compiled.bind_names[each] for each in self._compiled.literal_execute_params]

    def sent(self, parameters: Parameters) -> Sent:
        """The statement with values, as it is sent."""
        known = {**self._fixed, **parameters}
        numbers = tuple([known[name] for name in self._numbers])
        if numbers not in self._texts:
            if len(self._texts) >= TEXTS_KEPT_MAX:
                del self._texts[next(iter(self._texts))]
            state = self._compiled.construct_expanded_state({**self._compiled.params, **parameters})
            self._texts[numbers] = Text(state.statement.encode(), state.positiontup, self._compiled._bind_processors)
        text = self._texts[numbers]
        for name, process in text.processors.items():
            known[name] = process(known[name])
        return Sent(text.text, [known[name] for name in text.names])

    async def rows(self, driver: Driver, parameters: Parameters) -> Sequence[Any]:
        """All rows."""
        text, values = self.sent(parameters)
        cursor = AsyncRawCursor(driver, row_factory=namedtuple_row)
        await cursor.execute(text, values, binary=True)
        return await cursor.fetchall()

    async def parts(self, driver: Driver, parameters: Parameters, size: int) -> AsyncGenerator[Sequence[Any], None]:
        """The rows in parts of a size, by a cursor, which needs a transaction: three more ways to the database and
        back, but what is not wanted stays there.
        """
        text, values = self.sent(parameters)
        async with AsyncRawServerCursor(driver, CURSOR, row_factory=namedtuple_row) as cursor:
            await cursor.execute(text, values, binary=True)
            while rows := await cursor.fetchmany(size):
                yield rows


def driver_of(connection: PooledConnection) -> Driver:
    """The driver's own connection."""
    pooled = connection.sync_connection
    assert pooled is not None, "it is connected"
    driver: Driver | None = pooled.connection.driver_connection
    assert driver is not None, "it is connected"
    return driver
