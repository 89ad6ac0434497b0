"""How a read sees the database: one snapshot for all its statements, and UNAVAILABLE when the database is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.shared.errors import Unavailable

PAGE_SIZE_DEFAULT = 50
"""For a page size of 0."""


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A read-only transaction in which every statement sees the same rows. Raises Unavailable."""
    try:
        async with engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    except (OperationalError, PoolTimeoutError, OSError) as error:
        raise Unavailable("the database is away; try again") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the database is away; try again") from error
        raise
