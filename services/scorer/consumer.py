"""Consumes the partitions that this scorer holds, strictly in stream order, from the committed positions on."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping, Sequence

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.announcements import Announcement
from services.scorer.announcer import Announcer
from services.scorer.batches import take_apart
from services.scorer.chores import Chores
from services.scorer.optimism import Optimism
from services.scorer.ownership import Ownership
from services.scorer.pipeline import Pipeline, Poisoned
from services.scorer.planning import Planner
from services.scorer.processor import Processor
from services.scorer.store import Session, Store, Superseded
from services.shared.bus import Bus, Reader
from services.shared.clock import Clock
from services.shared.errors import OwnershipLost, RetriableError, StreamInterrupted, StreamRebuilt

READ_TIMEOUT_S = 1.0
"""How long an idle reader waits before it looks whether its partitions are still its own."""
RETRY_S_MIN = 0.05
RETRY_S_MAX = 2.0
"""The wait after a failure doubles from the one to the other: soon back, and no storm."""
CHORES_INTERVAL_S = 1.0
"""How often the consumer looks what is due beside events, while nothing is."""
PURGE_ROUND_S = 10.0
"""How often what is committed is removed from the stream. That holds the stream up for some milliseconds a partition,
and what waits for it is some megabytes."""

LOAD_POSITIONS = text("SELECT partition, position FROM partitions WHERE partition = ANY(:partitions)")

DATABASE_AWAY = (psycopg.OperationalError, DBAPIError, PoolTimeoutError, OSError)
RETRY = (*DATABASE_AWAY, psycopg.errors.UniqueViolation, RetriableError, StreamInterrupted, OwnershipLost, Superseded)
"""After these everything is taken up again from the committed positions."""

logger = logging.getLogger(__name__)


class Consumer:
    """Reads, has batches processed, announces them and says how far it has got."""

    def __init__(
        self,
        bus: Bus,
        engine: AsyncEngine,
        ownership: Ownership,
        store: Store,
        clock: Clock,
        announcer: Announcer,
    ) -> None:
        self._bus = bus
        self._engine = engine
        self._ownership = ownership
        self._store = store
        self._clock = clock
        self._processor = Processor(store, clock)
        self._optimism = Optimism(clock)
        self._chores = Chores(clock, store.scorer_id)
        self._announcer = announcer
        self._changed = asyncio.Event()
        self._committed: dict[int, int] = {}
        self._stopping = False
        self._ended = asyncio.Event()
        self.retries = 0
        """How often it has taken up again from the committed positions."""

    def partitions_changed(self) -> None:
        """Called when the partitions that this scorer holds are other ones."""
        self._changed.set()

    async def stop(self) -> None:
        """Waits until the consumer has ended with the batch that it is at."""
        self._stopping = True
        self._changed.set()
        await self._ended.wait()
        with contextlib.suppress(*DATABASE_AWAY):
            await self._announcer.clear_outbox()

    async def run(self) -> None:
        """Consumes until it is stopped. Failures that pass are waited out; anything unknown ends it."""
        try:
            await self._run()
        finally:
            self._ended.set()

    async def _run(self) -> None:
        wait_s = RETRY_S_MIN
        while not self._stopping:
            self._changed.clear()
            epochs = dict(self._ownership.held)
            try:
                try:
                    await self._consume(epochs)
                except Poisoned as error:
                    logger.warning("%s; trying its parts one by one", error)
                    await self._processor.sort_out(take_apart(error.messages), error.before, epochs)
                wait_s = RETRY_S_MIN
            except RETRY as error:
                self.retries += 1
                if isinstance(error, Superseded):
                    self._optimism.disappoint()
                logger.warning("takes up again from the committed positions: %s", error)
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, RETRY_S_MAX)

    async def purge(self) -> None:
        """Removes what is committed from the stream, for ever."""
        purged: dict[int, int] = {}
        while True:
            partitions = list(self._committed)
            for partition in partitions:  # Not all at once: whoever sends in that moment would wait for all of them.
                await asyncio.sleep(PURGE_ROUND_S / len(partitions))
                position = self._committed[partition]
                if position > purged.get(partition, 0):
                    with contextlib.suppress(RetriableError):
                        await self._bus.purge_events(partition, position)
                        purged[partition] = position
            if not partitions:
                await asyncio.sleep(PURGE_ROUND_S)

    async def _consume(self, epochs: dict[int, int]) -> None:
        """Consumes the partitions held until they change."""
        if not epochs:
            await self._changed.wait()
            return
        await self._announcer.announce_left_behind()
        positions = await self._load_positions(epochs)
        await self._check_stream(max(positions.values()))
        await self._report(positions)
        async with (
            self._bus.read_events(sorted(epochs), min(positions.values())) as reader,
            self._store.session() as reads,
            self._store.session() as writes,
        ):
            planner = Planner(self._clock, positions, min(epochs), self._optimism)

            def failed() -> None:
                reader.interrupt("a batch failed")

            steps = self._processor, planner, self._announcer, (reads, writes), epochs
            async with Pipeline(*steps, tell=self._tell, failed=failed) as pipeline:
                await self._work(reader, positions, planner, pipeline, (reads, writes), epochs)

    async def _work(
        self,
        reader: Reader,
        positions: dict[int, int],
        planner: Planner,
        pipeline: Pipeline,
        sessions: tuple[Session, Session],
        epochs: dict[int, int],
    ) -> None:
        reads, writes = sessions
        next_chores, busy = 0.0, False
        while not self._changed.is_set():
            messages = await reader.read(0 if busy else READ_TIMEOUT_S, pipeline.room)
            if messages:
                batch = [each for each in messages if each.sequence > positions.get(each.partition, 0)]
                await pipeline.submit(batch, lambda: reader.waits)
            if busy or asyncio.get_running_loop().time() >= next_chores:
                # Asked beside a commit under way: to wait for one each time took a sixth of the time under load.
                if busy or await self._chores.are_due(reads.now, epochs):
                    await pipeline.drain()
                    busy = await self._do_chores(epochs, planner, writes)
                next_chores = asyncio.get_running_loop().time() + CHORES_INTERVAL_S

    async def _do_chores(self, epochs: dict[int, int], planner: Planner, writes: Session) -> bool:
        """Does a slice of what is due beside events. Answers whether there may be more of it."""
        announcements = await self._chores.do_some(writes, epochs)
        if announcements is None:
            return False
        planner.forget_leads()
        await self._announce(announcements)
        return True

    async def _tell(self, announcements: Sequence[Announcement], positions: Mapping[int, int]) -> None:
        """Says how far the scorer has got, and what has changed."""
        await self._report(positions)
        await self._announce(announcements)

    async def _announce(self, announcements: Sequence[Announcement]) -> None:
        if not self._ownership.certain:
            # Whoever took the partitions over announces what is in the outbox; a late repeat of ours could come after
            # newer changes.
            raise OwnershipLost("the leases may have run out")
        await self._announcer.announce(announcements)

    async def _check_stream(self, position: int) -> None:
        """Without this, a stream that was lost and counts from 1 again would have its facts passed over in silence."""
        kept = await self._bus.events_kept()
        if kept.last < position:
            raise StreamRebuilt(
                f"the stream EVENTS ends at {kept.last}, but {position} is committed from it: it was lost and made "
                "anew. Nothing is consumed; bring the old stream back, or set the positions in table partitions to 0"
            )

    async def _report(self, positions: Mapping[int, int]) -> None:
        self._committed.update(positions)
        await self._bus.say_progress(positions)

    async def _load_positions(self, epochs: dict[int, int]) -> dict[int, int]:
        async with self._engine.connect() as connection:
            rows = await connection.execute(LOAD_POSITIONS, {"partitions": list(epochs)})
            return {row.partition: row.position for row in rows}
