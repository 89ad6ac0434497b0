"""Thousands of watchers of one server, in a process of their own."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from leadscore.query.v1 import query_service_pb2 as query

from bench.changes import age_s
from bench.http2 import WINDOW_BYTES_MAX, Streams

METHOD = "/leadscore.query.v1.QueryService/WatchScores"
CONNECTIONS = 8
OPEN_DEADLINE_S = 60.0
OPENING_MAX = 400
"""Calls under way to be opened at a time; a server of grpc refuses more than a thousand that wait for it."""


class Received(NamedTuple):
    """What the watchers got."""

    last_s: float
    """When the last change came, on the machine's steady clock."""
    ages_s: "array[float]"
    """How old each was then."""
    ended: int
    """Watches that have ended since the beginning, for whatever reason."""


class Crowd:
    """The watchers."""

    def __init__(self) -> None:
        self._opened: set[tuple[int, int]] = set()
        self._ages_s = array("d")
        self._last_s = 0.0
        self._ended = 0
        self._changed = asyncio.Event()

    async def open(self, address: str, follows: Sequence[Sequence[str]], window_bytes: int = WINDOW_BYTES_MAX) -> None:
        """Opens a watch for each list of leads, over some connections, and waits until each has its first message."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        connections = []
        for number in range(CONNECTIONS):
            make = partial(Streams, METHOD, window_bytes, partial(self._heard, number), self._end)
            connections.append((await loop.create_connection(make, host, int(port)))[1])
        async with asyncio.timeout(OPEN_DEADLINE_S):
            for number, leads in enumerate(follows):
                connections[number % CONNECTIONS].call(query.WatchScoresRequest(lead_ids=leads).SerializeToString())
                await self._has_opened(number - OPENING_MAX)
            await self._has_opened(len(follows))

    async def received(self, number: int, deadline_s: float) -> Received:
        """What came since this was asked last, once it is so many changes or the time is over."""
        try:
            async with asyncio.timeout(deadline_s):
                while len(self._ages_s) < number:
                    await self._next()
        except TimeoutError:
            pass
        ages_s, self._ages_s = self._ages_s, array("d")
        return Received(self._last_s, ages_s, self._ended)

    def _heard(self, connection: int, call: int, message: bytes) -> None:
        response = query.WatchScoresResponse.FromString(message)
        if response.HasField("update"):
            self._ages_s.append(age_s(response.update))
            self._last_s = time.monotonic()
        else:
            self._opened.add((connection, call))
        self._changed.set()

    def _end(self) -> None:
        self._ended += 1
        self._changed.set()

    async def _has_opened(self, number: int) -> None:
        while len(self._opened) < number:
            await self._next()

    async def _next(self) -> None:
        self._changed.clear()
        await self._changed.wait()
