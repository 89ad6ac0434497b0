"""The services as parts of a test: started in the test's own process, on free ports, with stubs to call them."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from grpc import aio
from leadscore.admin.v1 import admin_service_pb2_grpc
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from services.shared.clock import Clock
from services.shared.lifecycle import Process
from services.shared.settings import Settings

STOP_DEADLINE_S = 30.0
"""A part that takes longer to stop hangs; its tasks are shown."""


class MovedClock:
    """The machine's clock, moved by some time."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1_000 + self.ahead_us

    def move(self, days: float) -> None:
        self.ahead_us += int(days * 86_400_000_000)


class Running:
    """A service that runs in this process."""

    def __init__(self, name: str, settings: Settings, **parts: Any) -> None:
        self._name = name
        self._settings = settings
        self._parts = parts
        self._stack = AsyncExitStack()
        self.process = Process()
        self.channel: aio.Channel | None = None

    async def start(self) -> aio.Channel:
        """Starts it and connects to it."""
        start = importlib.import_module(f"services.{self._name}.__main__").start
        await start(self._settings, self._stack, self.process, **self._parts)
        self.channel = aio.insecure_channel(f"127.0.0.1:{self.process.port}")
        return self.channel

    async def stop(self) -> None:
        """Stops it in order."""
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                if self.channel is not None:
                    await self.channel.close()
                await self._stack.aclose()
        except TimeoutError:
            for task in asyncio.all_tasks():
                sys.stderr.write(f"{task}\n")
            raise


class Suite:
    """Some services on one stream and one database. The scorer's clock may be one that the test moves."""

    admin: admin_service_pb2_grpc.AdminServiceAsyncStub
    ingest: ingest_service_pb2_grpc.IngestServiceAsyncStub
    scorer: scorer_service_pb2_grpc.ScorerServiceAsyncStub
    query: query_service_pb2_grpc.QueryServiceAsyncStub

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.running: dict[str, Running] = {}

    async def __aenter__(self) -> Suite:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for name in reversed(list(self.running)):
            await self.stop(name)

    async def start(self, *names: str) -> None:
        """Starts services by name, one after the other."""
        for name in names:
            parts = {"clock": self.clock} if name == "scorer" else {}
            running = self.running[name] = Running(name, self.settings, **parts)
            channel = await running.start()
            if name == "ingest":
                self.ingest = ingest_service_pb2_grpc.IngestServiceStub(channel)
            elif name == "scorer":
                self.scorer = scorer_service_pb2_grpc.ScorerServiceStub(channel)
                self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
            else:
                self.query = query_service_pb2_grpc.QueryServiceStub(channel)

    async def stop(self, name: str) -> None:
        """Stops a service in order."""
        await self.running.pop(name).stop()
