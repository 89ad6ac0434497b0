"""Reading one's own writes: waits until the scorers have committed what a consistency token stands for."""

import asyncio
from collections.abc import Mapping
from typing import Any

from grpc import aio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.shared.errors import NotCaughtUp
from services.shared.tokens import decode_positions

WAIT_S_MAX = 30.0
"""A caller without a deadline gets an answer after this."""
ANSWER_S = 0.1
"""Kept back from the caller's deadline, so that the answer still reaches it."""
LOOK_INTERVAL_S = 0.1
"""Waiters are woken by the scorers' word; they also look by themselves, should it be lost or a read replica lag."""

POSITIONS = text("SELECT partition, position FROM partitions WHERE partition = ANY(:partitions)")


class CaughtUp:
    """Knows how far the database that this process reads has got."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._seen: dict[int, int] = {}
        self._progressed = asyncio.Event()

    def heard(self, positions: Mapping[int, int]) -> None:
        """Called with the positions that a scorer says it has committed: those who wait look again."""
        self._progressed.set()

    async def wait(self, token: str, context: aio.ServicerContext[Any, Any]) -> None:
        """Returns at once without a token. Raises InvalidRequest for what is no token, NotCaughtUp at the deadline."""
        if not token:
            return
        wanted = decode_positions(token)
        remaining = context.time_remaining()
        left_s = min(WAIT_S_MAX, remaining - ANSWER_S) if remaining is not None else WAIT_S_MAX
        deadline = asyncio.get_running_loop().time() + left_s
        while missing := await self._missing(wanted):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                behind = ", ".join(f"partition {partition} by {by}" for partition, by in sorted(missing.items()))
                raise NotCaughtUp(f"the scorer has not got there yet: it is behind in {behind} (stream sequences)")
            await self._progress_or(min(left_s, LOOK_INTERVAL_S))

    async def reached(self, wanted: Mapping[int, int]) -> bool:
        """Whether everything up to these positions is committed."""
        return not await self._missing(wanted)

    async def _missing(self, wanted: Mapping[int, int]) -> dict[int, int]:
        """By how much each partition is behind what is wanted."""
        open_ones = [partition for partition, wish in wanted.items() if self._seen.get(partition, 0) < wish]
        if open_ones:
            self._progressed.clear()
            async with self._engine.connect() as connection:
                for partition, position in await connection.execute(POSITIONS, {"partitions": open_ones}):
                    self._seen[partition] = max(position, self._seen.get(partition, 0))
        return {
            partition: wanted[partition] - self._seen.get(partition, 0)
            for partition in open_ones
            if self._seen.get(partition, 0) < wanted[partition]
        }

    async def _progress_or(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._progressed.wait()
        except TimeoutError:
            return
