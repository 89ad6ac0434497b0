"""`leadscore export` against planned answers: a file has its name only when it is whole."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from leadscore.query.v1 import export_pb2 as query

from services.shared.errors import FieldViolation, InvalidRequest, TimedOut, TooMany
from tests.rpc.fake_services import END, Terminal, terminal_at

PIECES = [b"lead_id,score\r\n", b"a,1\r\n", "ä,2\r\n".encode()]
WHOLE = b"".join(PIECES)


@pytest.fixture
async def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with terminal_at(tmp_path) as found:
        yield found


def plan(terminal: Terminal, *answers: Any) -> None:
    rows = 0
    for answer in answers:
        is_piece = isinstance(answer, bytes)
        rows += is_piece
        planned = query.ExportResponse(data=answer, rows=rows, rows_total=3) if is_piece else answer
        terminal.services.updates.put_nowait(planned)


def files(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def content(name: str) -> bytes:
    return Path(name).read_bytes()


def link(name: str, target: str) -> None:
    Path(name).symlink_to(target)


def is_link(name: str) -> bool:
    return Path(name).is_symlink()


def keep_old_one(name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b"the old one")


async def test_a_file_is_named_for_what_is_in_it(terminal: Terminal) -> None:
    plan(terminal, *PIECES, END)
    shown = await terminal.run("export", "leads")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == f"leads.csv: 3 rows, {len(WHOLE)} bytes\n"
    assert files() == ["leads.csv"] and content("leads.csv") == WHOLE
    assert terminal.services.requests == [
        query.ExportRequest(kind=query.EXPORT_KIND_LEADS, format=query.EXPORT_FORMAT_CSV)
    ]


async def test_the_format_is_said_or_follows_from_the_name_or_from_what_it_is(terminal: Terminal) -> None:
    asked = {
        ("events", "-o", "x.ndjson"): (query.EXPORT_KIND_EVENTS, query.EXPORT_FORMAT_NDJSON),
        ("ledger", "-o", "X.PARQUET"): (query.EXPORT_KIND_LEDGER, query.EXPORT_FORMAT_PARQUET),
        ("quarantine", "-o", "x.txt"): (query.EXPORT_KIND_QUARANTINE, query.EXPORT_FORMAT_CSV),
        ("leads", "-o", "x.csv", "--format", "parquet"): (query.EXPORT_KIND_LEADS, query.EXPORT_FORMAT_PARQUET),
        ("report",): (query.EXPORT_KIND_REPORT, query.EXPORT_FORMAT_PDF),
    }
    for words, (kind, form) in asked.items():
        plan(terminal, b"x", END)
        assert (await terminal.run("export", *words)).exit_code == 0
        assert terminal.services.requests.pop() == query.ExportRequest(kind=kind, format=form)
    assert files() == ["X.PARQUET", "report.pdf", "x.csv", "x.ndjson", "x.txt"]


async def test_filter_lead_and_tenant_are_passed_on(terminal: Terminal) -> None:
    plan(terminal, b"x", END, b"x", END)
    await terminal.run("export", "leads", "--filter", "score > 5", "--tenant", "acme", "-o", "a")
    await terminal.run("export", "ledger", "--lead", "a/b", "-o", "b")
    first, second = terminal.services.requests
    assert (first.filter, second.lead_id) == ("score > 5", "a/b")
    assert "x-tenant-id" not in terminal.services.metadata


async def test_standard_output_gets_the_bytes_and_nothing_else(terminal: Terminal) -> None:
    plan(terminal, *PIECES, END)
    shown = await terminal.run("export", "leads", "-o", "-")
    assert (shown.exit_code, shown.stdout_bytes, files()) == (0, WHOLE, [])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimedOut("the export took longer than 3600 s"), "Error: the export took longer than 3600 s\n"),
        (TooMany("3 exports are made"), "Error: 3 exports are made\n"),
        (InvalidRequest([FieldViolation("filter", "is wrong at 7")]), "Error: filter: is wrong at 7\n"),
        (grpc.StatusCode.UNAVAILABLE, "Error: query does not answer at "),
    ],
)
async def test_half_a_file_is_never_left_under_the_name(terminal: Terminal, error: Any, sentence: str) -> None:
    keep_old_one("leads.csv")
    plan(terminal, PIECES[0], error)
    shown = await terminal.run("export", "leads")
    assert shown.exit_code == 1 and shown.stderr.startswith(sentence)
    assert files() == ["leads.csv"] and content("leads.csv") == b"the old one"


async def test_a_whole_file_takes_the_place_of_the_old_one_also_behind_a_link(terminal: Terminal) -> None:
    keep_old_one("there/leads.csv")
    link("link.csv", "there/leads.csv")
    plan(terminal, *PIECES, END)
    assert (await terminal.run("export", "leads", "-o", "link.csv")).exit_code == 0
    assert is_link("link.csv") and content("there/leads.csv") == WHOLE
    assert files("there") == ["leads.csv"]


async def test_a_pipe_is_written_to_as_it_is(terminal: Terminal) -> None:
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(content("pipe")), daemon=True)
    reader.start()
    plan(terminal, *PIECES, END)
    assert (await terminal.run("export", "leads", "-o", "pipe")).exit_code == 0
    reader.join(10)
    assert read == [WHOLE] and files() == ["pipe"]


async def test_where_nothing_can_be_written_that_is_said(terminal: Terminal) -> None:
    plan(terminal, *PIECES, END)
    shown = await terminal.run("export", "leads", "-o", "missing/leads.csv")
    assert (shown.exit_code, shown.stderr) == (
        1,
        "Error: missing/leads.csv cannot be written: No such file or directory\n",
    )
    assert (await terminal.run("export", "leads", "-o", ".")).exit_code == 2
    assert (await terminal.run("export", "lead")).exit_code == 2
    assert (await terminal.run("export", "leads", "--format", "xlsx")).exit_code == 2
    assert terminal.services.requests == []
