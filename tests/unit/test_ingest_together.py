"""Requests of a stream that come while others are being worked on are taken together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from services.ingest.together import together


class Sender:
    """Sends requests when it is told to; a request is a number, which is its size."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.read = 0
        self.left = False

    def send(self, *requests: int | Exception | None) -> None:
        for request in requests:
            self._queue.put_nowait(request)

    async def requests(self) -> AsyncIterator[int]:
        try:
            while (request := await self._queue.get()) is not None:
                if isinstance(request, Exception):
                    raise request
                self.read += 1
                yield request
        finally:
            self.left = True


async def settled() -> None:
    """Everybody who can go on has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_request_waits_for_no_company() -> None:
    sender = Sender()
    async with aclosing(together(sender.requests(), int, 100)) as gathered:
        sender.send(1)
        assert await anext(gathered) == [1]
        sender.send(2)
        assert await anext(gathered) == [2]


async def test_what_comes_while_others_are_worked_on_is_taken_together_in_order() -> None:
    sender = Sender()
    async with aclosing(together(sender.requests(), int, 100)) as gathered:
        sender.send(1)
        assert await anext(gathered) == [1]
        sender.send(2, 3, 4)
        await settled()
        assert await anext(gathered) == [2, 3, 4]


async def test_no_more_is_read_when_enough_is_waiting() -> None:
    sender = Sender()
    async with aclosing(together(sender.requests(), int, 10)) as gathered:
        sender.send(1)
        assert await anext(gathered) == [1]
        sender.send(6, 7, 8, 9, None)
        await settled()
        assert sender.read == 3
        assert await anext(gathered) == [6, 7]
        await settled()
        assert [found async for found in gathered] == [[8, 9]]


async def test_the_end_comes_after_all_requests() -> None:
    sender = Sender()
    sender.send(1, 2, None)
    assert [request async for found in together(sender.requests(), int, 100) for request in found] == [1, 2]


async def test_what_reading_raises_comes_after_what_came_before() -> None:
    sender, found = Sender(), []
    sender.send(1, 2, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        async for requests in together(sender.requests(), int, 100):
            found += requests
    assert found == [1, 2]


async def test_whoever_leaves_early_ends_the_reading() -> None:
    sender = Sender()
    async with aclosing(together(sender.requests(), int, 100)) as gathered:
        sender.send(1)
        assert await anext(gathered) == [1]
        await settled()
    assert sender.left
