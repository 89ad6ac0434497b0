"""Who consumes which partition: shared out evenly among the scorers that are alive, each under a lease in PostgreSQL.

A lease is renewed every second and runs out after a few. It is one row for all partitions of a scorer: the rows of the
partitions are locked by every commit, which would wait for the renewal, and the renewal for it. Taking a partition over
raises its epoch, and every transaction of a scorer checks owner and epoch: a scorer that was paused and lost its lease
without noticing cannot write.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LEASE_S = 4
"""After so long without a sign of life a scorer's partitions are free for the others."""
RENEW_INTERVAL_S = 1.0
"""Several tries fit into a lease."""

SHOW_LIFE = text(
    "INSERT INTO scorers (scorer_id, alive_until) VALUES (:me, now() + make_interval(secs => :lease)) "
    "ON CONFLICT (scorer_id) DO UPDATE SET alive_until = excluded.alive_until"
)
EVICT_DEAD = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN scorers "
    "ON application_name = :prefix || scorer_id AND alive_until < now() AND scorer_id <> :me "
    "WHERE datname = current_database() AND usename = current_user"
)
"""Ends what a scorer that was paused has begun. No timeout of PostgreSQL does it in the middle of a COPY, and what is
locked there would be locked for all as long as the scorer sleeps."""
FORGET_DEAD = text(
    "DELETE FROM scorers WHERE alive_until < now() - interval '1 minute' "
    "AND NOT EXISTS (SELECT FROM partitions WHERE owner = scorer_id)"
)
COUNT = text("SELECT count(*) FILTER (WHERE alive_until > now()) AS alive, count(*) AS known FROM scorers")
CREATE_PARTITIONS = text(
    "INSERT INTO partitions (partition) SELECT generate_series(0, :partitions - 1) ON CONFLICT DO NOTHING"
)
HELD = text("SELECT partition, epoch FROM partitions WHERE owner = :me")
CLAIM = text(
    "WITH dead AS (SELECT scorer_id FROM scorers WHERE alive_until < now() FOR UPDATE SKIP LOCKED) "
    "UPDATE partitions SET owner = :me, epoch = epoch + 1 WHERE partition IN "
    "(SELECT partition FROM partitions WHERE owner = '' OR owner IN (SELECT scorer_id FROM dead) ORDER BY partition "
    "LIMIT :wanted FOR UPDATE SKIP LOCKED) RETURNING partition, epoch"
)
"""From the dead only while they are held as such: one that shows life in that moment waits, and then sees what it has
lost; one that was quicker is not dead."""
RELEASE = text("UPDATE partitions SET owner = '' WHERE owner = :me AND partition = ANY(:surplus)")
LEAVE = text("UPDATE partitions SET owner = '' WHERE owner = :me")
LEAVE_LIFE = text("DELETE FROM scorers WHERE scorer_id = :me")

DATABASE_AWAY = (OperationalError, InterfaceError, DBAPIError, PoolTimeoutError, OSError)

logger = logging.getLogger(__name__)


def application_name(scorer_id: str) -> str:
    """The name by which the database knows a scorer's connections."""
    return f"leadscore-scorer-{scorer_id}"


class Ownership:
    """The partitions that this scorer holds, with their epochs."""

    def __init__(self, engine: AsyncEngine, scorer_id: str, partitions: int) -> None:
        self._engine = engine
        self._scorer_id = scorer_id
        self._partitions = partitions
        self._lease_ends = 0.0
        self.held: dict[int, int] = {}

    @property
    def certain(self) -> bool:
        """Whether the leases are certainly still ours, by this process's own clock."""
        return asyncio.get_running_loop().time() < self._lease_ends

    async def create(self) -> None:
        """Makes sure that there is a row for each partition."""
        async with self._engine.begin() as connection:
            await connection.execute(CREATE_PARTITIONS, {"partitions": self._partitions})

    async def keep(self, changed: Callable[[], None]) -> None:
        """Renews, claims and gives away leases, for ever. Calls `changed` whenever `held` has become another."""
        while True:
            try:
                if await self.renew():
                    changed()
            except DATABASE_AWAY as error:
                logger.warning("leases could not be renewed: %s", error)
            await asyncio.sleep(RENEW_INTERVAL_S)

    async def renew(self) -> bool:
        """One round: shows that we live, renews what we hold, takes what is free and ours to take, gives the surplus.
        Answers whether `held` has changed.
        """
        started = asyncio.get_running_loop().time()
        async with self._engine.begin() as connection:
            held = await self._round(connection)
        self._lease_ends = started + LEASE_S
        changed = held != self.held
        if changed:
            logger.info("holds partitions %s", sorted(held) or "none")
            self.held = held
        return changed

    async def _round(self, connection: AsyncConnection) -> dict[int, int]:
        me = {"me": self._scorer_id, "lease": LEASE_S}
        await connection.execute(SHOW_LIFE, me)
        alive, known = (await connection.execute(COUNT)).one()
        if alive < known:
            await connection.execute(EVICT_DEAD, {**me, "prefix": application_name("")})
            await connection.execute(FORGET_DEAD)
        held = {row.partition: row.epoch for row in await connection.execute(HELD, me)}
        share = math.ceil(self._partitions / alive)
        if len(held) < share:
            claimed = await connection.execute(CLAIM, {**me, "wanted": share - len(held)})
            held |= {row.partition: row.epoch for row in claimed}
        elif len(held) > share:
            surplus = sorted(held)[share:]
            await connection.execute(RELEASE, {"me": self._scorer_id, "surplus": surplus})
            held = {partition: epoch for partition, epoch in held.items() if partition not in surplus}
        return held

    async def leave(self) -> None:
        """Gives everything away at once, so that nobody has to wait for the leases to run out."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(LEAVE, {"me": self._scorer_id})
                await connection.execute(LEAVE_LIFE, {"me": self._scorer_id})
        except DATABASE_AWAY as error:
            logger.warning("leases could not be given back: %s", error)
