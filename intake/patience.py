"""What to do when the service is away: wait and try again, up to a bound."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import cast

import grpc
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

FIRST_DELAY_S = 0.2
DELAY_MAX_S = 10.0
"""However long it has been away, its return is noticed within this."""

TRANSIENT = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,  # A server that stops ends its calls so.
})  # fmt: skip
"""After these the same may be sent again: with the same ids it counts once."""


class Patience:
    """Waits between attempts, longer each time and never at the same moment as others, until it is at its end."""

    def __init__(
        self,
        patience_s: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._patience_s = patience_s
        self._now = now
        self._sleep = sleep
        self._failures = 0
        self._failing_since = 0.0

    def progressed(self) -> None:
        """Something succeeded: begin anew at the next failure."""
        self._failures = 0

    async def wait(self, error: aio.AioRpcError) -> None:
        """Waits before the next attempt. Raises `error` if it is not transient, or has gone on for too long."""
        if error.code() not in TRANSIENT:
            raise error
        if self._failures == 0:
            self._failing_since = self._now()
        if self._now() - self._failing_since >= self._patience_s:
            raise error
        delay_s = min(DELAY_MAX_S, FIRST_DELAY_S * 2**self._failures) * random.uniform(0.5, 1.0)
        self._failures += 1
        await self._sleep(max(delay_s, min(DELAY_MAX_S, _asked_delay_s(error))))


def _asked_delay_s(error: aio.AioRpcError) -> float:
    """How long the service asks to wait; 0 if it does not."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    retry_info = error_details_pb2.RetryInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(retry_info):
            return float(retry_info.retry_delay.ToTimedelta().total_seconds())
    return 0.0


def no_answer(description: str) -> aio.AioRpcError:
    """The error of a call that went unanswered, as if the service had said so itself."""
    return aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), description)
