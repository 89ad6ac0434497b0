"""All services behind the gateway as one: every RPC of the contracts is answered as a test plans it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
from click.testing import CliRunner, Result
from google.protobuf import message_factory
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from leadscore.admin.v1 import admin_service_pb2
from leadscore.ingest.v1 import ingest_service_pb2
from leadscore.query.v1 import query_service_pb2
from leadscore.scorer.v1 import scorer_service_pb2

from cli.__main__ import main
from gateway.__main__ import start
from services.shared.errors import CallerError
from services.shared.lifecycle import Process
from services.shared.server import OPTIONS
from services.shared.settings import Settings
from services.shared.statuses import to_status

CONTRACTS = {
    "ingest": ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"],
    "scorer": scorer_service_pb2.DESCRIPTOR.services_by_name["ScorerService"],
    "query": query_service_pb2.DESCRIPTOR.services_by_name["QueryService"],
    "admin": admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
}
END = object()
"""Ends a stream as one that is done."""


class FakeServices:
    """Remembers requests and metadata by RPC name, and answers with what is planned, or with an empty message."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.deadline_s: float | None = None
        self.answers: dict[str, Any] = {}
        """A message, or an exception: a CallerError, a grpc.StatusCode as services or libraries would end with; or a
        list of them, one for each call, of which the last goes on; or what is called with the request and awaited."""
        self.updates: asyncio.Queue[Any] = asyncio.Queue()
        """What a stream answers, message by message; an exception or a code ends it, as does END."""
        self.watch_left = asyncio.Event()
        self.health = health.aio.HealthServicer()

    def add_to(self, server: aio.Server) -> None:
        """Serves all that the contracts name, and health."""
        for service in CONTRACTS.values():
            handlers = {method.name: self._handler(method) for method in service.methods}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(str(service.full_name), handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)

    async def set_health(self, service: str, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        await self.health.set(str(CONTRACTS[service].full_name), status.SERVING if serving else status.NOT_SERVING)

    def _handler(self, method: Any) -> Any:
        kinds: dict[str, Any] = {
            "request_deserializer": message_factory.GetMessageClass(method.input_type).FromString,
            "response_serializer": message_factory.GetMessageClass(method.output_type).SerializeToString,
        }
        empty = message_factory.GetMessageClass(method.output_type)()

        async def answer(request: Any, context: Any) -> Any:
            self._remember(request, context)
            planned = self.answers.get(method.name, empty)
            if isinstance(planned, list):
                planned = planned.pop(0) if len(planned) > 1 else planned[0]
            if callable(planned):
                planned = await planned(request)
            return await _or_end(planned, context)

        async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
            self._remember(request, context)
            try:
                while (planned := await self.updates.get()) is not END:
                    yield await _or_end(planned, context)
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


@dataclass
class Terminal:
    """Runs commands as a user would, against services on one port, with nothing else set in the environment."""

    services: FakeServices
    environment: dict[str, str | None]

    async def run(self, *arguments: str, **environment: str) -> Result:
        """Runs a command in a thread, as the fakes live on this one's loop."""
        return await asyncio.to_thread(
            CliRunner().invoke, main, list(arguments), env={**self.environment, **environment}
        )


@asynccontextmanager
async def terminal_at(folder: Path) -> AsyncIterator[Terminal]:
    """A terminal and all services; `folder` has room for a suite's data."""
    services = FakeServices()
    environment: dict[str, str | None] = {"LEADSCORE_DATA_DIR": str(folder / "data"), "COLUMNS": "200"}
    environment |= dict.fromkeys(("LEADSCORE_API_KEY", "LEADSCORE_ADMIN_KEY", "LEADSCORE_TENANT"))
    async with served(services) as port:
        for name in ("INGEST", "SCORER", "QUERY"):
            environment |= {f"LEADSCORE_{name}_ADDRESS": f"127.0.0.1:{port}", f"LEADSCORE_{name}_PORT": None}
        yield Terminal(services, environment)


def cells(shown: Result) -> list[list[str]]:
    """The rows of the tables that a command has shown, without their headers' separators."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.stdout.splitlines() if "│" in line]


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
async def gateway_to(port: int, *, anonymous: bool = True, **settings: Any) -> AsyncIterator[int]:
    """A real gateway, with its real HTTP server, before services on one port; answers its own."""
    address = f"127.0.0.1:{port}"
    addresses: dict[str, Any] = {"ingest_address": address, "scorer_address": address, "query_address": address}
    process = Process()
    async with AsyncExitStack() as stack:
        await start(replace(Settings(), gateway_port=0, anonymous=anonymous, **addresses, **settings), stack, process)
        yield process.port


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway on this machine."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
