"""How a read sees the database: one snapshot for all its statements, and UNAVAILABLE when the database is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.shared.database import unavailable_when_away

PAGE_SIZE_DEFAULT = 50
"""For a page size of 0."""

Score = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""In a page token: what the database has a column for."""
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Key = Annotated[str, msgspec.Meta(pattern="^[^\0]*$")]
"""In a page token: PostgreSQL has no NUL in its texts."""


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A read-only transaction in which every statement sees the same rows. Raises Unavailable."""
    with unavailable_when_away():
        async with engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
