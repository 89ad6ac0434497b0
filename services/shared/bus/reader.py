"""Reading the stream strictly in order."""

import asyncio
import contextlib
import json
from itertools import accumulate, takewhile
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.shared.bus.messages import EVENTS, StreamMessage
from services.shared.errors import StreamInterrupted

FETCH_MESSAGES_MAX = 512
"""Messages asked for at a time: enough to keep the reader busy, few enough to stop soon."""
FETCH_MESSAGES_MIN = 64
AHEAD_BYTES = 1024 * 1024
"""Of large messages fewer are asked for, so that about this much is ahead of what was read, which is as much as the
scorer takes at a time."""
SIZES_REMEMBERED = 64
"""About so many messages make the size that is expected of the next ones."""
FETCH_BYTES_MAX = 16 * 1024 * 1024
"""Bounds what a reader holds when the messages are large."""
FETCH_EXPIRES_S = 30.0
HEARTBEAT_S = 2.0
"""The server shows itself this often while nothing comes; silence of three of these means: start again."""
CONSUMER_INACTIVE_S = 30.0
"""The server forgets the consumer of a reader that has gone."""
REQUEST_TIMEOUT_S = 5.0
"""For everything that is asked of the server."""


class Reader:
    """Reads messages of a stream strictly in order, from a sequence on, and never leaves one out in silence.

    A pull consumer without acks lives in the server's memory for as long as the reader does. The reader's place is
    its caller's: on any doubt (a gap, silence, a consumer that is gone) `read` raises StreamInterrupted, and the caller
    opens another reader behind what it has committed.
    """

    def __init__(
        self, client: Client, stream: JetStreamContext, name: str, subjects: list[str], after: int, ahead: int
    ) -> None:
        self._client = client
        self._stream = stream
        self._name = name
        self._ahead_max = ahead
        self._size = 0.0
        self._config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(after, 0) + 1,
            filter_subjects=subjects,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=CONSUMER_INACTIVE_S,
        )
        self._inbox = client.new_inbox()
        self._consumer = ""
        self._messages: list[StreamMessage] = []
        self._arrived = asyncio.Event()
        self._asked = 0
        self._delivered = 0
        self._interrupted: str | None = None
        self._subscription: Any = None
        self._sign_of_life = 0.0
        self.waiting_at_start = 0
        """Messages that were there when the reader was opened."""

    async def __aenter__(self) -> "Reader":
        """Opens the reader. Raises StreamInterrupted if the stream is away."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                info = await self._stream.add_consumer(self._name, self._config)
                self._consumer = info.name
                self.waiting_at_start = info.num_pending or 0
                self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamInterrupted(f"no consumer on {self._name}: {error}") from error
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Closes the reader; the server forgets its consumer."""
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                if self._subscription is not None:
                    await self._subscription.unsubscribe()
                await self._stream.delete_consumer(self._name, self._consumer)

    @property
    def waits(self) -> bool:
        """Whether messages have come that were not read yet."""
        return bool(self._messages)

    async def read(self, timeout_s: float, bytes_max: int = FETCH_BYTES_MAX) -> list[StreamMessage]:
        """The next messages that have come, in order, up to about `bytes_max`, a larger one alone; an empty list if
        none came within `timeout_s`. What is left over is for the next call, and more is fetched meanwhile.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self._messages:
            self._raise_if_interrupted()
            await self._ask_for_more()
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, HEARTBEAT_S * 3)):
                    await self._arrived.wait()
        sizes = accumulate(len(message.payload) for message in self._messages)
        number = max(1, sum(1 for _ in takewhile(lambda size: size <= bytes_max, sizes)))
        messages, self._messages = self._messages[:number], self._messages[number:]
        await self._ask_for_more()
        return messages

    def _raise_if_interrupted(self) -> None:
        if self._interrupted is not None:
            raise StreamInterrupted(self._interrupted)
        # Across calls: the callers' patience may be shorter than the time after which silence means something.
        if self._asked and asyncio.get_running_loop().time() > self._sign_of_life + HEARTBEAT_S * 3:
            raise StreamInterrupted(f"{self._name} has been silent")

    async def _ask_for_more(self) -> None:
        """Keeps one request for messages with the server, renewed when half of what may be ahead has been read."""
        ahead = self._asked + len(self._messages)
        wanted = min(self._ahead_max, max(FETCH_MESSAGES_MIN, int(AHEAD_BYTES / max(self._size, 1.0))))
        if ahead > wanted // 2:
            return
        more = wanted - ahead
        request = {
            "batch": more,
            "max_bytes": FETCH_BYTES_MAX,
            "expires": int(FETCH_EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        if not self._asked:  # Without a request, the server shows no sign of life either.
            self._sign_of_life = asyncio.get_running_loop().time()
        self._asked += more
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._name}.{self._consumer}",
                    json.dumps(request).encode(),
                    reply=self._inbox,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamInterrupted(f"cannot ask {self._name} for more: {error}") from error

    async def _receive(self, message: Msg) -> None:
        self._sign_of_life = asyncio.get_running_loop().time()
        headers = message.headers or {}
        status = headers.get(api.Header.STATUS.value)
        if status is None or message.data:
            self._take(message)
        elif "Nats-Pending-Messages" in headers:  # The request has ended: its time is over, or its bytes are used up.
            self._asked = max(0, self._asked - int(headers["Nats-Pending-Messages"]))
        elif status != "100":
            self.interrupt(f"{self._name} ended the reading with status {status}")
        self._arrived.set()

    def interrupt(self, why: str) -> None:
        """Makes the next `read` raise StreamInterrupted, once the messages that have come are read."""
        self._interrupted = why
        self._arrived.set()

    def _take(self, message: Msg) -> None:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp ns>.<pending>,
        # or with <domain>.<account hash> before the stream and a token behind.
        parts = message.reply.split(".")
        shift = 0 if len(parts) == 9 else 2
        sequence, in_order, stored_ns = (int(part) for part in parts[5 + shift : 8 + shift])
        if in_order != self._delivered + 1:
            self.interrupt(f"{self._name} left out messages before {sequence}")
        if self._interrupted is not None:
            return
        self._delivered = in_order
        self._asked -= 1
        subject = message.subject.split(".")
        partition = int(subject[2]) if self._name == EVENTS else -1
        self._size += (len(message.data) - self._size) / SIZES_REMEMBERED
        self._messages.append(StreamMessage(sequence, partition, subject[-1], message.data, stored_ns // 1_000))
