"""How far the scorers are behind the stream, and how fast they are."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.rollups import Kind
from services.scorer.rows import REASON_POISON
from services.shared.bus import Backlog, Bus
from services.shared.clock import US_PER_S, Clock
from services.shared.database import unavailable_when_away
from services.shared.errors import Unavailable

WINDOW_S = 60.0
SAMPLE_INTERVAL_S = 5.0
SAMPLE_APART_S = 1.0
"""Of samples that are nearer to each other, only the newest is kept: anybody may ask, as often as they like."""
PARTITIONS = text("SELECT partition, position, epoch, owner FROM partitions ORDER BY partition")
ALIVE = text("SELECT scorer_id FROM scorers WHERE alive_until > now() ORDER BY scorer_id")
DEAD_LETTERS = text("SELECT count(*) FROM quarantine WHERE tenant_id = :tenant_id AND reason = :poison AND state = 1")
COUNTED = text(
    "SELECT coalesce(sum(count), 0)::int8 FROM tenants JOIN rollups USING (tenant_id) WHERE kind = :source_events"
)
"""All events ever counted: a few rows for each tenant, kept for analytics anyway."""

logger = logging.getLogger(__name__)


class Throughput:
    """How fast a count rises, over the last minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, count: int) -> None:
        """Takes in what the count is at a time (of a clock that only runs on)."""
        if self._samples and count < self._samples[-1][1]:
            self._samples.clear()  # It is another database than before.
        if len(self._samples) > 1 and self._samples[-2][0] > at_s - SAMPLE_APART_S:
            self._samples.pop()
        self._samples.append((at_s, count))
        while len(self._samples) > 1 and self._samples[1][0] <= at_s - WINDOW_S:
            self._samples.popleft()
        if self._samples[0][0] < at_s - 2 * WINDOW_S:
            self._samples.popleft()

    @property
    def per_s(self) -> float:
        """The rise in a second; 0 until there are two counts."""
        if len(self._samples) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


class Progress:
    """Compares the committed positions with what the stream holds, and what is counted with what was a minute ago."""

    def __init__(self, bus: Bus, engine: AsyncEngine, clock: Clock, retries: Callable[[], int] = lambda: 0) -> None:
        """`retries` says how often this scorer has taken up again."""
        self._bus = bus
        self._engine = engine
        self._clock = clock
        self._retries = retries
        self._throughput = Throughput()

    async def keep(self) -> None:
        """Looks, for ever, how many events are counted, so that there is always something to compare with."""
        while True:
            try:
                with unavailable_when_away():
                    await self._sample()
            except Unavailable as error:
                logger.debug("cannot see how many events are counted: %s", error)
            await asyncio.sleep(SAMPLE_INTERVAL_S)

    async def _sample(self) -> None:
        async with self._engine.connect() as connection:
            counted = (await connection.execute(COUNTED, {"source_events": Kind.SOURCE_EVENTS})).scalar_one()
        self._throughput.add(asyncio.get_running_loop().time(), counted)

    async def report(self, tenant_id: str) -> contract.GetProgressResponse:
        """The progress of all scorers; dead letters are the tenant's own, retries this scorer's."""
        await self._sample()
        async with self._engine.connect() as connection:
            rows = (await connection.execute(PARTITIONS)).all()
            scorers = (await connection.execute(ALIVE)).scalars().all()
            poison = {"tenant_id": tenant_id, "poison": REASON_POISON}
            dead_letters = (await connection.execute(DEAD_LETTERS, poison)).scalar_one()
        backlogs = await asyncio.gather(*(self._bus.backlog(row.partition, row.position) for row in rows))
        partitions = [self._partition(row, backlog) for row, backlog in zip(rows, backlogs, strict=True)]
        return contract.GetProgressResponse(
            pending=sum(each.pending for each in partitions),
            lag_s=max((each.lag_s for each in partitions), default=0),
            partitions=partitions,
            scorers=scorers,
            dead_letters=dead_letters,
            events_per_s=self._throughput.per_s,
            retries=self._retries(),
        )

    def _partition(self, row: Row[tuple[int, int, int, str]], backlog: Backlog) -> contract.PartitionProgress:
        age_us = 0 if backlog.oldest_us is None else max(0, self._clock.now_us() - backlog.oldest_us)
        return contract.PartitionProgress(
            partition=row.partition,
            position=row.position,
            last_sequence=backlog.last_sequence,
            pending=backlog.pending,
            lag_s=age_us / US_PER_S,
            owner=row.owner,
            epoch=row.epoch,
        )
