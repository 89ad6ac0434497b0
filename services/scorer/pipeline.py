"""Batches in the order of the stream, each in three steps: planned, committed, announced.

The steps of neighbours overlap: while one batch is being committed, the next is planned and the one before is
announced. Nothing is committed before what came earlier, and nothing is announced before it is committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from services.scorer.announcements import Announcement
from services.scorer.announcer import Announcer
from services.scorer.batches import Batch, take_apart
from services.scorer.planning import Plan, Planner
from services.scorer.processor import NOT_POISON, POISON, Processor
from services.scorer.store import Session
from services.shared.bus import StreamMessage
from services.shared.errors import LeadscoreError


class Poisoned(LeadscoreError):
    """A batch holds something that cannot be processed; everything before it is committed."""

    def __init__(self, batch: Batch, before: Mapping[int, int], why: BaseException) -> None:
        super().__init__(f"a batch failed: {why}")
        self.batch = batch
        self.before = dict(before)


class Pipeline:
    """Takes batches through the steps, for partitions held in some epochs. What fails is raised by the next call."""

    def __init__(
        self,
        processor: Processor,
        planner: Planner,
        announcer: Announcer,
        sessions: tuple[Session, Session],
        epochs: Mapping[int, int],
        tell: Callable[[Sequence[Announcement], Mapping[int, int]], Awaitable[None]],
        failed: Callable[[], None],
    ) -> None:
        self._processor = processor
        self._planner = planner
        self._announcer = announcer
        self._reads, self._writes = sessions
        self._epochs = epochs
        self._tell = tell
        self._failed = failed
        self._committing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Waits for what is under way: it is committed, or it is not, but nobody goes on before that is known."""
        await self.drain()

    async def submit(self, messages: Sequence[StreamMessage]) -> None:
        """Plans a batch, and has it committed as soon as the one before is. Raises what has failed before."""
        batch = take_apart(messages)
        if batch.erases:
            await self.drain()  # What is erased is looked for in the database.
        try:
            plan = await self._planner.plan(batch, self._reads.now)
        except NOT_POISON:
            raise
        except POISON as error:
            await self.drain()
            raise Poisoned(batch, self._planner.positions_of(batch), error) from error
        await self._wait_for_commit()
        self._committing = self._begin(self._commit(plan))
        if batch.erases:
            await self.drain()
            await self._announcer.clear_outbox()  # It has the lead in it.

    async def drain(self) -> None:
        """Waits until everything is committed and announced. Raises what has failed."""
        try:
            await self._wait_for_commit()
        finally:
            await self._wait_for_telling()

    async def _commit(self, plan: Plan) -> None:
        told = list(self._announcer.told)
        try:
            await self._processor.commit(plan, self._writes, self._epochs, told)
        except NOT_POISON:
            raise
        except POISON as error:
            raise Poisoned(plan.batch, plan.before, error) from error
        self._announcer.forget(told)
        self._planner.committed(plan)
        await self._wait_for_telling()
        self._telling = self._begin(self._tell(plan.announcements, plan.batch.positions))

    def _begin(self, step: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(step)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed()

    async def _wait_for_commit(self) -> None:
        task, self._committing = self._committing, None
        if task is not None:
            await task

    async def _wait_for_telling(self) -> None:
        task, self._telling = self._telling, None
        if task is not None:
            await task
