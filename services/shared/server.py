"""A gRPC server as every service runs it: who asks, validation, errors, health, reflection, limits, an orderly stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.shared.credentials import Doorkeeper, set_caller
from services.shared.errors import FieldViolation, InvalidRequest, SettingError, TimedOut
from services.shared.field_rules import check
from services.shared.settings import LOOPBACK, Settings
from services.shared.statuses import to_status

MESSAGE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""A full batch of 4 MiB and the frame around it."""
METADATA_BYTES_MAX = 16 * 1024
"""A key, a tenant and a trace; more is a mistake or an attack."""
STREAMS_PER_CONNECTION_MAX = 10_000
"""Thousands of watchers may share one gateway's connection."""
KEEPALIVE_MS = 20_000
"""How soon a peer that vanished without a word is noticed."""
CALL_DEADLINE_S = 60.0
"""Bounds a unary call whose caller gave no deadline."""
READY_INTERVAL_S = 1.0
"""How soon a service says that something it needs has gone."""
UNREADY_INTERVAL_S = 0.1
"""How soon it says that all is there, or there again: somebody may be waiting for that."""
SHARED_PORT = "grpc.so_reuseport"
"""Lets several processes listen on one port. Where nobody means that, a taken port must be an error."""
STOP_GRACE_S = 5.0
"""How long calls under way may take to end when the process stops."""

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    (SHARED_PORT, 0),
)

logger = logging.getLogger(__name__)


class Health:
    """What a service says of itself: alive as a process, and ready (what it needs is there)."""

    def __init__(self, servicer: health.aio.HealthServicer, service_name: str) -> None:
        self._servicer = servicer
        self._service_name = service_name

    async def set_ready(self, ready: bool) -> None:
        """Answers SERVING or NOT_SERVING under the service's name; the empty name stands for the process alone."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._servicer.set(self._service_name, status)


async def serve(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    service_name: str,
    add: Callable[[aio.Server], None],
    port: int,
    validate_requests: bool = True,
) -> tuple[int, Health]:
    """Starts a server and puts its orderly stop on `stack`. Answers the port and the health to be kept.

    With `validate_requests` every unary request is held against the field rules before its handler sees it; a service
    that answers item by item does that itself.
    """
    door = Door(Doorkeeper(settings), validate_requests)
    options = {**dict(OPTIONS), SHARED_PORT: int(settings.own_port > 0)}
    server = aio.server(interceptors=[door], options=tuple(options.items()))
    add(server)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (service_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    bound = _listen(server, settings.host, port)
    if settings.own_port:
        _listen(server, LOOPBACK, settings.own_port)
    await server.start()
    stack.push_async_callback(server.stop, STOP_GRACE_S)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    kept = Health(servicer, service_name)
    await kept.set_ready(False)
    stack.push_async_callback(servicer.enter_graceful_shutdown)
    logger.info("%s listens on %s:%d", service_name, settings.host, bound)
    return bound, kept


def _listen(server: aio.Server, host: str, port: int) -> int:
    """Opens a port and answers it. Raises SettingError if that cannot be."""
    try:
        bound = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise SettingError(f"port {port} on {host} is taken or may not be used; choose another one")
    return bound


class Door(aio.ServerInterceptor):
    """What happens before and after each handler of ours."""

    def __init__(self, doorkeeper: Doorkeeper, validate_requests: bool) -> None:
        self._doorkeeper = doorkeeper
        self._validate_requests = validate_requests
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        """By method, those of ours: there are as many as there are RPCs."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps a handler of ours; health and reflection are open to all."""
        method = handler_call_details.method
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith("/leadscore."):
            return handler
        self._handlers[method] = self._wrapped(handler)
        return self._handlers[method]

    def _wrapped(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        assert handler.request_deserializer is not None, "the contracts' messages are never taken raw"
        assert handler.response_serializer is not None
        read, write = _reading(handler.request_deserializer), _writing(handler.response_serializer)
        if handler.unary_unary is not None:
            unary = self._unary(handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(unary, read, write)
        if handler.unary_stream is not None:
            streaming = self._streaming(handler.unary_stream, checked=self._validate_requests)
            return grpc.unary_stream_rpc_method_handler(streaming, read, write)
        assert handler.stream_stream is not None, "the contracts have no client-streaming RPC"
        both = self._streaming(handler.stream_stream, checked=False)
        return grpc.stream_stream_rpc_method_handler(both, read, write)

    def _unary(self, inner: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def handle(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            try:
                self._admit(context)
                request = _readable(request)
                if self._validate_requests:
                    check(request)
                async with asyncio.timeout(CALL_DEADLINE_S):
                    return await inner(request, context)
            except TimeoutError:
                await _abort(context, TimedOut(f"the call took longer than {CALL_DEADLINE_S:.0f} s"))
            except Exception as error:
                await _abort(context, error)

        return handle

    def _streaming(self, inner: Callable[..., Any], *, checked: bool) -> Callable[..., AsyncIterator[Any]]:
        async def handle(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                self._admit(context)
                request = _each_readable(request) if hasattr(request, "__aiter__") else _readable(request)
                if checked:
                    check(request)
                async for response in inner(request, context):
                    yield response
            except Exception as error:
                await _abort(context, error)

        return handle

    def _admit(self, context: aio.ServicerContext[Any, Any]) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        set_caller(self._doorkeeper.admit(metadata))


def _reading(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Without this, grpc answers INTERNAL to bytes that are not the message, such as text that is not UTF-8."""

    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError as error:
            return error

    return read


def _writing(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Lets a handler answer a message that is serialized already: one serialization serves all watchers of a change."""

    def write(response: Any) -> bytes:
        return response if isinstance(response, bytes) else serialize(response)

    return write


def _readable(request: Any) -> Any:
    if isinstance(request, DecodeError):
        raise InvalidRequest([FieldViolation("", f"the request is not a message of this call: {request}")])
    return request


async def _each_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


async def _abort(context: aio.ServicerContext[Any, Any], error: Exception) -> None:
    if isinstance(error, aio.AbortError):
        raise error
    status = to_status(error)
    await context.abort_with_status(status)


async def keep_health(health: Health, ready: Callable[[], Awaitable[bool]]) -> None:
    """Looks, for ever, whether what the service needs is there, and says so."""
    while True:
        is_ready = await ready()
        await health.set_ready(is_ready)
        await asyncio.sleep(READY_INTERVAL_S if is_ready else UNREADY_INTERVAL_S)
