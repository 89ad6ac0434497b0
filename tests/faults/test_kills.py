"""Processes are killed in the middle of a load, and nothing in the result shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from embedded.nats import NatsServer
from embedded.postgres import Postgres
from services.ingest.service import SERVICE_NAME as INGEST
from services.scorer.prepare import prepare
from services.scorer.service import SERVICE_NAME as SCORER
from services.shared.settings import Settings
from tests.checks import assert_as_expected
from tests.processes import ServiceProcess, free_port
from tests.shop import Row, expected_of, send, shop_rows

SETTLED_DEADLINE_S = 60.0


class Line:
    """ingest and scorer as processes, on servers of the test's own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = replace(settings, ingest_port=free_port(), scorer_port=free_port())
        self.folder = folder
        self.ingest = self._process("ingest", self.settings.ingest_port)
        self.scorer = self._process("scorer", self.settings.scorer_port)

    def _process(self, name: str, port: int) -> ServiceProcess:
        settings = replace(self.settings, **{f"{name}_port": port})  # type: ignore[arg-type]
        return ServiceProcess(f"services.{name}", settings, port, self.folder / f"{name}-{port}.log")

    def another_scorer(self) -> ServiceProcess:
        return self._process("scorer", free_port())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Line]:
        try:
            self.ingest.start()
            self.scorer.start()
            await self.ingest.ready(INGEST)
            await self.scorer.ready(SCORER)
            yield self
        finally:
            self.scorer.stop()
            self.ingest.stop()

    async def load(self, rows: list[Row], disturb: Callable[[], Awaitable[None]]) -> None:
        """Sends the rows, disturbs when some are committed, and waits until all are."""
        async with aio.insecure_channel(self.ingest.address) as channel:
            stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
            sending = asyncio.create_task(send(stub, rows))
            await self.committed(1)
            await disturb()
            await sending
            await self.settled(await send(stub, rows[-1:]))

    async def committed(self, events: int) -> None:
        """Waits until so many events are in the database."""
        await self._database_says("SELECT count(*) >= %s FROM events", events)

    async def erased(self, leads: int) -> None:
        """Waits until so many erasures are done."""
        await self._database_says("SELECT count(*) >= %s FROM audit WHERE action = 'lead.erase'", leads)

    async def owned_by(self, scorers: int) -> None:
        """Waits until so many scorers share all partitions."""
        await self._database_says(
            "SELECT count(DISTINCT owner) = %s AND coalesce(bool_and(alive_until > now()), false) "
            "FROM partitions LEFT JOIN scorers ON scorer_id = owner",
            scorers,
        )

    async def _database_says(self, question: str, value: int) -> None:
        async with asyncio.timeout(SETTLED_DEADLINE_S):
            async with await psycopg.AsyncConnection.connect(self.settings.database_url, autocommit=True) as looking:
                while await (await looking.execute(question, [value])).fetchone() != (True,):
                    pass

    async def settled(self, token: str) -> None:
        """Waits until nothing is pending."""
        async with asyncio.timeout(SETTLED_DEADLINE_S), aio.insecure_channel(self.scorer.address) as channel:
            stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
            while True:
                try:
                    progress = await stub.GetProgress(scorer.GetProgressRequest(), wait_for_ready=True, timeout=30)
                    if progress.pending == 0:
                        return
                except aio.AioRpcError as error:
                    if error.code().name != "UNAVAILABLE":
                        raise


@pytest.fixture
def rows() -> list[Row]:
    return shop_rows(rows=6_000)


@pytest.fixture
def line(settings: Settings, tmp_path: Path) -> Line:
    return Line(settings, tmp_path)


async def test_a_scorer_killed_in_the_middle_of_a_load_changes_nothing(line: Line, rows: list[Row]) -> None:
    async with line.running():

        async def kill_and_start_again() -> None:
            line.scorer.kill()
            line.scorer.start()

        await line.load(rows, kill_and_start_again)
        assert_as_expected(line.settings.database_url, expected_of(rows))


async def test_a_scorer_killed_among_erasures_does_them_in_their_place_and_once(line: Line, rows: list[Row]) -> None:
    rows = without_conflicts(rows)
    before, after = rows[:3_000], rows[3_000:]
    gone = {row.user_id for row in before[:40]}
    async with line.running(), aio.insecure_channel(line.ingest.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        await send(stub, before)
        for lead in sorted(gone):
            await stub.DeleteLead(ingest.DeleteLeadRequest(lead_id=lead))
        await line.erased(1)
        line.scorer.kill()
        line.scorer.start()
        await line.settled(await send(stub, [*after, *before]))
    sent_before = {row.event_id for row in before}
    left = [row for row in before if row.user_id not in gone]
    left += [row for row in after if row.user_id not in gone or row.event_id not in sent_before]
    assert_as_expected(line.settings.database_url, expected_of(left))
    with psycopg.connect(line.settings.database_url) as connection:
        done = connection.execute("SELECT count(*) FROM audit WHERE action = 'lead.erase'").fetchone()
    assert done == (len(gone),)


async def test_the_stream_killed_in_the_middle_of_a_load_changes_nothing(
    line: Line, rows: list[Row], nats_server: NatsServer
) -> None:
    async with line.running():

        async def kill_and_start_again() -> None:
            await nats_server.kill()
            await nats_server.start()

        await line.load(rows, kill_and_start_again)
        assert_as_expected(line.settings.database_url, expected_of(rows))


async def test_a_database_killed_in_the_middle_of_a_load_changes_nothing(
    nats_server: NatsServer, tmp_path: Path, rows: list[Row]
) -> None:
    server = Postgres(tmp_path / "postgres", fsync=False)
    await server.start()
    settings = Settings(database_url=server.url, nats_url=nats_server.url, anonymous=True)
    await asyncio.to_thread(prepare, settings)
    try:
        async with Line(settings, tmp_path).running() as line:

            async def kill_and_start_again() -> None:
                await server.kill()
                await server.start()

            await line.load(rows, kill_and_start_again)
            assert_as_expected(settings.database_url, expected_of(rows))
    finally:
        await server.stop()


async def test_a_paused_scorer_loses_its_partitions_and_cannot_write_when_it_wakes(line: Line, rows: list[Row]) -> None:
    rows = without_conflicts(rows)
    second = line.another_scorer()
    async with line.running():
        second.start()
        try:
            await line.owned_by(2)

            async def pause_one_until_the_other_has_all() -> None:
                line.scorer.pause()
                await line.owned_by(1)
                line.scorer.resume()

            await line.load(rows, pause_one_until_the_other_has_all)
            assert_as_expected(line.settings.database_url, expected_of(rows))
        finally:
            second.stop()


async def test_the_partitions_of_a_dead_scorer_are_taken_over(line: Line, rows: list[Row]) -> None:
    rows = without_conflicts(rows)
    second = line.another_scorer()
    async with line.running():
        second.start()
        await line.owned_by(2)

        async def kill_one() -> None:
            second.kill()
            await line.owned_by(1)

        await line.load(rows, kill_one)
        assert_as_expected(line.settings.database_url, expected_of(rows))


def without_conflicts(rows: list[Row]) -> list[Row]:
    """With several scorers, of two contents for one id the one that is committed first stands: any of them."""
    standing: dict[str, Row] = {}
    return [row for row in rows if standing.setdefault(row.event_id, row) == row]
