"""Batches of events on their way to the ingest service, in order, over one stream after the other.

A few batches are under way at a time; how fast they go, the service's flow control says. When a stream breaks, what it
had not answered is sent again over the next one, from the first such batch on. That is safe because every event has its
id before it is sent for the first time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from intake.patience import Patience, no_answer

if TYPE_CHECKING:
    from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceAsyncStub

BATCH_EVENTS_MAX = 500
"""Enough to make the cost of a message small; few enough that a progress bar moves."""
BATCH_BYTES_MAX = 1 << 20
"""A quarter of what the service takes at once."""
UNANSWERED_BATCHES_MAX = 4
"""Enough to keep the service busy while answers travel; each is memory here, and work to repeat after a break."""
ANSWER_TIMEOUT_S = 30.0
"""A batch takes milliseconds; a stream that is silent for this long is broken."""
END_TIMEOUT_S = 5.0
"""For the end of a stream on which everything is answered; nothing depends on it."""

Metadata = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Batch:
    """Events with the numbers of their rows."""

    events: list[Event] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it is to be sent."""
        return len(self.events) >= BATCH_EVENTS_MAX or self.size_bytes >= BATCH_BYTES_MAX

    def add(self, event: Event, row: int) -> None:
        """Adds the event of a row."""
        self.events.append(event)
        self.rows.append(row)
        self.size_bytes += event.ByteSize()


Answered = Callable[[Batch, contract.StreamEventsResponse], None]


class Delivery:
    """Sends batches and hands each one's answer to `answered`, in order. Raises AioRpcError when the service refuses,
    or when patience is at its end.
    """

    def __init__(
        self,
        stub: "IngestServiceAsyncStub",
        import_id: str,
        metadata: Metadata,
        patience: Patience,
        answered: Answered,
    ) -> None:
        self._stub = stub
        self._import_id = import_id
        self._metadata = metadata
        self._patience = patience
        self._answered = answered
        self._unanswered: deque[Batch] = deque()
        self._written = 0
        self._stream: _Stream | None = None
        self._flowing = False

    async def send(self, batch: Batch) -> None:
        """Sends a batch; waits for answers to earlier ones if too many are under way."""
        self._unanswered.append(batch)
        await self._advance(UNANSWERED_BATCHES_MAX - 1)

    async def finish(self) -> None:
        """Waits until every batch is answered, and ends the stream."""
        await self._advance(0)
        if self._stream is not None:
            await self._stream.end()

    def close(self) -> None:
        """Drops the stream. What was answered stays; nothing else is known of the rest."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._flowing = False

    async def _advance(self, unanswered_max: int) -> None:
        while True:
            try:
                await self._write()
                while len(self._unanswered) > unanswered_max:
                    await self._read_answer()
                    await self._write()
                return
            except aio.AioRpcError as error:
                self._take_answers()
                self.close()
                await self._patience.wait(error)

    async def _write(self) -> None:
        """Writes what waits. Of a new stream only one batch, until that is answered: it shows whether the service is
        there and willing, and if not, why. When a stream ends while it is written to, grpc hides the reason.
        """
        if self._stream is None and self._unanswered:
            self._stream = _Stream(self._stub.StreamEvents(metadata=aio.Metadata(*self._metadata)))
            self._written = 0
        end = len(self._unanswered) if self._flowing else min(1, len(self._unanswered))
        while self._stream is not None and self._written < end:
            batch = self._unanswered[self._written]
            await self._stream.write(contract.StreamEventsRequest(import_id=self._import_id, events=batch.events))
            self._written += 1

    async def _read_answer(self) -> None:
        assert self._stream is not None, "what is unanswered has been written"
        self._take(await self._stream.read())

    def _take_answers(self) -> None:
        """Takes the answers that had come before the stream broke: those batches need not be sent again."""
        while self._stream is not None and (answer := self._stream.read_nowait()) is not None:
            self._take(answer)

    def _take(self, answer: contract.StreamEventsResponse) -> None:
        self._written -= 1
        self._flowing = True
        self._patience.progressed()
        self._answered(self._unanswered.popleft(), answer)


class _Stream:
    """One StreamEvents call. Answers are taken off it at all times: a service that waits for room for its answers reads
    nothing, and a sender that waits for room meanwhile would wait for ever.
    """

    def __init__(self, call: "aio.StreamStreamCall[Any, contract.StreamEventsResponse]") -> None:
        self._call = call
        self._answers: asyncio.Queue[contract.StreamEventsResponse | aio.AioRpcError] = asyncio.Queue()
        self._receiving = asyncio.create_task(self._receive())

    async def write(self, request: contract.StreamEventsRequest) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._call.write(request)
        except TimeoutError:
            raise no_answer(f"ingest has taken nothing for {ANSWER_TIMEOUT_S:.0f} s") from None
        except (asyncio.InvalidStateError, aio.AioRpcError):
            end = await self._receiving
            if end.code() is grpc.StatusCode.INTERNAL:
                # What grpc makes of a write that failed, in place of the reason.
                end = no_answer("the stream to ingest broke")
            raise end from None

    async def read(self) -> contract.StreamEventsResponse:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._answers.get()
        except TimeoutError:
            raise no_answer(f"ingest has not answered for {ANSWER_TIMEOUT_S:.0f} s") from None
        if isinstance(answer, aio.AioRpcError):
            raise answer
        return answer

    def read_nowait(self) -> contract.StreamEventsResponse | None:
        """An answer that is there already; None if there is none."""
        answer = None if self._answers.empty() else self._answers.get_nowait()
        return answer if isinstance(answer, contract.StreamEventsResponse) else None

    async def end(self) -> None:
        """Lets the service end the stream, now that all is answered."""
        await self._call.done_writing()
        await asyncio.wait([self._receiving], timeout=END_TIMEOUT_S)

    def close(self) -> None:
        self._receiving.cancel()
        self._call.cancel()

    async def _receive(self) -> aio.AioRpcError:
        try:
            async for answer in self._call:
                self._answers.put_nowait(answer)
            end = no_answer("ingest ended the stream before it had answered")
        except aio.AioRpcError as error:
            end = error
        self._answers.put_nowait(end)
        return end
