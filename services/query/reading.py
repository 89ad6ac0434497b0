"""How a read sees the database: by one statement, or in one snapshot for several, and UNAVAILABLE when the database is
away. And what reads have in common: page tokens, and times in requests.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.statements import Driver, Statement, driver_of
from services.shared.clock import to_us
from services.shared.database import unavailable_when_away
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.tokens import decode_page, encode_page

PAGE_SIZE_DEFAULT = 50
"""For a page size of 0."""

Score = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""In a page token: what the database has a column for."""
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Key = Annotated[str, msgspec.Meta(pattern="^[^\0]*$")]
"""In a page token: PostgreSQL has no NUL in its texts."""
Moment = Annotated[
    int,
    msgspec.Meta(ge=to_us(datetime.min.replace(tzinfo=UTC)), le=to_us(datetime.max.replace(tzinfo=UTC))),
]
"""In a page token: a time in microseconds since 1970."""

CALL_BYTES = 8
"""Of what tells a page token's call from others; it guards against mistakes, not against attacks."""


async def read(engine: AsyncEngine, statement: Statement, **parameters: object) -> Sequence[Any]:
    """The rows of one statement, which sees one state of the database by itself: beginning and ending a transaction
    would cost more than most of them. Raises Unavailable.
    """
    async with glance(engine) as driver:
        return await statement.rows(driver, parameters)


@asynccontextmanager
async def glance(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """The driver's connection, for one statement. Raises Unavailable.

    It comes from the engine's pool and goes back by itself: to begin and end the engine's own kind of connection around
    it takes as long as the statement.
    """
    with unavailable_when_away():
        pooled = await engine.raw_connection()
        try:
            driver = pooled.driver_connection
            assert driver is not None, "it was opened or found well"
            yield driver
        finally:
            pooled.close()  # A pool that resets nothing has nothing to wait for.


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A read-only transaction in which every statement sees the same rows. Raises Unavailable."""
    with unavailable_when_away():
        async with engine.connect() as pooled:
            connection = await pooled.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            try:
                # Committed, though nothing was written: after a rollback the driver prepares all statements anew.
                async with connection.begin():
                    yield connection
            except psycopg.Error:
                if driver_of(connection).closed:
                    await connection.invalidate()
                raise


@asynccontextmanager
async def still(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """The driver's connection in a snapshot. Raises Unavailable."""
    async with snapshot(engine) as connection:
        yield driver_of(connection)


def encode_key(key: tuple[Any, ...], *call: object) -> str:
    """A page token for the key of the last row shown, of a call with some parameters. Times become microseconds."""
    values = tuple(to_us(value) if isinstance(value, datetime) else value for value in key)
    return encode_page((_digest(call), values))


def decode_key(token: str, shape: Any, *call: object) -> Any:
    """The key in a page token, or None for the first page. Raises InvalidRequest for what is no token of this list, or
    one of a call with other parameters.
    """
    found = decode_page(token, tuple[bytes, shape])
    if found is None:
        return None
    if found[0] != _digest(call):
        raise InvalidRequest([FieldViolation("page_token", "is of a call with other parameters")])
    return found[1]


def moment_of(request: Any, field: str) -> datetime | None:
    """The time in a field, to the microsecond; None if it is not set. Raises InvalidRequest."""
    if not request.HasField(field):
        return None
    try:
        moment: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest([FieldViolation(field, "is no time of the years 1 to 9999")]) from None
    return moment


def _digest(call: tuple[object, ...]) -> bytes:
    return blake2b(repr(call).encode(), digest_size=CALL_BYTES).digest()
