"""Streams of messages as server-sent events.

`id:` is the message's resume token, which a browser sends back as `Last-Event-ID` when it connects again; `data:` is
the field that the contract names as the response's body; a message without it is a heartbeat: a comment, and the token.
A stream that cannot be resumed has no tokens, and its messages are sent as they are.
"""

import asyncio
from http import HTTPStatus

from google.protobuf.message import Message
from grpc import aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import streaming
from gateway.channels import Metadata
from gateway.problems import Problem
from gateway.routes import RESUME_FIELD, Route
from gateway.streaming import LAST_WORDS_S, SEND_TIMEOUT_S, SILENCE_MAX_S, Told, Upstream, open_upstream

__all__ = ["LAST_WORDS_S", "RESUME_PARAMETERS", "SEND_TIMEOUT_S", "SILENCE_MAX_S", "EventStream", "EventStreams"]

RETRY_MS = 1_000
"""How long a browser waits before it connects again."""
RESUME_PARAMETERS = {"lastEventId": RESUME_FIELD}
"""For clients that cannot send the header when they connect for the first time."""
HEADERS = {"x-accel-buffering": "no"}
"""No proxy may keep events back."""


class EventStreams:
    """The event streams that are open."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ends all streams, so that the process can stop; their clients come back with their tokens."""
        self._closed.set()

    async def closed(self) -> None:
        """Waits until all streams are to end."""
        await self._closed.wait()

    async def upstream(
        self, route: Route, message: Message, metadata: Metadata, channel: aio.Channel, request: Request
    ) -> Upstream:
        """Opens a service's stream, where the request left it if it says so. Raises Problem if the call fails at its
        start.
        """
        if self._closed.is_set():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway stops; try again", headers={"retry-after": "1"})
        if route.is_resumable and (last := request.headers.get("last-event-id")):
            setattr(message, RESUME_FIELD, last)
        return await open_upstream(route, message, metadata, channel)

    async def open(
        self, route: Route, message: Message, metadata: Metadata, channel: aio.Channel, request: Request
    ) -> Response:
        """Opens a stream of events. Raises Problem if the call fails at its start."""
        return EventStream(await self.upstream(route, message, metadata, channel, request), self)


class EventStream(Response):
    """One open stream: until the service or the gateway ends it, or its client goes."""

    def __init__(self, upstream: Upstream, streams: EventStreams) -> None:
        super().__init__(headers=HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self._upstream = upstream
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until there is a reason to stop."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        passing = asyncio.create_task(self._pass_on(send))
        reasons = (passing, asyncio.create_task(_left(receive)), asyncio.create_task(self._streams.closed()))
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in reasons:
                task.cancel()
            await self._upstream.close()
            await asyncio.wait(reasons, timeout=LAST_WORDS_S)
        if passing.done() and not passing.cancelled():
            passing.result()
        async with asyncio.timeout(LAST_WORDS_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, send: Send) -> None:
        await _send(send, f"retry: {RETRY_MS}\n: connected\n\n".encode())
        try:
            async for told in self._upstream.messages():
                await _send(send, _event(told))
        except TimeoutError:
            return
        except Problem as problem:
            # Else the stream just ends: a client connects again by itself.
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                await _send(send, b"event: error\ndata: " + problem.document + b"\n\n")


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(streaming.SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(told: Told) -> bytes:
    token = f"id: {told.token}\n".encode() if told.token else b""
    if not told.document:
        return b": heartbeat\n" + token + b"\n"
    return token + b"data: " + told.document + b"\n\n"
