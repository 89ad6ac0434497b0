"""Reading one's own writes: waits until the scorers have committed what a consistency token stands for."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpc import aio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.shared.database import unavailable_when_away
from services.shared.errors import NotCaughtUp
from services.shared.tokens import decode_positions, merge_positions

WAIT_S_MAX = 30.0
"""A caller without a deadline gets an answer after this."""
ANSWER_S = 0.1
"""Kept back from the caller's deadline, so that the answer still reaches it."""
LOOK_INTERVAL_S = 0.1
"""Waiters are woken by the scorers' word; they also look by themselves, should it be lost or a read replica lag."""
NAMED_MAX = 5
"""Partitions that an error names."""

POSITIONS = text("SELECT partition, position FROM partitions")


@dataclass(eq=False)
class Waiter:
    """A call that waits."""

    wanted: Mapping[int, int]
    reached: "asyncio.Future[None]"


class CaughtUp:
    """Knows how far the database that this process reads has got.

    However many calls wait, one at a time looks into the database for all of them.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._seen: dict[int, int] = {}
        self._heard: dict[int, int] = {}
        self._waiters: set[Waiter] = set()
        self._worth_a_look = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def heard(self, positions: Mapping[int, int]) -> None:
        """Called with the positions that a scorer says it has committed: those who wait for them look again."""
        self._heard = merge_positions([self._heard, positions])
        if any(not _missing(waiter.wanted, self._heard) for waiter in self._waiters):
            self._worth_a_look.set()

    async def wait(self, token: str, context: aio.ServicerContext[Any, Any]) -> None:
        """Returns at once without a token. Raises InvalidRequest for what is no token, NotCaughtUp at the deadline,
        Unavailable when the database is away.
        """
        wanted = decode_positions(token) if token else {}
        if not _missing(wanted, self._seen):
            return
        remaining_s = context.time_remaining()
        try:
            async with asyncio.timeout(WAIT_S_MAX if remaining_s is None else min(WAIT_S_MAX, remaining_s - ANSWER_S)):
                await self._reach(wanted)
        except TimeoutError:
            raise NotCaughtUp(f"the scorer has not got there yet: it is behind in {self._behind(wanted)}") from None

    async def _reach(self, wanted: Mapping[int, int]) -> None:
        waiter = Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._worth_a_look.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_some_wait())
        try:
            await waiter.reached
        finally:
            self._waiters.discard(waiter)

    async def _look_while_some_wait(self) -> None:
        while self._waiters:
            self._worth_a_look.clear()
            try:
                await self._look()
            except Exception as error:  # Whatever it is, it is the callers' to see.
                self._fail(error)
                return
            if self._waiters:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_INTERVAL_S):
                        await self._worth_a_look.wait()

    async def _look(self) -> None:
        with unavailable_when_away():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(POSITIONS)).all()
        self._seen = merge_positions([self._seen, {row.partition: row.position for row in rows}])
        for waiter in [each for each in self._waiters if not _missing(each.wanted, self._seen)]:
            self._waiters.discard(waiter)
            if not waiter.reached.done():
                waiter.reached.set_result(None)

    def _fail(self, error: Exception) -> None:
        # A database that comes back may be another one, which was a replica and has not got as far.
        self._seen.clear()
        for waiter in self._waiters:
            if not waiter.reached.done():
                waiter.reached.set_exception(error)
        self._waiters.clear()

    def _behind(self, wanted: Mapping[int, int]) -> str:
        missing = sorted(_missing(wanted, self._seen).items())
        named = ", ".join(f"partition {partition} by {by}" for partition, by in missing[:NAMED_MAX])
        rest = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        return f"{named}{rest} (stream sequences)"


def _missing(wanted: Mapping[int, int], reached: Mapping[int, int]) -> dict[int, int]:
    """By how much each partition is behind what is wanted."""
    return {
        partition: wish - reached.get(partition, 0)
        for partition, wish in wanted.items()
        if wish > reached.get(partition, 0)
    }
