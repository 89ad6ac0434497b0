"""A service's stream as the gateway passes it on: opened, read message by message, each made JSON once for all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc import aio

from gateway.channels import Metadata
from gateway.json_writing import to_json
from gateway.problems import Problem, of_call
from gateway.routes import RESUME_FIELD, Route

OPENING_WAIT_S = 1.0
"""A call that neither answers nor fails within this is taken to be open; an error after it comes on the open line."""
SILENCE_MAX_S = 45.0
"""Three heartbeats: a service that is silent for longer is gone, and the stream ends, to be opened anew."""
SEND_TIMEOUT_S = 60.0
"""A client that takes nothing for so long is gone. Until then it slows its own stream down, and nobody else's."""
LAST_WORDS_S = 1.0
MESSAGES_KEPT = 1_024
"""Messages whose JSON is kept: thousands of watchers get the same ones one after the other."""
KEPT_BYTES_MAX = 32 * 1024
"""A larger message is none that many get: the result of a simulation rather than a change or a top."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message of a stream."""

    token: str
    """Where the stream can be taken up again behind it; empty if it cannot."""
    document: bytes
    """The JSON of the field that the contract names as the response's body; empty in a heartbeat."""
    marks: tuple[str, ...]
    """What else the message says of it, in JSON's names: flags that are true."""


class Upstream:
    """A service's stream."""

    def __init__(self, route: Route, call: Any, first: "asyncio.Future[Any]") -> None:
        self._route = route
        self._call = call
        self._first = first

    async def messages(self) -> AsyncIterator[Told]:
        """The messages, until the service ends the stream. Raises Problem if it fails or falls silent."""
        try:
            raw = await self._read(self._first)
            while raw is not aio.EOF:
                yield read_message(raw, self._route)
                raw = await self._read(self._call.read())
        except TimeoutError:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service has been silent; watch again") from None
        except aio.AioRpcError as error:
            raise of_call(error, self._route.method.input_type) from error

    async def _read(self, reading: Awaitable[Any]) -> Any:
        # Not with wait_for, which makes a task for each message.
        async with asyncio.timeout(SILENCE_MAX_S):
            return await reading

    async def close(self) -> None:
        """Lets the service know that nobody listens any more."""
        self._call.cancel()
        self._first.cancel()
        await asyncio.wait([self._first], timeout=LAST_WORDS_S)


async def open_upstream(route: Route, message: Message, metadata: Metadata, channel: aio.Channel) -> Upstream:
    """Opens a service's stream. Raises Problem if the call fails at its start."""
    as_bytes: Any = channel.unary_stream(route.rpc, request_serializer=route.request_type.SerializeToString)
    call = as_bytes(message, metadata=metadata)
    first = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({first}, timeout=OPENING_WAIT_S)
    except BaseException:
        first.cancel()
        call.cancel()
        raise
    if first.done() and isinstance(error := first.exception(), aio.AioRpcError):
        raise of_call(error, route.method.input_type, route.body) from error
    return Upstream(route, call, first)


def read_message(raw: bytes, route: Route) -> Told:
    """A serialized message of a stream."""
    return _read_once(raw, route) if len(raw) <= KEPT_BYTES_MAX else _read(raw, route)


def _read(raw: bytes, route: Route) -> Told:
    message: Any = route.response_type.FromString(raw)
    token = getattr(message, RESUME_FIELD) if route.is_resumable else ""
    if not route.response_body:
        return Told(token, to_json(message), ())
    if not message.HasField(route.response_body):
        return Told(token, b"", ())
    return Told(token, to_json(getattr(message, route.response_body)), _marks(message))


_read_once = lru_cache(maxsize=MESSAGES_KEPT)(_read)


def _marks(message: Message) -> tuple[str, ...]:
    flags = [field for field in message.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_BOOL]
    return tuple(field.json_name for field in flags if getattr(message, field.name))
