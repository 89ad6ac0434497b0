"""Connections to PostgreSQL, the only database."""

import asyncio
import contextlib
import select
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import PoolProxiedConnection, QueuePool, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.shared.errors import SettingError, Unavailable
from services.shared.settings import Settings

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000
"""No statement of ours is meant to take longer; one that does is a mistake and must not hold others up."""
LOCK_TIMEOUT_MS = 10_000
IDLE_TIMEOUT_MS = 5_000
"""A process that is paused in the middle of a transaction loses it, and its locks with it, as soon as its leases."""
TCP_TIMEOUT_MS = 10_000
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
"""In seconds and tries: an idle connection knows of a server that vanished without a word after 20 s."""
ANSWER_TIMEOUT_S = 5.0
"""A database that takes longer to say that it is there is not."""
RETURN_TIMEOUT_S = 5.0
"""What a cancelled user of a connection may take to give it back."""

PREPARED_AFTER = 1
"""What a connection is asked twice it will be asked again, and making a plan often takes longer than following it."""

SERVER_VERSION_MIN = 150_000

AWAY = OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError
"""What SQLAlchemy raises, and the driver where it is asked itself."""


def driver_url(url: str) -> str:
    """A `postgresql://` URL for the driver that is used here. Raises SettingError for anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingError("LEADSCORE_DATABASE_URL is not a database URL") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingError("LEADSCORE_DATABASE_URL must start with postgresql://")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@asynccontextmanager
async def connect(
    settings: Settings, *, name: str, connections_max: int, read_only: bool = False
) -> AsyncIterator[AsyncEngine]:
    """A pool of connections. Raises SettingError if the database cannot be used.

    On one that is `read_only`, a statement is no transaction unless it is asked to be one of several.
    """
    options = {
        "application_name": name,
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
        "default_transaction_read_only": "on" if read_only else "off",
        "timezone": "UTC",
    }
    engine = create_async_engine(
        driver_url(settings.database_url),
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        # The one that was used last: its statements are prepared, and what it reads is at hand.
        pool_use_lifo=True,
        # What ends by itself need not be rolled back.
        pool_reset_on_return=None if read_only else "rollback",
        json_deserializer=msgspec.json.decode,
        isolation_level="AUTOCOMMIT" if read_only else "READ COMMITTED",
        connect_args={
            "async_creator_fn": _open,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": TCP_TIMEOUT_MS,
            **KEEPALIVE,
            "prepare_threshold": PREPARED_AFTER,
            "options": " ".join(f"-c {key}={value}" for key, value in options.items()),
        },
    )
    event.listen(engine.sync_engine.pool, "checkout", _look_for_the_end)
    try:
        await _check(engine)
        yield engine
    finally:
        await _all_returned(engine)
        with contextlib.suppress(DBAPIError):
            await engine.dispose()


async def _open(*place: Any, **options: Any) -> psycopg.AsyncConnection[Any]:
    """Opens a connection. If it is given up halfway, the server hears of it at once: otherwise the attempt would live
    in the frames of the error until garbage is collected, and the server would wait a minute to be told who is there.
    """
    try:
        return await psycopg.AsyncConnection.connect(*place, **options)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def _look_for_the_end(connection: DBAPIConnection, *_: ConnectionPoolEntry | PoolProxiedConnection) -> None:
    """Has an idle connection replaced whose server has said something: that it is gone, or why it soon will be. Asking
    the server would cost each read as much as the read itself. And one that somebody has left in the middle of
    something.
    """
    driver, poll = connection.driver_connection, select.poll()
    if not driver.closed:
        poll.register(driver.pgconn.socket, select.POLLIN)
    if driver.closed or driver.pgconn.transaction_status != TransactionStatus.IDLE or poll.poll(0):
        raise DisconnectionError("the server has closed the connection, or it was not left as it should be")


async def _all_returned(engine: AsyncEngine) -> None:
    """Waits until nobody uses a connection. One that a cancelled user gives back to a pool that is gone stays open."""
    pool, returned = engine.sync_engine.pool, asyncio.Event()
    assert isinstance(pool, QueuePool)
    event.listen(pool, "checkin", lambda *_: returned.set())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RETURN_TIMEOUT_S):
            while pool.checkedout():
                await returned.wait()
                returned.clear()


async def _check(engine: AsyncEngine) -> None:
    try:
        async with engine.connect() as connection:
            version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    except OperationalError as error:
        raise SettingError(f"no database answers at LEADSCORE_DATABASE_URL: {error.orig}") from error
    if version < SERVER_VERSION_MIN:
        raise SettingError(
            f"PostgreSQL {version // 10_000} is too old: {SERVER_VERSION_MIN // 10_000} or newer is needed"
        )


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Raises Unavailable in place of what the driver and the pool raise when the database is away."""
    try:
        yield
    except (*AWAY, PoolTimeoutError, OSError) as error:
        raise Unavailable("the database is away; try again") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the database is away; try again") from error
        raise


async def answers(engine: AsyncEngine) -> bool:
    """Whether the database answers right now."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except (DBAPIError, PoolTimeoutError, OSError):  # A timeout is an OSError.
        return False
    return True
