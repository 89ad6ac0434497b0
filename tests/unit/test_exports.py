"""Encoding rows, and handing pieces on, without a database."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leadscore.query.v1 import export_pb2 as query
from pyarrow import parquet
from pypdf import PdfReader

from services.query.exports import parquet as parquet_files
from services.query.exports.encoders import encoder_of
from services.query.exports.handover import Handover
from services.query.exports.page import draw, fitting
from services.query.exports.report import BARS_MAX, Bar, Contents, Place, steps
from services.query.exports.sheets import SHEETS, Sheet, Type
from services.query.exports.text import FORMULA_STARTS, CsvEncoder, NdjsonEncoder, guard, to_rfc3339

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
EVENTS = SHEETS[query.EXPORT_KIND_EVENTS]
LEDGER = SHEETS[query.EXPORT_KIND_LEDGER]
AT = datetime(2026, 10, 1, tzinfo=UTC)

# What PostgreSQL can hold.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
awkward = texts | st.builds(str.__add__, st.sampled_from([*FORMULA_STARTS, "'", '"', ",", "\r\n", " "]), texts)
times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
objects = st.none() | st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3).map(
    json.dumps
)
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.TEXT: awkward,
    Type.WHOLE: st.integers(-(2**31), 2**31 - 1),
    Type.LONG: st.integers(-(2**63), 2**63 - 1),
    Type.TIME: st.none() | times,
    Type.NAME: st.sampled_from([1, 2, 99]),
    Type.JSON: objects,
}


def rows_of(sheet: Sheet) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(st.tuples(*(VALUES[column.type] for column in sheet.columns)), max_size=5)


def encoded(encoder: Any, rows: list[tuple[Any, ...]], slice_rows: int = 2) -> bytes:
    parts = [encoder.add(rows[at : at + slice_rows]) for at in range(0, len(rows), slice_rows)]
    return b"".join([*parts, encoder.finish()])


def plain(sheet: Sheet, rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [
        [c.name_of(v) if c.type is Type.NAME else v for c, v in zip(sheet.columns, row, strict=True)] for row in rows
    ]


def from_cell(kind: Type, cell: str) -> Any:
    if kind is Type.TIME:
        return datetime.fromisoformat(cell) if cell else None
    if kind is Type.JSON:
        return cell or None
    return int(cell) if kind in (Type.WHOLE, Type.LONG) else cell


@given(rows_of(LEDGER))
def test_csv_without_its_apostrophes_is_what_was_stored(rows: list[tuple[Any, ...]]) -> None:
    text = encoded(CsvEncoder(LEDGER), rows).decode()
    header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == LEDGER.names and text.endswith("\r\n")
    kinds = [column.type for column in LEDGER.columns]
    read = [[from_cell(kind, cell.removeprefix("'")) for kind, cell in zip(kinds, line, strict=True)] for line in lines]
    assert read == plain(LEDGER, rows)
    for line in lines:
        for kind, cell in zip(kinds, line, strict=True):
            assert kind in (Type.WHOLE, Type.LONG) or not cell.startswith(FORMULA_STARTS)
            assert kind is Type.TEXT or not cell.startswith("'")


@given(awkward)
def test_an_apostrophe_can_be_taken_away_without_a_doubt(text: str) -> None:
    assert guard(text).removeprefix("'") == text
    assert (guard(text) == text) is not text.startswith(("'", *FORMULA_STARTS))


def test_the_documented_way_to_read_csv_reads_it(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", DOCUMENTATION, re.DOTALL)
    assert code is not None
    defined: dict[str, Any] = {}
    exec(code[1], defined)
    rows = [(text, "l", "t", AT, AT, "'s'", None) for text in ("=1+1", "'", "''x", "a\r\nb", "-", "\ttab", "ä")]
    (tmp_path / "events.csv").write_bytes(encoded(CsvEncoder(EVENTS), rows))
    read = list(defined["read_export"](tmp_path / "events.csv"))
    assert [(row["event_id"], row["source"], row["properties"]) for row in read] == [
        (row[0], "'s'", "") for row in rows
    ]


@given(rows_of(EVENTS))
def test_ndjson_has_a_line_for_each_row_with_the_names_of_rest(rows: list[tuple[Any, ...]]) -> None:
    lines = encoded(NdjsonEncoder(EVENTS), rows).decode().split("\n")
    assert lines.pop() == ""
    names = ["eventId", "leadId", "type", "occurredAt", "receivedAt", "source", "properties"]
    for line, row in zip(lines, rows, strict=True):
        values = [*row[:3], *(at and to_rfc3339(at) for at in row[3:5]), row[5], row[6] and json.loads(row[6])]
        assert json.loads(line) == {name: value for name, value in zip(names, values, strict=True) if value is not None}


@given(rows_of(LEDGER))
def test_parquet_is_what_was_stored_with_its_types(rows: list[tuple[Any, ...]]) -> None:
    data = encoded(encoder_of(query.EXPORT_FORMAT_PARQUET, LEDGER), rows)
    table = parquet.read_table(pyarrow.BufferReader(data))
    assert [list(row.values()) for row in table.to_pylist()] == plain(LEDGER, rows)
    kinds = {field.name: (str(field.type), field.nullable) for field in table.schema}
    assert kinds["lead_id"] == ("string", False) and kinds["sequence"] == ("int64", False)
    assert kinds["delta"] == ("int32", False) and kinds["occurred_at"] == ("timestamp[us, tz=UTC]", True)


def test_a_row_group_ends_when_it_has_rows_or_bytes_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ("x" * 1_000, "l", "t", AT, AT, "s", None)
    for bound, value in (("GROUP_ROWS_MAX", 10), ("GROUP_BYTES_MAX", 10_000)):
        with monkeypatch.context() as patch:
            patch.setattr(parquet_files, bound, value)
            encoder = encoder_of(query.EXPORT_FORMAT_PARQUET, EVENTS)
            written = [encoder.add([row] * 5) for _ in range(6)]
            data = b"".join([*written, encoder.finish()])
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        assert [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)] == [10, 10, 10]
        assert [bool(part) for part in written] == [False, True] * 3


def test_a_time_is_shown_in_utc_to_the_microsecond() -> None:
    assert to_rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
    east = timezone(timedelta(hours=1))
    assert to_rfc3339(datetime(2026, 1, 1, 0, 0, 0, 7, tzinfo=east)) == "2025-12-31T23:00:00.000007Z"


async def test_pieces_are_handed_over_in_order_and_no_more_than_there_is_room_for() -> None:
    handover = Handover(2)
    assert [await handover.put(piece, 0.01) for piece in (b"1", b"2", b"3")] == [True, True, False]
    waiting = asyncio.create_task(handover.put(b"3", 10))
    taken = [await handover.take(1) for _ in range(3)]
    assert await waiting
    assert taken == [b"1", b"2", b"3"] and await handover.take(0.01) == b""
    await handover.put(b"4", 1)
    handover.end()
    assert [await handover.take(1), await handover.take(1), await handover.take(1)] == [b"4", None, None]


async def test_an_error_overtakes_the_pieces_that_wait() -> None:
    handover = Handover(2)
    await handover.put(b"1", 1)
    handover.end(ValueError("broken"))
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await handover.take(1)


@given(st.dictionaries(st.integers(-500, 200_000), st.integers(1, 1_000_000), min_size=1, max_size=30))
def test_steps_hold_every_lead_once_in_a_number_of_bars_that_can_be_read(counts: dict[int, int]) -> None:
    bars = steps(counts)
    assert sum(bar.leads for bar in bars) == sum(counts.values()) and 1 <= len(bars) <= BARS_MAX


def test_steps_have_round_numbers() -> None:
    assert steps({}) == []
    assert steps({3: 5, 5: 1}) == [Bar("3", 5), Bar("4", 0), Bar("5", 1)]
    assert [bar.label for bar in steps({0: 1, 100: 1})][:2] == ["0 to 9", "10 to 19"]
    assert steps({-7: 1, 12: 1})[0].label == "-7"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Müller & Söhne", "Müller & Söhne"),
        (
            "Jiří Dvořák, Nguyễn, Ελένη Παπαδάκη, Людмила Їжакевич",
            "Jiří Dvořák, Nguyễn, Ελένη Παπαδάκη, Людмила Їжакевич",
        ),
        ("Ａda ﾊ", "Ada ?"),
        ("e\u0301", "é"),
        ("€5 “ok” – …", "€5 “ok” – …"),
        ("山田 Ω \U0001f600", "?? Ω ?"),
        ("a\x00b\x1b[2Jc\nd\u202ee", "ab[2Jc de"),
        ("a\ud800b", "ab"),
    ],
)
def test_letters_that_the_fonts_lack_do_not_break_a_page(text: str, shown: str) -> None:
    assert fitting(text) == shown


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=300))
def test_any_text_fits(text: str) -> None:
    place = Place(1, text, text, text, 5, text, text)
    assert draw(Contents(text, AT, 1, [place], [Bar(text, 1)], [Bar(text, 1)])).startswith(b"%PDF-")


def test_a_report_is_one_page_with_text_and_bars() -> None:
    places = [Place(each, f"lead {each}", "x" * 300, "(C)", 10**9, "A1", "y" * 99) for each in range(1, 20)]
    places.append(Place(20, "lead 20", "Ελένη Їжакевич", "", 0, "D3", "new"))
    bars = [Bar(f"step {each}", each * 10**6) for each in range(20)]
    pdf = draw(Contents("demo", AT, 20, places, bars, bars[:1]))
    assert pdf.count(b"/Type /Page\n") == 1
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    for shown in ("Lead report", "demo", "2026-10-01 00:00 UTC", "lead 20", "step 19", "19M", "(C)", "Ελένη Їжакевич"):
        assert shown in text, shown
    assert zlib.decompress(pdf.partition(b"stream\n")[2]).count(b" re f") == 21
    assert draw(Contents("demo", AT, 0, [], [], [])).count(b"/Type /Page\n") == 1
