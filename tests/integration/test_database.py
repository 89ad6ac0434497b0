"""Connections to the database."""

import asyncio
from dataclasses import replace

import pytest

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
