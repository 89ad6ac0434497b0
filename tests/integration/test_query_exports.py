"""Exports on a real database: each kind in each format is exactly what is stored, as it was at the start."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from click.testing import CliRunner
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import export_pb2 as query
from pypdf import PdfReader
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.__main__ import main
from services.query.exports import export, slices
from services.query.exports.export import Exports
from services.query.exports.sheets import SHEETS
from services.query.exports.slices import Scope, count_rows, read_slices
from services.query.reading import snapshot
from services.shared import database
from services.shared.schema import LEADS
from services.shared.settings import Settings
from tests.exported import AWKWARD, FORMATS, KINDS, MAKERS, expected, fill, read
from tests.parts import Suite
from tests.rpc.fake_services import client_of, gateway_to


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    connecting = database.connect(Settings(database_url=database_url), name="test", connections_max=10, read_only=True)
    async with connecting as engine:
        yield engine


@pytest.fixture
async def readers(settings: Settings) -> AsyncIterator[Suite]:
    """Query alone, on tables that the test fills."""
    async with Suite(settings) as suite:
        await suite.start("query")
        yield suite


async def exported(suite: Suite, **asked: Any) -> bytes:
    """The whole file; the counts on the way only grow, and end at the number of all rows if that is told."""
    data, rows = b"", 0
    async for piece in suite.query.Export(query.ExportRequest(**asked)):
        assert piece.rows >= rows and len(piece.data) <= 2 * export.PIECE_BYTES
        data, rows = data + piece.data, piece.rows
    return data


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_holds_exactly_what_is_stored(readers: Suite, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 4)
    rows = [MAKERS[kind](number, text) for number, text in enumerate(AWKWARD)]
    fill(readers.settings.database_url, kind, rows)
    foreign = [row | ({"item_id": row["item_id"] + 100} if kind == "quarantine" else {}) for row in rows]
    fill(readers.settings.database_url, kind, foreign, "another")
    wanted = expected(kind, rows)
    without_nulls = [{name: value for name, value in row.items() if value is not None} for row in wanted]
    for form in FORMATS:
        found = read(form, await exported(readers, kind=KINDS[kind], format=FORMATS[form]))
        assert found == (without_nulls if form == "ndjson" else wanted), form


async def test_of_nothing_there_is_a_file_too(readers: Suite) -> None:
    for form in FORMATS:
        data = await exported(readers, kind=KINDS["ledger"], format=FORMATS[form])
        assert read(form, data) == []
        assert data.count(b"\r\n") == (form == "csv") and bool(data) is (form != "ndjson")


async def test_the_rows_are_counted_before_they_come(readers: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 100)
    monkeypatch.setattr(export, "PIECE_BYTES", 4_096)
    fill(readers.settings.database_url, "leads", [MAKERS["leads"](number, "x") for number in range(450)])
    asked = query.ExportRequest(kind=KINDS["leads"], format=FORMATS["csv"])
    pieces = [piece async for piece in readers.query.Export(asked)]
    assert {piece.rows_total for piece in pieces} == {450} and pieces[-1].rows == 450
    assert len(pieces) > 10 and pieces[0].rows < 450
    assert all(4_096 <= len(piece.data) <= 8_192 for piece in pieces[:-1])


async def test_rows_that_take_too_long_to_count_are_not_counted(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "COUNT_TIMEOUT_MS", 1)
    with psycopg.connect(database_url) as other:
        # Whoever holds the table makes the counting wait.
        fill(database_url, "leads", [MAKERS["leads"](0, "x")])
        other.execute("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
        async with snapshot(engine) as connection:
            assert await count_rows(connection, SHEETS[KINDS["leads"]], Scope("demo")) == 0
            other.rollback()
            [rows] = [rows async for rows in read_slices(connection, SHEETS[KINDS["leads"]], Scope("demo"))]
            assert len(rows) == 1
            timeout = await connection.exec_driver_sql("SHOW statement_timeout")
            assert timeout.scalar_one() == "30s"


@pytest.mark.parametrize("kind", ["events", "ledger"])
async def test_one_leads_rows_are_only_its_own(readers: Suite, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 2)
    rows = [MAKERS[kind](number, text) for number, text in enumerate(AWKWARD)]
    fill(readers.settings.database_url, kind, rows)
    fill(readers.settings.database_url, "leads", [MAKERS["leads"](1, "x") | {"lead_id": "lead-1"}])
    data = await exported(readers, kind=KINDS[kind], format=FORMATS["parquet"], lead_id="lead-1")
    assert read("parquet", data) == expected(kind, [row for row in rows if row["lead_id"] == "lead-1"])


async def test_of_a_lead_that_is_not_known_there_is_no_file(readers: Suite) -> None:
    for lead_id in ("nobody", "a\0b"):
        with pytest.raises(aio.AioRpcError) as failed:
            await exported(readers, kind=KINDS["events"], format=FORMATS["csv"], lead_id=lead_id)
        assert failed.value.code() == grpc.StatusCode.NOT_FOUND


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": query.EXPORT_KIND_REPORT, "format": FORMATS["csv"]}, "format: must be PDF for a report"),
    ({"kind": KINDS["leads"], "format": query.EXPORT_FORMAT_PDF}, "format: must be PDF for a report"),
    ({"kind": KINDS["events"], "format": FORMATS["csv"], "filter": "score > 1"}, "filter: is for leads only"),
    ({"kind": KINDS["leads"], "format": FORMATS["csv"], "lead_id": "a"}, "lead_id: is for events and the ledger"),
    ({"kind": KINDS["quarantine"], "format": FORMATS["csv"], "lead_id": "a"}, "lead_id: is for events"),
    ({"kind": KINDS["leads"]}, "format: "),
    ({"format": FORMATS["csv"]}, "kind: "),
]


async def test_what_does_not_go_together_is_refused(readers: Suite) -> None:
    for asked, said in REFUSED:
        with pytest.raises(aio.AioRpcError) as failed:
            await exported(readers, **asked)
        assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert said in (failed.value.details() or "")


async def test_a_condition_is_looked_at_window_by_window(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 3)
    for count in (0, 1, 3, 7, 9):
        scope = Scope(f"tenant{count}", condition=LEADS.c.engagement % 3 == 1)
        rows = [MAKERS["leads"](number, AWKWARD[number]) for number in range(count)]
        if rows:
            fill(database_url, "leads", rows, scope.tenant_id)
        sheet = SHEETS[KINDS["leads"]]
        async with snapshot(engine) as connection:
            assert await count_rows(connection, sheet, scope) == len(rows[1::3])
            found = [row.lead_id async for part in read_slices(connection, sheet, scope) for row in part]
        assert found == sorted((row["lead_id"] for row in rows[1::3]), key=str.encode)


async def test_windows_cost_the_same_from_the_first_to_the_last(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 1)
    fill(database_url, "leads", [MAKERS["leads"](number, "x") for number in range(100)])
    lengths: list[int] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: lengths.append(len(said[2])))
    async with snapshot(engine) as connection:
        scope = Scope("demo", condition=LEADS.c.engagement % 50 == 1)
        found = [row async for part in read_slices(connection, SHEETS[KINDS["leads"]], scope) for row in part]
    assert len(found) == 2 and len(lengths) > 200
    assert max(lengths) - max(lengths[:4]) < 10


async def test_a_filter_is_that_of_the_leads(readers: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 4)
    rows = [MAKERS["leads"](number, text) for number, text in enumerate(AWKWARD)]
    fill(readers.settings.database_url, "leads", rows)
    words = 'score >= 3 AND (profile.name = "ä*" OR owner = "")'
    wanted = [
        row for row in rows if row["score"] >= 3 and (row["profile"].get("name", "")[:1] == "ä" or not row["owner"])
    ]
    data = await exported(readers, kind=KINDS["leads"], format=FORMATS["parquet"], filter=words)
    assert 0 < len(wanted) < len(rows) and read("parquet", data) == expected("leads", wanted)
    with pytest.raises(aio.AioRpcError) as failed:
        await exported(readers, kind=KINDS["leads"], format=FORMATS["csv"], filter="score >")
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (failed.value.details() or "").startswith("filter: ")


async def test_a_file_shows_everything_as_it_was_at_its_start(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 2)
    monkeypatch.setattr(export, "PIECE_BYTES", 64)
    rows = [MAKERS["leads"](number, "x") | {"lead_id": f"{number:03}"} for number in range(100)]
    fill(database_url, "leads", rows)
    asked = query.ExportRequest(kind=KINDS["leads"], format=FORMATS["ndjson"])
    pieces = Exports(engine).export("demo", asked)
    data = (await anext(pieces)).data
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE leads SET score = -1")
        other.execute("DELETE FROM leads WHERE lead_id = '090'")
    fill(database_url, "leads", [MAKERS["leads"](7, "new") | {"lead_id": "0995"}])
    async for piece in pieces:
        data += piece.data
    assert [json.loads(line)["leadId"] for line in data.splitlines()] == [row["lead_id"] for row in rows]
    assert [json.loads(line)["score"] for line in data.splitlines()] == [row["score"] for row in rows]


async def test_the_gateway_and_the_command_give_what_the_service_gives(readers: Suite, tmp_path: Path) -> None:
    fill(readers.settings.database_url, "leads", [MAKERS["leads"](number, "=x,ä") for number in range(3_000)])
    port = readers.running["query"].process.port
    wanted = await exported(readers, kind=KINDS["leads"], format=FORMATS["csv"])
    async with gateway_to(port) as gateway, client_of(gateway) as client:
        answer = await client.get("/v1/exports/leads.csv?filter=score>=-2")
        assert answer.headers["content-encoding"] == "gzip" and answer.content == wanted
    environment = {"LEADSCORE_QUERY_ADDRESS": f"127.0.0.1:{port}", "LEADSCORE_DATA_DIR": str(tmp_path)}
    words = ["export", "leads", "-o", str(tmp_path / "leads.csv")]
    shown = await asyncio.to_thread(CliRunner().invoke, main, words, env=environment)
    assert (shown.exit_code, (tmp_path / "leads.csv").read_bytes()) == (0, wanted)


async def test_what_was_just_sent_is_in_the_file_and_in_the_report(settings: Settings) -> None:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        sent = [event_pb2.Event(lead_id=f"lead {number} ☃", type="form_submission") for number in range(25)]
        token = (await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=sent))).consistency_token
        for kind in KINDS:
            rows = {"quarantine": 0}.get(kind, 25)
            data = await exported(suite, kind=KINDS[kind], format=FORMATS["parquet"], consistency_token=token)
            assert len(read("parquet", data)) == rows, kind
        form = query.EXPORT_FORMAT_PDF
        report = await exported(suite, kind=query.EXPORT_KIND_REPORT, format=form, consistency_token=token)
        assert report.startswith(b"%PDF-") and report.count(b"/Type /Page\n") == 1
        page = PdfReader(io.BytesIO(report)).pages[0].extract_text()
        assert "lead 17 ?" in page and "25 leads" in page
