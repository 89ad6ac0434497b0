"""The services as processes of their own, to be killed, paused and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shared.settings import SETTINGS, Settings

READY_DEADLINE_S = 30.0


def free_port() -> int:
    """A port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process reads them."""
    values = {each.metadata["variable"]: getattr(settings, each.name) for each in SETTINGS}
    shown = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {**os.environ, **shown}


class ServiceProcess:
    """One service as a process."""

    def __init__(self, module: str, settings: Settings, port: int, log: Path) -> None:
        self._command = [sys.executable, "-m", module]
        self._environment = environment(settings)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{port}"

    def start(self) -> None:
        """Starts it; see `ready`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    async def ready(self, service: str) -> None:
        """Waits until it says that it is ready."""
        async with asyncio.timeout(READY_DEADLINE_S), aio.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=service)
            while True:
                try:
                    async for answer in stub.Watch(request, wait_for_ready=True):
                        if answer.status == health_pb2.HealthCheckResponse.SERVING:
                            return
                except aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise

    def kill(self) -> None:
        """Kills it without a word."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def pause(self) -> None:
        """Stops its clock."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Asks it to stop and answers its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
        return self._process.wait(timeout=READY_DEADLINE_S)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
