"""How far the scorers are behind the stream."""

import asyncio

from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.store import REASON_POISON
from services.shared.bus import Backlog, Bus
from services.shared.clock import US_PER_S, Clock

PARTITIONS = text("SELECT partition, position, epoch, owner FROM partitions ORDER BY partition")
ALIVE = text("SELECT scorer_id FROM scorers WHERE alive_until > now() ORDER BY scorer_id")
DEAD_LETTERS = text("SELECT count(*) FROM quarantine WHERE tenant_id = :tenant_id AND reason = :poison")


class Progress:
    """Compares the committed positions with what the stream holds."""

    def __init__(self, bus: Bus, engine: AsyncEngine, clock: Clock) -> None:
        self._bus = bus
        self._engine = engine
        self._clock = clock

    async def report(self, tenant_id: str) -> contract.GetProgressResponse:
        """The progress of all scorers; dead letters are the tenant's own."""
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
