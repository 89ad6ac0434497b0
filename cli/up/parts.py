"""The parts of a suite on one machine, each with the same few words: start, stop, kill, and whether it is well."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from embedded.child import Child
from embedded.probe import http_status
from services.shared.lifecycle import HELD

HEALTH_TIMEOUT_S = 3.0
STOP_GRACE_S = 6.0
"""A little more than the services give calls under way to end."""
OPTIONS = (("grpc.enable_http_proxy", 0),)


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
        """Starts it. Raises StartError."""

    async def healthy(self) -> bool:
        """Whether it answers."""

    async def stop(self) -> None:
        """Stops it in order."""

    async def kill(self) -> None:
        """Ends it at once."""


class ServicePart:
    """One of the suite's own processes."""

    def __init__(self, name: str, module: str, address: str, log: Path, environment: Mapping[str, str]) -> None:
        """`address` is where it is asked how it is, `host:port`."""
        self.name = name
        self.service = module.rpartition(".")[2]
        self._address = address
        self._child = Child(name, [sys.executable, "-m", module, HELD], log=log, environment=environment)

    @property
    def child(self) -> Child:
        """Its process."""
        return self._child

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    def hold(self) -> None:
        """Starts the process so far that it has imported what it needs."""
        self._child.start(held=True)

    async def start(self) -> None:
        """Starts the process, or lets go of one that is held; it says by itself when it is ready."""
        if self.alive:
            self._child.release()
        else:
            self._child.start()

    async def healthy(self) -> bool:
        """Whether the process answers; what it needs from others may be away."""
        return await self._serves("")

    async def ready(self) -> bool:
        """Whether it is ready."""
        return await self._serves(f"leadscore.{self.service}.v1.{self.service.capitalize()}Service")

    async def _serves(self, service: str) -> bool:
        async with aio.insecure_channel(self._address, options=OPTIONS) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                request = health_pb2.HealthCheckRequest(service=service)
                answer = await stub.Check(request, timeout=HEALTH_TIMEOUT_S)
            except aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Stops it in order."""
        await self._child.stop(grace_s=STOP_GRACE_S)

    async def kill(self) -> None:
        """Ends it at once."""
        await self._child.kill()


class GatewayPart(ServicePart):
    """The gateway speaks HTTP."""

    async def healthy(self) -> bool:
        """Whether the process answers."""
        return await self._says_ok("/healthz")

    async def ready(self) -> bool:
        """Whether it and all behind it are ready."""
        return await self._says_ok("/readyz")

    async def _says_ok(self, path: str) -> bool:
        host, _, port = self._address.rpartition(":")
        return await http_status(host.strip("[]"), int(port), path, HEALTH_TIMEOUT_S) == 200
