"""The parts of a suite on one machine, each with the same few words: start, stop, kill, and whether it is well."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from embedded.child import Child
from embedded.probe import http_status

HEALTH_TIMEOUT_S = 3.0


class Part(Protocol):
    """A child process that is kept running. The embedded servers are parts, too."""

    name: str

    @property
    def child(self) -> Child:
        """Its process."""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""

    async def start(self) -> None:
        """Starts it."""

    async def healthy(self) -> bool:
        """Whether it answers."""

    async def stop(self) -> None:
        """Stops it in order."""

    async def kill(self) -> None:
        """Ends it at once."""


class ServicePart:
    """One of the suite's own processes."""

    def __init__(self, name: str, module: str, host: str, port: int, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # Where it is asked, not where it listens.
        self.port = port
        self._child = Child(name, [sys.executable, "-m", module], log=log, environment=environment)

    @property
    def child(self) -> Child:
        """Its process."""
        return self._child

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    async def start(self) -> None:
        """Starts the process; it says by itself when it is ready."""
        self._child.start()

    async def healthy(self) -> bool:
        """Whether the process answers; what it needs from others may be away."""
        return await self.serves("")

    async def ready(self) -> bool:
        """Whether it is ready."""
        return await self.serves(f"leadscore.{self.name}.v1.{self.name.capitalize()}Service")

    async def serves(self, service: str) -> bool:
        """Whether it says SERVING for a name."""
        async with aio.insecure_channel(f"{self.host}:{self.port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                request = health_pb2.HealthCheckRequest(service=service)
                answer = await stub.Check(request, timeout=HEALTH_TIMEOUT_S)
            except aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Stops it in order."""
        await self._child.stop()

    async def kill(self) -> None:
        """Ends it at once."""
        await self._child.kill()


class GatewayPart(ServicePart):
    """The gateway speaks HTTP."""

    async def healthy(self) -> bool:
        """Whether the process answers."""
        return await http_status(self.host, self.port, "/healthz", HEALTH_TIMEOUT_S) == 200

    async def ready(self) -> bool:
        """Whether it and all behind it are ready."""
        return await http_status(self.host, self.port, "/readyz", HEALTH_TIMEOUT_S) == 200
