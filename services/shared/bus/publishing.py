"""Putting messages on the stream, one behind the other, without waiting for each."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api

from services.shared.bus.messages import Published
from services.shared.errors import RetriableError, StreamFull, Unavailable

STREAM_FULL_CODES = frozenset({10_077, 10_047, 10_023})
"""Maximum bytes, messages or resources of a stream exceeded; insufficient resources."""

logger = logging.getLogger(__name__)


class Acknowledgement(msgspec.Struct):
    """What the stream answers to a message."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


class Publishing:
    """Publishes messages one behind the other without waiting for each, and matches the answers to them.

    The library's own way to do that never ends for a message that the stream refuses.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Published | RetriableError]] = {}
        self._numbers = itertools.count()

    async def open(self) -> None:
        """Starts to listen for answers."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)

    async def publish(
        self, messages: Sequence[tuple[str, bytes, str]], stream: str
    ) -> list[Published | RetriableError]:
        """Publishes (subject, payload, message id) in this order and waits for all answers: where each stands, or why
        the stream refused it.
        """
        futures: dict[str, asyncio.Future[Published | RetriableError]] = {}
        try:
            for subject, payload, message_id in messages:
                number = str(next(self._numbers))
                futures[number] = self._waiting[number] = asyncio.get_running_loop().create_future()
                headers = {api.Header.MSG_ID.value: message_id, api.Header.EXPECTED_STREAM.value: stream}
                await self._client.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=headers)
            return [await future for future in futures.values()]
        finally:
            for number, future in futures.items():
                del self._waiting[number]
                future.cancel()

    async def _answered(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if not message.data:
            future.set_result(Unavailable("no stream takes this; send the same again later"))
            return
        answer = msgspec.json.decode(message.data, type=Acknowledgement)
        if answer.error is None:
            future.set_result(Published(answer.seq, answer.duplicate))
        elif answer.error.get("err_code") in STREAM_FULL_CODES:
            future.set_result(StreamFull("the stream is full; try again later"))
        else:
            logger.warning("the stream refuses a message: %s", answer.error)
            future.set_result(Unavailable("the stream refused; send the same again"))
