"""Requests of a stream that come while others are being worked on are taken together."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import TypeVar

Request = TypeVar("Request")


async def together(
    requests: AsyncIterable[Request], size_of: Callable[[Request], int], enough: int
) -> AsyncGenerator[list[Request], None]:
    """All requests in their order: those that have come since the ones before were taken, at least one. Nobody waits
    for company. When requests of `enough` together are waiting, no more are read until they are taken.

    Raises what reading raises, after what came before. Whoever leaves early closes it (contextlib.aclosing).
    """
    waiting: list[Request] = []
    size = 0
    news, room = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        nonlocal size
        async for request in requests:
            waiting.append(request)
            size += size_of(request)
            news.set()
            while size >= enough:
                room.clear()
                await room.wait()

    reading = asyncio.create_task(read())
    reading.add_done_callback(lambda _: news.set())
    try:
        while waiting or not reading.done():
            if not waiting:
                await news.wait()
                news.clear()
                continue
            taken = waiting.copy()
            waiting.clear()
            size = 0
            room.set()
            yield taken
        await reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])
