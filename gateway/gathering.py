"""Single events that come at the same time go to ingest together.

A call costs far more than the event in it. So while one is under way, those that come meanwhile wait for it to end, and
then share the next. Nobody waits for company: an event that comes alone is sent at once. Each gets the answer that it
would have got alone; only those of one key and tenant share a call.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.rpc import status_pb2
from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from gateway.channels import CALL_DEADLINE_S, Metadata
from services.shared.credentials import IDEMPOTENCY_KEY

TOGETHER_MAX = 100
"""Requests in one call, as the contract has it."""
GATHERED_BYTES_MAX = 33 * 1024
"""Of one request: hardly more than an event may have, so that a hundred fit into a message. A larger one goes alone."""
PATIENCE_S = 0.1
"""A call that takes longer, which is a hundred times as long as usual, does not hold up those who wait: they go."""


class Refused(Exception):
    """What ingest says of one request of several."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(eq=False, slots=True)
class Waiting:
    """A request that waits to be sent, or for its answer."""

    request: contract.PublishEventRequest
    until: float
    """When its time is over, by the loop's clock."""
    answer: "asyncio.Future[contract.PublishEventResponse]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Gathering:
    """Publishes events."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = IngestServiceStub(channel)
        self._lines: dict[Metadata, Line] = {}

    async def publish(self, request: contract.PublishEventRequest, metadata: Metadata) -> contract.PublishEventResponse:
        """What PublishEvent answers. Raises aio.AioRpcError as a call does, or Refused with the same in it."""
        if request.ByteSize() > GATHERED_BYTES_MAX or any(name == IDEMPOTENCY_KEY for name, _ in metadata):
            return await publish_alone(self._stub, request, metadata)
        line = self._lines.get(metadata)
        if line is None:
            line = self._lines[metadata] = Line(self._stub, metadata, lambda: self._lines.pop(metadata))
        return await line.publish(request)


class Line:
    """Those who send with the same key for the same tenant, from the first of them until there is nobody to wait for.
    One call at a time is under way for them, but for slow ones.
    """

    def __init__(self, stub: Any, metadata: Metadata, ended: Callable[[], object]) -> None:
        self._stub = stub
        self._metadata = metadata
        self._ended = ended
        self._waiting: list[Waiting] = []
        self.sending: set[asyncio.Task[None]] = set()
        """The calls under way that several share."""
        self._under_way: asyncio.TimerHandle | None = None
        """The patience with the call that the others wait for."""

    async def publish(self, request: contract.PublishEventRequest) -> contract.PublishEventResponse:
        """Sends a request: the first alone, at once. Answers as Gathering does."""
        if self._under_way is None:
            patience = self._depart()
            try:
                return await publish_alone(self._stub, request, self._metadata)
            finally:
                self._return(patience)
        waiting = Waiting(request, asyncio.get_running_loop().time() + CALL_DEADLINE_S)
        self._waiting.append(waiting)
        return await waiting.answer

    def _depart(self) -> asyncio.TimerHandle:
        self._under_way = asyncio.get_running_loop().call_later(PATIENCE_S, self._go_on)
        return self._under_way

    def _return(self, patience: asyncio.TimerHandle) -> None:
        patience.cancel()
        if self._under_way is patience:
            self._go_on()

    def _go_on(self) -> None:
        """Sends those who wait and have not given up."""
        waiting = [each for each in self._waiting if not each.answer.done()]
        self._waiting.clear()
        if not waiting:
            self._under_way = None
            self._ended()
            return
        sending = asyncio.create_task(self._send(waiting, self._depart()))
        self.sending.add(sending)
        sending.add_done_callback(self.sending.discard)

    async def _send(self, waiting: Sequence[Waiting], patience: asyncio.TimerHandle) -> None:
        parts = [waiting[start : start + TOGETHER_MAX] for start in range(0, len(waiting), TOGETHER_MAX)]
        try:
            await asyncio.gather(*map(self._send_part, parts))
        finally:
            self._return(patience)

    async def _send_part(self, together: Sequence[Waiting]) -> None:
        try:
            left_s = min(each.until for each in together) - asyncio.get_running_loop().time()
            request = contract.PublishEachRequest(requests=[each.request for each in together])
            answer = await self._stub.PublishEach(request, timeout=left_s, metadata=self._metadata)
            for each, result in zip(together, answer.results, strict=True):
                if each.answer.done():
                    continue
                if result.HasField("refused"):
                    each.answer.set_exception(Refused(result.refused))
                else:
                    each.answer.set_result(result.published)
        except Exception as error:
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)
        finally:
            for each in together:
                each.answer.cancel()  # Only if the gateway ends; nobody is left to wait for ever.


async def publish_alone(
    stub: Any, request: contract.PublishEventRequest, metadata: Metadata
) -> contract.PublishEventResponse:
    """Sends one request in a call of its own."""
    answer: contract.PublishEventResponse = await stub.PublishEvent(request, timeout=CALL_DEADLINE_S, metadata=metadata)
    return answer
