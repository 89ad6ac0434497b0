"""Batches in the order of the stream, each in three steps: planned, committed, announced.

The steps of neighbours overlap: while one batch is being committed, the next is planned and the one before is
announced. What has come while a batch was planned joins it, as long as it could not be committed anyway: the slower
commits are, the more each has to do, which is cheaper. Nothing is committed before what came earlier, and nothing is
announced before it is committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from services.scorer.announcements import Announcement
from services.scorer.announcer import Announcer
from services.scorer.batches import take_apart
from services.scorer.planning import Draft, Plan, Planner
from services.scorer.processor import NOT_POISON, POISON, Processor
from services.scorer.store import Session
from services.shared.bus import StreamMessage
from services.shared.errors import LeadscoreError

BATCH_BYTES_MAX = 1024 * 1024
"""Messages are gathered up to about this size (8 000 events) for one transaction: large enough to be fast, as a
lead is written once for all of its events, small enough to be soon with the watchers and to stay under 200 MB. A single
larger message is a batch of its own."""
PIECE_BYTES_MAX = 128 * 1024
"""Messages are taken apart and worked out up to about this size at a time (1 000 events), so that what only planning
needs to know of an event is held of few."""

T = TypeVar("T")


class Poisoned(LeadscoreError):
    """Messages hold something that cannot be processed; everything before them is committed."""

    def __init__(self, messages: Sequence[StreamMessage], before: Mapping[int, int], why: BaseException) -> None:
        super().__init__(f"a batch failed: {why}")
        self.messages = messages
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
        self._draft: Draft | None = None
        self._draft_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Waits for what is under way: it is committed, or it is not, but nobody goes on before that is known. What is
        only planned is forgotten.
        """
        self._draft = None
        await self.drain()

    async def submit(self, messages: Sequence[StreamMessage], more: Callable[[], bool]) -> None:
        """Plans messages with those that are only planned yet, and has them committed, unless there is `more` at hand
        that may join them. Raises what has failed before.
        """
        for piece in _pieces(messages):
            batch = take_apart(piece)
            if batch.erases:
                await self.drain()  # What is erased is looked for in the database.
            self._draft = self._draft or self._planner.begin(self._reads.now, erases=batch.erases)
            self._draft.messages += piece
            self._draft_bytes += sum(len(message.payload) for message in piece)
            await self._find_poison(self._draft, self._planner.add(self._draft, batch, self._reads.now))
            if batch.erases:
                await self.drain()
                await self._announcer.clear_outbox()  # It has the lead in it.
        if self._committing is None or self._committing.done() or not self.room or not more():
            await self._commit_planned()

    @property
    def room(self) -> int:
        """How many bytes of messages may join those that are only planned yet."""
        return max(0, BATCH_BYTES_MAX - self._draft_bytes)

    async def _commit_planned(self) -> None:
        draft, self._draft, self._draft_bytes = self._draft, None, 0
        if draft is not None:
            plan = await self._find_poison(draft, self._planner.complete(draft))
            await self._wait_for_commit()
            self._committing = self._begin(self._commit(plan))

    async def _find_poison(self, draft: Draft, step: Awaitable[T]) -> T:
        """Takes a step of planning. Raises Poisoned, when everything before is committed, if that cannot be done."""
        try:
            return await step
        except NOT_POISON:
            raise
        except POISON as error:
            self._draft, before = None, self._planner.positions
            await self.drain()
            raise Poisoned(draft.messages, before, error) from error

    async def drain(self) -> None:
        """Waits until everything is committed and announced. Raises what has failed."""
        try:
            await self._commit_planned()
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
            raise Poisoned(plan.messages, plan.before, error) from error
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


def _pieces(messages: Sequence[StreamMessage]) -> Iterator[list[StreamMessage]]:
    """All messages in their order, a piece at a time."""
    piece, size = list[StreamMessage](), 0
    for message in messages:
        piece.append(message)
        size += len(message.payload)
        if size >= PIECE_BYTES_MAX:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
