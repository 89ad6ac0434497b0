"""Streams of messages as server-sent events.

`id:` is the message's resume token, which a browser sends back as `Last-Event-ID` when it connects again; `data:` is
the field that the contract names as the response's body; a message without it is a heartbeat, and becomes a comment.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message
from grpc import aio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.channels import Metadata
from gateway.json_writing import to_json
from gateway.problems import of_call
from gateway.routes import Route

RETRY_MS = 1_000
"""How long a browser waits before it connects again."""
RESUME_FIELD = "resume_token"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""No proxy may keep events back."""


class EventStreams:
    """The event streams that are open."""

    def __init__(self) -> None:
        self._calls: set[Any] = set()

    def close(self) -> None:
        """Ends all streams, so that the process can stop; their clients come back with their tokens."""
        for call in list(self._calls):
            call.cancel()

    async def open(
        self, route: Route, message: Message, metadata: Metadata, channel: aio.Channel, request: Request
    ) -> Response:
        """Opens a stream. Raises Problem if the call fails before its first message."""
        _resume(message, request)
        call = channel.unary_stream(
            route.rpc,
            request_serializer=route.request_type.SerializeToString,
            response_deserializer=route.response_type.FromString,
        )(message, metadata=metadata)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            first = await call.read()
        except aio.AioRpcError as error:
            raise of_call(error, route.method.input_type, route.body) from error
        except BaseException:
            call.cancel()
            raise
        return StreamingResponse(_events(route, call, first), media_type="text/event-stream", headers=HEADERS)


async def _events(route: Route, call: Any, message: Any) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    try:
        while message is not aio.EOF:
            yield _event(message, route.response_body)
            message = await call.read()
    except aio.AioRpcError as error:
        yield b"event: error\ndata: " + of_call(error, route.method.input_type).document + b"\n\n"
    except asyncio.CancelledError:
        if not call.cancelled():  # The client has gone; if it was us, the stream just ends.
            raise
    finally:
        call.cancel()


def _event(message: Any, body: str) -> bytes:
    token = f"id: {message.resume_token}\n".encode()
    if not message.HasField(body):
        return b": heartbeat\n" + token + b"\n"
    return token + b"data: " + to_json(getattr(message, body)) + b"\n\n"


def _resume(message: Any, request: Request) -> None:
    if last := request.headers.get("last-event-id"):
        setattr(message, RESUME_FIELD, last)
