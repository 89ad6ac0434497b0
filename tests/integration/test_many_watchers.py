"""Thousands who watch one query process: all get everything in order, and those who are stuck delay nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from grpc import aio
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.stream.v1 import stream_pb2

from services.query.service import SERVICE_NAME
from services.shared import bus as stream
from services.shared.settings import Settings
from tests.announced import Leads
from tests.processes import ServiceProcess, free_port

WATCHERS = 2_000
STUCK = 100
CHANNELS = 8
OPENED_AT_ONCE = 100
ANNOUNCEMENTS = 10
LEADS = ("ada", "grace")
PADDING = "x" * 8_000
"""As an event id: with it, what a stuck watcher does not take is more than the buffers on the way hold."""
DEADLINE_S = 60

Call = Any


@pytest.fixture
async def process(settings: Settings, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    port = free_port()
    process = ServiceProcess("services.query", replace(settings, query_port=port), port, tmp_path / "query.log")
    process.start()
    await process.ready(SERVICE_NAME)
    yield process
    assert process.stop() == 0


@pytest.fixture
async def stubs(process: ServiceProcess) -> AsyncIterator[list[query_service_pb2_grpc.QueryServiceAsyncStub]]:
    async with AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]  # Else all channels to one address share a connection.
        channels = [aio.insecure_channel(process.address, options=options) for _ in range(CHANNELS)]
        yield [query_service_pb2_grpc.QueryServiceStub(await stack.enter_async_context(each)) for each in channels]


async def opened(stub: query_service_pb2_grpc.QueryServiceAsyncStub, gate: asyncio.Semaphore) -> Call:
    async with gate:
        call: Call = stub.WatchScores(query.WatchScoresRequest())
        assert not (await call.read()).HasField("update")
        return call


async def read_all(call: Call, last: int) -> list[tuple[str, int]]:
    """The versions of the leads as they come, up to the last one of each."""
    found: list[tuple[str, int]] = []
    ended = 0
    while ended < len(LEADS):
        message = await call.read()
        if message.HasField("update"):
            found.append((message.update.lead_id, message.update.version))
            ended += message.update.version == last
    return found


def payloads() -> Iterator[bytes]:
    """A change of each lead, again and again."""
    leads = Leads()
    for _ in range(ANNOUNCEMENTS):
        updates = list(leads.changes(LEADS))
        for update in updates:
            update.event_id = PADDING
        yield stream_pb2.ScoreAnnouncement(updates=updates).SerializeToString()


def resident_bytes(process: ServiceProcess) -> int:
    assert process._process is not None
    return int(psutil.Process(process._process.pid).memory_info().rss)


async def test_two_thousand_watchers_get_every_change_in_order_and_those_who_are_stuck_delay_nobody(
    settings: Settings, process: ServiceProcess, stubs: list[query_service_pb2_grpc.QueryServiceAsyncStub]
) -> None:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(OPENED_AT_ONCE)
    before = resident_bytes(process)
    async with asyncio.timeout(DEADLINE_S):
        calls = await asyncio.gather(*(opened(stubs[number % CHANNELS], gate) for number in range(WATCHERS)))
        per_watcher = (resident_bytes(process) - before) / WATCHERS
        stuck, reading = calls[:STUCK], calls[STUCK:]
        started = loop.time()
        found = asyncio.gather(*(read_all(call, ANNOUNCEMENTS) for call in reading))
        async with stream.connect(settings, "test", lambda: None) as bus:
            for number, payload in enumerate(payloads()):
                await bus.announce([("demo", payload, str(number))])
        everything = [(lead_id, version) for version in range(1, ANNOUNCEMENTS + 1) for lead_id in LEADS]
        assert all(each == everything for each in await found)
        took_s = loop.time() - started
        assert dict(await read_all(stuck[0], ANNOUNCEMENTS)) == dict.fromkeys(LEADS, ANNOUNCEMENTS)
    messages = len(reading) * len(everything)
    print(f"{per_watcher / 1024:.0f} KiB a watcher; {messages} messages in {took_s:.1f} s")  # noqa: T201 - a measurement
    for call in calls:
        call.cancel()
