"""All services behind the gateway as one: every RPC of the contracts is answered as a test plans it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import httpx
from google.protobuf import message_factory
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.__main__ import start
from gateway.routes import SERVICES
from services.shared.errors import CallerError
from services.shared.lifecycle import Process
from services.shared.server import OPTIONS
from services.shared.settings import Settings
from services.shared.statuses import to_status


class FakeServices:
    """Remembers requests and metadata by RPC name, and answers with what is planned, or with an empty message."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.deadline_s: float | None = None
        self.answers: dict[str, Any] = {}
        """A message, or an exception: a CallerError, a grpc.StatusCode as services or libraries would end with."""
        self.updates: asyncio.Queue[Any] = asyncio.Queue()
        """What a watch answers, message by message; an exception or a code ends it."""
        self.watch_left = asyncio.Event()
        self.health = health.aio.HealthServicer()

    def add_to(self, server: aio.Server) -> None:
        """Serves all that the contracts name, and health."""
        for service in SERVICES.values():
            handlers = {method.name: self._handler(method) for method in service.methods}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(str(service.full_name), handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)

    async def set_health(self, service: str, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        await self.health.set(str(SERVICES[service].full_name), status.SERVING if serving else status.NOT_SERVING)

    def _handler(self, method: Any) -> Any:
        kinds: dict[str, Any] = {
            "request_deserializer": message_factory.GetMessageClass(method.input_type).FromString,
            "response_serializer": message_factory.GetMessageClass(method.output_type).SerializeToString,
        }
        empty = message_factory.GetMessageClass(method.output_type)()

        async def answer(request: Any, context: Any) -> Any:
            self._remember(request, context)
            return await _or_end(self.answers.get(method.name, empty), context)

        async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
            self._remember(request, context)
            try:
                while True:
                    yield await _or_end(await self.updates.get(), context)
            finally:
                self.watch_left.set()

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(watch, **kinds)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(watch, **kinds)
        return grpc.unary_unary_rpc_method_handler(answer, **kinds)

    def _remember(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.deadline_s = context.time_remaining()


async def _or_end(planned: Any, context: Any) -> Any:
    if isinstance(planned, CallerError):
        await context.abort_with_status(to_status(planned))
    if isinstance(planned, grpc.StatusCode):
        await context.abort(planned, "/internal/cause 10.0.0.7")
    return planned


@asynccontextmanager
async def served(services: FakeServices, port: int = 0) -> AsyncIterator[int]:
    """Serves them, and answers the port."""
    server = aio.server(options=OPTIONS)
    services.add_to(server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


@asynccontextmanager
async def gateway_to(port: int, *, anonymous: bool = True) -> AsyncIterator[int]:
    """A real gateway, with its real HTTP server, before services on one port; answers its own."""
    address = f"127.0.0.1:{port}"
    addresses: dict[str, Any] = {"ingest_address": address, "scorer_address": address, "query_address": address}
    process = Process()
    async with AsyncExitStack() as stack:
        await start(replace(Settings(), gateway_port=0, anonymous=anonymous, **addresses), stack, process)
        yield process.port


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway on this machine."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
