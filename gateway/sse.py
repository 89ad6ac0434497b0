"""Streams of messages as server-sent events.

`id:` is the message's resume token, which a browser sends back as `Last-Event-ID` when it connects again; `data:` is
the field that the contract names as the response's body; a message without it is a heartbeat: a comment, and the token.
"""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode, aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.channels import Metadata
from gateway.json_writing import to_json
from gateway.problems import Problem, of_call
from gateway.routes import Route

RETRY_MS = 1_000
"""How long a browser waits before it connects again."""
OPENING_WAIT_S = 1.0
"""A call that neither answers nor fails within this is taken to be open; an error after it comes as an event."""
SILENCE_MAX_S = 45.0
"""Three heartbeats: a service that is silent for longer is gone, and the stream ends, to be opened anew."""
SEND_TIMEOUT_S = 60.0
"""A client that takes nothing for so long is gone. Until then it slows its own stream down, and nobody else's."""
LAST_WORDS_S = 1.0
RESUME_FIELD = "resume_token"
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

    async def open(
        self, route: Route, message: Message, metadata: Metadata, channel: aio.Channel, request: Request
    ) -> Response:
        """Opens a stream. Raises Problem if the call fails at its start."""
        if self._closed.is_set():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway stops; try again", headers={"retry-after": "1"})
        _resume(message, request)
        call = channel.unary_stream(
            route.rpc,
            request_serializer=route.request_type.SerializeToString,
            response_deserializer=route.response_type.FromString,
        )(message, metadata=metadata)
        first = asyncio.ensure_future(call.read())
        try:
            await asyncio.wait({first}, timeout=OPENING_WAIT_S)
        except BaseException:
            first.cancel()
            call.cancel()
            raise
        if first.done() and isinstance(error := first.exception(), aio.AioRpcError):
            raise of_call(error, route.method.input_type, route.body) from error
        return EventStream(route, call, first, self._closed)


class EventStream(Response):
    """One open stream: until the service or the gateway ends it, or its client goes."""

    def __init__(self, route: Route, call: Any, first: "asyncio.Future[Any]", closed: asyncio.Event) -> None:
        super().__init__(headers=HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self._route = route
        self._call = call
        self._first = first
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until there is a reason to stop."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        passing = asyncio.create_task(self._pass_on(send))
        reasons = (passing, asyncio.create_task(_left(receive)), asyncio.create_task(self._closed.wait()))
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._call.cancel()
            for task in (*reasons, self._first):
                task.cancel()
            await asyncio.wait((*reasons, self._first), timeout=LAST_WORDS_S)
        if passing.done() and not passing.cancelled():
            passing.result()
        async with asyncio.timeout(LAST_WORDS_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, send: Send) -> None:
        await _send(send, f"retry: {RETRY_MS}\n: connected\n\n".encode())
        reading: Awaitable[Any] = self._first
        try:
            while (message := await asyncio.wait_for(reading, SILENCE_MAX_S)) is not aio.EOF:
                await _send(send, _event(message, self._route.response_body))
                reading = self._call.read()
        except TimeoutError:
            return
        except aio.AioRpcError as error:
            if error.code() != StatusCode.UNAVAILABLE:  # Else the stream just ends: a client connects again by itself.
                problem = of_call(error, self._route.method.input_type)
                await _send(send, b"event: error\ndata: " + problem.document + b"\n\n")


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(message: Any, body: str) -> bytes:
    token = f"id: {message.resume_token}\n".encode()
    if not message.HasField(body):
        return b": heartbeat\n" + token + b"\n"
    return token + b"data: " + to_json(getattr(message, body)) + b"\n\n"


def _resume(message: Any, request: Request) -> None:
    if last := request.headers.get("last-event-id"):
        setattr(message, RESUME_FIELD, last)
