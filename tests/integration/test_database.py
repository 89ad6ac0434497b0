"""Connections to the database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.reading import glance, read, snapshot
from services.query.statements import Statement
from services.shared.database import connect
from services.shared.settings import Settings

DEADLINE_S = 3.0
"""Less than it takes a connection to give up by itself."""


async def test_the_server_hears_at_once_of_a_connection_that_is_given_up_halfway() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        left.set()
        writer.close()

    async def use(settings: Settings) -> None:
        async with connect(settings, name="impatient", connections_max=1):
            pass

    async with await asyncio.start_server(never_answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://leadscore:secret@127.0.0.1:{port}/leadscore?sslmode=disable"
        user = asyncio.create_task(use(replace(Settings(), database_url=url)))
        await asked.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError) as given_up:
            await user
        async with asyncio.timeout(DEADLINE_S):
            await left.wait()
        assert given_up.value.__traceback__ is not None  # The error is held all the while, as a task's would be.


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """For readers, of which one at a time has a connection."""
    settings = replace(Settings(), database_url=database_url)
    async with connect(settings, name="reader", connections_max=1, read_only=True) as engine:
        yield engine


async def test_a_read_that_is_given_up_halfway_leaves_the_connection_for_the_next_one(
    engine: AsyncEngine, database_url: str
) -> None:
    waiting = text("SELECT wait_event FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
    settings = replace(Settings(), database_url=database_url)
    async with connect(settings, name="looker", connections_max=1, read_only=True) as looker:
        slow = asyncio.create_task(read(engine, Statement(select(func.pg_sleep(60)))))
        async with asyncio.timeout(DEADLINE_S), looker.connect() as connection:
            while (await connection.execute(waiting)).scalar() != "PgSleep":
                pass
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
    async with asyncio.timeout(DEADLINE_S):
        assert [tuple(row) for row in await read(engine, Statement(select(literal(7))))] == [(7,)]


async def test_a_connection_that_is_left_in_the_middle_of_something_is_used_by_nobody(engine: AsyncEngine) -> None:
    async with glance(engine) as driver:
        await driver.execute("BEGIN")
        await driver.execute("SET LOCAL application_name = 'left behind'")
    async with glance(engine) as driver:
        found = await (await driver.execute("SHOW application_name")).fetchone()
    assert found == ("reader",)


async def test_a_snapshot_leaves_nothing_behind_in_its_connection(engine: AsyncEngine) -> None:
    with pytest.raises(ZeroDivisionError):
        async with snapshot(engine) as connection:
            assert (await connection.execute(text("SHOW transaction_isolation"))).scalar() == "repeatable read"
            1 / 0  # noqa: B018 - whatever it is that goes wrong in a snapshot
    async with glance(engine) as driver:
        assert driver.autocommit
        found = await (await driver.execute("SHOW transaction_isolation")).fetchone()
    assert found == ("read committed",)
