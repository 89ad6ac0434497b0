"""Exports go at the pace of whoever takes them, in memory that does not grow, and let go of the database in time."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc import aio
from leadscore.query.v1 import export_pb2 as query
from leadscore.query.v1 import query_service_pb2 as reads
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.exports import export, slices
from services.query.exports.encoders import encoder_of
from services.query.exports.export import Exports
from services.query.exports.sheets import SHEETS
from services.query.exports.text import Encoder, Rows
from services.shared import database, server
from services.shared.errors import TimedOut, TooMany, Unavailable
from services.shared.settings import Settings
from tests.exported import FORMATS, KINDS, MAKERS, fill, read
from tests.parts import Suite

ROWS = 200_000
LATE_GROWTH_BYTES_MAX = 16 * 1024 * 1024
"""In the second half of a file: whatever grows with the rows grows there too, by some 40 MB of text. How much the first
half takes depends on what the process did before."""
GENERATE = """
INSERT INTO events (tenant_id, event_id, lead_id, type, occurred_at, received_at, source, properties, digest)
SELECT 'demo', md5(n::text), 'lead-' || mod(n, 1000), 'page_view', now(), now(), 'web',
  jsonb_build_object('page', repeat(md5(n::text), 6), 'n', n), '\\x00'
FROM generate_series(1, %s) AS n
"""
OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND xact_start < now() - make_interval(secs => %s)
"""
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
ASKED = query.ExportRequest(kind=KINDS["events"], format=FORMATS["csv"])


@pytest.fixture
async def engine(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    monkeypatch.setattr(export, "ALIVE_INTERVAL_S", 0.1)
    async with pool(database_url) as engine:
        yield engine


def pool(url: str) -> AbstractAsyncContextManager[AsyncEngine]:
    return database.connect(Settings(database_url=url), name="test", connections_max=10, read_only=True)


def generate(url: str, rows: int) -> None:
    with psycopg.connect(url) as connection:
        # Nothing here looks for the events of a lead.
        connection.execute("DROP INDEX events_by_lead, notes_by_lead")
        connection.execute(GENERATE, [rows])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def ended(exports: Exports) -> None:
    """Waits until none holds anything."""
    await until(lambda: not exports.running)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


async def test_memory_does_not_grow_with_the_file(engine: AsyncEngine, database_url: str) -> None:
    await asyncio.to_thread(generate, database_url, ROWS)
    for name in ("csv", "parquet"):  # NDJSON goes the way of CSV.
        form = FORMATS[name]
        await asyncio.to_thread(encoder_of, form, SHEETS[ASKED.kind])  # Its library is loaded before.
        gc.collect()
        peaks, rows = [0, 0], 0
        asked = query.ExportRequest(kind=ASKED.kind, format=form)
        async for piece in Exports(engine).export("demo", asked):
            rows = piece.rows
            half = 2 * rows > ROWS
            peaks[half] = max(peaks[half], resident_bytes())
        assert rows == ROWS
        assert peaks[True] - peaks[False] < LATE_GROWTH_BYTES_MAX, name


async def test_whoever_is_slow_gets_the_whole_file(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ALIVE_INTERVAL_S", 0.1)
    monkeypatch.setattr(database, "IDLE_TIMEOUT_MS", 1_000)
    generate(database_url, 20_000)
    data = b""
    pauses = iter([1.5])
    async with pool(database_url) as engine:
        async for piece in Exports(engine).export("demo", ASKED):
            data += piece.data
            await asyncio.sleep(next(pauses, 0))
    assert len(read("csv", data)) == 20_000


async def test_whoever_takes_nothing_holds_nothing(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "STALL_S_MAX", 0.5)
    generate(database_url, 20_000)
    exports = Exports(engine)
    pieces = exports.export("demo", ASKED)
    await anext(pieces)
    assert exports.running == 1
    await ended(exports)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(OPEN, [0]).fetchone() == (0,)
    with pytest.raises(TimedOut, match="nothing of the export was taken"):
        await anext(pieces)


async def test_an_export_has_an_end(engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORT_S_MAX", 0.5)
    generate(database_url, 20_000)
    with pytest.raises(TimedOut, match="took longer"):
        async for _ in Exports(engine).export("demo", ASKED):
            await asyncio.sleep(0.2)


async def test_something_is_heard_while_nothing_is_found(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "SILENCE_S_MAX", 0.05)
    monkeypatch.setattr(slices, "COUNT_TIMEOUT_MS", 300)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        pieces = Exports(engine).export("demo", ASKED)
        silent = [await anext(pieces) for _ in range(3)]
        other.rollback()
    assert {piece.data for piece in silent} == {b""}
    assert b"".join([piece.data async for piece in pieces]).startswith(b"event_id,")


async def test_only_so_many_at_a_time_and_a_place_becomes_free(engine: AsyncEngine, database_url: str) -> None:
    generate(database_url, 20_000)
    exports = Exports(engine)
    async with AsyncExitStack() as stack:
        for _ in range(export.EXPORTS_MAX):
            pieces = await stack.enter_async_context(aclosing(exports.export("demo", ASKED)))
            await anext(pieces)
        with pytest.raises(TooMany):
            await anext(exports.export("demo", ASKED))
        # The reads of the others go on.
        assert await database.answers(engine)
    await ended(exports)
    assert len([piece async for piece in exports.export("demo", ASKED)]) > 1


async def test_a_call_that_is_left_lets_go_at_once(settings: Settings) -> None:
    async with Suite(settings) as suite:
        await suite.start("query")
        generate(settings.database_url, 50_000)
        calls: list[Any] = [suite.query.Export(ASKED) for _ in range(export.EXPORTS_MAX)]
        for call in calls:
            await call.read()
        with pytest.raises(aio.AioRpcError) as refused:
            await suite.query.Export(ASKED).read()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await suite.query.ListLeaderboard(reads.ListLeaderboardRequest())
        for call in calls:
            call.cancel()
        for _ in range(100):
            if (rows := await whole(suite)) is not None:
                break
            await asyncio.sleep(0.05)
        assert rows == 50_000


async def whole(suite: Suite) -> int | None:
    """How many rows came; None if there was no place."""
    try:
        return [piece.rows async for piece in suite.query.Export(ASKED)][-1]
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        return None


async def test_a_client_that_stops_reading_stops_the_reading_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ALIVE_INTERVAL_S", 0.1)
    monkeypatch.setattr(export, "STALL_S_MAX", 1.0)
    async with Suite(settings) as suite:
        await suite.start("query")
        generate(settings.database_url, 60_000)
        call: Any = suite.query.Export(ASKED)
        first = await call.read()
        await asyncio.sleep(1)
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            await until(lambda: connection.execute(OPEN, [1]).fetchone() == (0,))
        with pytest.raises(aio.AioRpcError) as failed:
            while (piece := await call.read()) is not aio.EOF:
                assert piece.rows < 60_000
        assert first.data and failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_process_that_stops_waits_for_no_export(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_GRACE_S", 0.3)
    async with Suite(settings) as suite:
        await suite.start("query")
        generate(settings.database_url, 60_000)
        call: Any = suite.query.Export(ASKED)
        await call.read()
        channel = suite.running["query"].channel
        suite.running["query"].channel = None  # The client goes later than the service.
        async with asyncio.timeout(5):
            await suite.stop("query")
        with pytest.raises(aio.AioRpcError):
            while await call.read() is not aio.EOF:
                pass
        assert channel is not None
        await channel.close()


async def test_a_database_that_goes_away_ends_the_file_with_an_error(engine: AsyncEngine, database_url: str) -> None:
    generate(database_url, 20_000)
    pieces = Exports(engine).export("demo", ASKED)
    await anext(pieces)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(END_ALL)
    with pytest.raises(Unavailable):
        async for _ in pieces:
            pass


async def test_nobody_waits_for_a_slice_to_be_encoded(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database_url, "leads", [MAKERS["leads"](number, "x") for number in range(3_000)])
    threads: list[int] = []

    class Watched:
        def __init__(self, encoder: Encoder) -> None:
            self._encoder = encoder

        def add(self, rows: Rows) -> bytes:
            threads.append(threading.get_ident())
            return self._encoder.add(rows)

        def finish(self) -> bytes:
            threads.append(threading.get_ident())
            return self._encoder.finish()

    monkeypatch.setattr(export, "encoder_of", lambda form, sheet: Watched(encoder_of(form, sheet)))
    for form in FORMATS.values():
        async for _ in Exports(engine).export("demo", query.ExportRequest(kind=KINDS["leads"], format=form)):
            pass
    assert len(threads) == 3 * 4 and threading.get_ident() not in threads
