"""Rows become events by the mapping: columns, types, times, ids and properties."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from leadscore.event.v1.event_pb2 import Event

from intake.errors import FileRefused, MappingRefused, RowRefused
from intake.events import ColumnEvents, ObjectEvents
from intake.identity import RECENT_ROWS_MAX, RowIds
from intake.mapping import Mapping, build_mapping, parse_mapping
from intake.times import parse_time

HEADER = ["event_id", "lead_id", "type", "occurred_at", "source"]
BERLIN = ZoneInfo("Europe/Berlin")


def of_row(header: list[str], cells: list[str], mapping: Mapping | None = None) -> Event:
    return ColumnEvents(header, mapping or Mapping(), RowIds()).event(cells)


def of_object(row: dict[str, Any], mapping: Mapping | None = None) -> Event:
    return ObjectEvents(mapping or Mapping(), RowIds()).event(row)


def properties_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(event.properties)
    return found


def test_a_row_under_our_own_names_needs_no_mapping() -> None:
    event = of_row(HEADER, ["e1", "a/b+c=@ ä", "Page View", "2022-12-13T01:32:00.956Z", "shop"])
    assert (event.event_id, event.lead_id, event.type, event.source) == ("e1", "a/b+c=@ ä", "Page View", "shop")
    assert (event.occurred_at.seconds, event.occurred_at.nanos) == (1_670_895_120, 956_000_000)
    assert not event.HasField("properties")


def test_camel_case_names_are_recognised_too() -> None:
    event = of_row(["eventId", "leadId", "type", "occurredAt"], ["e1", "l", "t", "1670895120"])
    row = {"eventId": "e1", "leadId": "l", "type": "t", "occurredAt": 1_670_895_120}
    assert of_object(row) == event


def test_foreign_columns_types_and_times_are_translated() -> None:
    mapping = build_mapping(
        columns={"leadId": "user_id", "type": "event_type", "occurred_at": "ts"},
        types={"Order Completed": "purchase"},
        timezone="Europe/Berlin",
    )
    event = of_row(["user_id", "event_type", "ts"], ["u", "Order Completed", "2022-07-13 01:32:00"], mapping)
    assert (event.lead_id, event.type) == ("u", "purchase")
    assert event.occurred_at.ToDatetime() == datetime(2022, 7, 12, 23, 32)
    other = of_row(["user_id", "event_type", "ts"], ["u", "order completed", ""], mapping)
    assert other.type == "order completed", "types are mapped exactly as they are given"
    assert not other.HasField("occurred_at")


def test_columns_that_hold_no_field_become_properties() -> None:
    header = ["lead_id", "type", "email", "", "note"]
    assert properties_of(of_row(header, ["l", "t", "a@b", "x", ""])) == {"email": "a@b", "column_4": "x"}
    assert properties_of(of_object({"lead_id": "l", "type": "t", "n": 1, "deep": {"x": [None, True]}})) == {
        "n": 1,
        "deep": {"x": [None, True]},
    }


def test_the_mapping_says_which_columns_become_properties() -> None:
    header, cells = ["lead_id", "type", "email", "note"], ["l", "t", "a@b", "n"]
    row = dict(zip(header, cells, strict=True))
    for kept, expected in (("none", {}), (["note"], {"note": "n"}), ("rest", {"email": "a@b", "note": "n"})):
        mapping = build_mapping(properties=kept)
        assert properties_of(of_row(header, cells, mapping)) == expected
        assert properties_of(of_object(row, mapping)) == expected


@pytest.mark.parametrize("column", ["properties", "metadata"])
def test_an_object_in_a_column_gives_its_entries(column: str) -> None:
    cell = '{"budget": 5000, "tags": ["a"], "email": "own"}'
    expected = {"budget": 5000, "tags": ["a"], "email": "own"}
    header = ["lead_id", "type", "email", column]
    assert properties_of(of_row(header, ["l", "t", "other", cell])) == expected
    assert properties_of(of_object({"lead_id": "l", "type": "t", column: json.loads(cell)})) == expected
    with pytest.raises(RowRefused) as refused:
        of_row(header, ["l", "t", "", '{"a": 1, "a": 2}'])
    assert refused.value.field == "properties" and "a stands twice" in refused.value.description


def test_plain_text_in_metadata_is_kept_and_in_properties_refused() -> None:
    assert properties_of(of_row(["lead_id", "type", "metadata"], ["l", "t", "plain"])) == {"metadata": "plain"}
    with pytest.raises(RowRefused) as refused:
        of_row(["lead_id", "type", "properties"], ["l", "t", "plain"])
    assert refused.value.field == "properties"
    with pytest.raises(RowRefused):
        of_object({"lead_id": "l", "type": "t", "properties": "plain"})


def test_a_field_mapped_to_nothing_is_absent() -> None:
    mapping = build_mapping(columns={"source": "", "occurred_at": ""})
    event = of_row(["lead_id", "type", "source", "timestamp"], ["l", "t", "s", "1"], mapping)
    assert event.source == "" and not event.HasField("occurred_at")
    assert properties_of(event) == {"source": "s", "timestamp": "1"}
    assert of_object({"lead_id": "l", "type": "t", "source": "s", "timestamp": "1"}, mapping) == event


@pytest.mark.parametrize(
    ("header", "mapping", "words"),
    [
        (["user", "type"], {}, ["'lead_id'", "'user'"]),
        (["a", "b"], {}, ["'lead_id'", "'type'"]),
        (["lead_id", "type"], {"columns": {"lead_id": "user"}}, ["'user'", "'lead_id'"]),
        (["lead_id", "type"], {"columns": {"source": "origin"}}, ["'origin'", "'source'"]),
        (["lead_id", "type", "lead_id"], {}, ["'lead_id' twice"]),
        (["lead_id", "type", "leadId"], {}, ["two columns"]),
        (["lead_id", "type", "timestamp"], {}, ["'timestamp'", "occurred_at"]),
        (["lead_id", "type", "Event Time"], {}, ["'Event Time'", "occurred_at"]),
        (["lead_id", "type", "\x01"], {}, ["binary"]),
        (["lead_id", "type", "caf\udce9"], {}, ["not UTF-8"]),
        (["lead_id", "type"], {"properties": ["email"]}, ["'email'"]),
        (["lead_id", "type", *map(str, range(2_000))], {}, ["2002 columns"]),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_names(header: Any, mapping: Any, words: list[str]) -> None:
    with pytest.raises(FileRefused) as refused:
        ColumnEvents(header, build_mapping(**mapping), RowIds())
    assert all(word in refused.value.reason for word in words), refused.value.reason


@pytest.mark.parametrize(
    ("cells", "field", "word"),
    [
        (["e", "l", "t", "yesterday", "s"], "occurred_at", "'yesterday'"),
        (["e", "l", "t", "2022-13-01", "s"], "occurred_at", "'2022-13-01'"),
        (["e", "l", "t", ""], "", "4 fields"),
        (["e", "l", "t", "", "s", ""], "", "6 fields"),
        (["e", "caf\udce9", "t", "", "s"], "lead_id", "UTF-8"),
        (["\ud800", "l", "t", "", "s"], "event_id", "UTF-8"),
        (["e", "l", "t", "", "\udcff"], "source", "UTF-8"),
    ],
)
def test_a_row_that_cannot_become_an_event_is_refused_by_field(cells: list[str], field: str, word: str) -> None:
    with pytest.raises(RowRefused) as refused:
        of_row(HEADER, cells)
    assert refused.value.field == field and word in refused.value.description


def test_a_refused_field_names_its_column_if_that_is_another_one() -> None:
    mapping = build_mapping(columns={"occurred_at": "ts"})
    with pytest.raises(RowRefused) as refused:
        of_row(["lead_id", "type", "ts"], ["l", "t", "soon"], mapping)
    assert refused.value.field == "occurred_at" and "(column 'ts')" in refused.value.description


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"type": "t"}, "lead_id"),
        ({"lead_id": "l"}, "type"),
        ({"lead_id": 5, "type": "t"}, "lead_id"),
        ({"lead_id": "l", "type": ["t"]}, "type"),
        ({"lead_id": "l", "type": "t", "event_id": True}, "event_id"),
        ({"lead_id": "l", "type": "t", "occurred_at": False}, "occurred_at"),
        ({"lead_id": "l", "type": "t", "occurred_at": -1}, "occurred_at"),
        ({"lead_id": "l", "type": "t", "occurred_at": {}}, "occurred_at"),
        ({"lead_id": "l", "leadId": "l", "type": "t"}, "lead_id"),
        ({"lead_id": "l", "type": "t", "timestamp": "2022-01-01"}, "occurred_at"),
        ({"lead_id": "l", "type": "t", "properties": [1]}, "properties"),
        ({"lead_id": "l", "type": "t", "n": 10**400}, "properties"),
    ],
)
def test_an_object_that_cannot_become_an_event_is_refused_by_field(row: dict[str, Any], field: str) -> None:
    with pytest.raises(RowRefused) as refused:
        of_object(row)
    assert refused.value.field == field


def test_a_mapped_time_must_be_in_every_object_lest_events_be_dated_now() -> None:
    with pytest.raises(RowRefused) as refused:
        of_object({"lead_id": "l", "type": "t", "tx": "2022-01-01"}, build_mapping(columns={"occurred_at": "ts"}))
    assert refused.value.field == "occurred_at" and "'ts'" in refused.value.description


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("2022-12-13T01:32:00.956Z", 1_670_895_120_956_000),
        ("2022-12-13t01:32:00z", 1_670_895_120_000_000),
        ("2022-12-13 02:32:00.956000+01:00", 1_670_895_120_956_000),
        ("2022-12-13 01:32:00.956 UTC", 1_670_895_120_956_000),
        ("2022-12-13 01:32:00+00", 1_670_895_120_000_000),
        ("2022-12-12 20:32-0500", 1_670_895_120_000_000),
        ("2022-12-13 02:32:00.956000", 1_670_895_120_956_000),
        ("2022-12-13T02:32:00.956000999", 1_670_895_120_956_000),
        ("2022-12-13", 1_670_886_000_000_000),
        ("1670895120", 1_670_895_120_000_000),
        ("1670895120.956001", 1_670_895_120_956_001),
        ("1670895120956", 1_670_895_120_956_000),
        ("1670895120956001", 1_670_895_120_956_001),
        ("946684800", 946_684_800_000_000),
        ("946684800000", 946_684_800_000_000),
        ("946684800000000", 946_684_800_000_000),
        # Clocks go forward from 02:00 to 03:00: read with the offset before.
        ("2022-03-27 02:30:00", 1_648_344_600_000_000),
        # Clocks go back from 03:00 to 02:00: the first of the two.
        ("2022-10-30 02:30:00", 1_667_089_800_000_000),
    ],
)
def test_times_are_read_to_the_microsecond(text: str, expected_us: int) -> None:
    seconds, nanos = parse_time(text, BERLIN)
    assert seconds * 1_000_000 + nanos // 1_000 == expected_us


@pytest.mark.parametrize(
    "text",
    ["now", "13/12/2022", "2022-12-13T25:00:00Z", "2022-02-30", "-5", "1e9", "1" * 18, "20221213T01", "2022-W01-1",
     "١٢٣", "2022-12-13 01:32:00\x00", "2022-12-13 01:32:00+99:00", "", "\n", "0x10", "1_000", "nan",
     "2022-12-13T01:32:00ZZ"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text, UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_every_way_to_write_a_time_means_the_same(moment: datetime) -> None:
    total_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (moment.resolution)
    for text in (
        moment.isoformat(),
        moment.astimezone(BERLIN).isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S.%f}",
        str(total_us),
        f"{total_us // 1_000_000}.{total_us % 1_000_000:06}",
    ):
        seconds, nanos = parse_time(text, UTC)
        assert seconds * 1_000_000 + nanos // 1_000 == total_us, text


def test_rows_without_an_id_get_the_same_id_at_every_reading() -> None:
    rows = [["", "l", "t", "2022-01-01", ""], ["", "l", "t", "2022-01-01", ""], ["", "m", "t", "", ""]]
    first = ColumnEvents(HEADER, Mapping(), RowIds())
    again = ColumnEvents(HEADER, Mapping(), RowIds())
    ids = [first.event(row).event_id for row in rows]
    assert ids == [again.event(row).event_id for row in rows]
    assert len(set(ids)) == 3, "equal rows of one file are different events"
    assert of_row(HEADER[1:], rows[0][1:]).event_id == ids[0], "whether there is a column for ids does not matter"
    as_object = {"lead_id": "l", "type": "t", "occurred_at": "2022-01-01T00:00:00Z"}
    assert of_object(as_object).event_id == ids[0], "nor what kind of file it is"


def test_an_id_made_from_a_row_never_changes() -> None:
    assert of_object({"lead_id": "ä", "type": "t", "occurred_at": 946684800, "n": 1.5, "a": "b"}).event_id == (
        "row-a8ae8debb94b381393d9034795c2f163"
    )


def test_an_id_made_from_a_row_depends_on_everything_it_says() -> None:
    row = {"lead_id": "l", "type": "t", "occurred_at": "2022-01-01", "source": "s", "p": "1"}
    changes: list[dict[str, Any]] = [{"lead_id": "m"}, {"type": "u"}, {"occurred_at": ""}, {"source": ""}, {"p": 1}]
    ids = {of_object(row | change).event_id for change in [{}, *changes]}
    assert len(ids) == 6


def test_what_is_remembered_to_number_equal_rows_has_a_bound() -> None:
    ids = RowIds()
    first = [ids.make("same"), ids.make("same")]
    for number in range(2 * RECENT_ROWS_MAX):
        ids.make(number)
        assert len(ids._recent) + len(ids._older) <= 2 * RECENT_ROWS_MAX
    assert [ids.make("same"), ids.make("same")] == first


def test_a_mapping_can_be_given_as_json() -> None:
    document = {
        "columns": {"leadId": "user_id"}, "types": {"Page": "page_view"}, "timezone": "Europe/Berlin",
        "properties": ["a"], "format": "csv", "delimiter": ";",
    }  # fmt: skip
    assert parse_mapping(json.dumps(document)) == Mapping(
        {"lead_id": "user_id"}, {"Page": "page_view"}, BERLIN, frozenset({"a"}), "csv", ";"
    )
    assert parse_mapping(b"{}") == Mapping()


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "object"),
        (b'{"colums": {}}', "'colums'"),
        (b'{"columns": []}', "'columns'"),
        (b'{"columns": {"leed": "a"}}', "'leed'"),
        (b'{"columns": {"lead_id": 5}}', "'lead_id'"),
        (b'{"columns": {"lead_id": ""}}', "'lead_id'"),
        (b'{"columns": {"lead_id": "a", "leadId": "b"}}', "twice"),
        (b'{"columns": {"lead_id": "a", "lead_id": "b"}}', "twice"),
        (b'{"types": {"Page": "5 pages"}}', "'5 pages'"),
        (b'{"types": {"Page": null}}', "'Page'"),
        (b'{"timezone": "Berlin"}', "'Berlin'"),
        (b'{"timezone": "../../etc/passwd"}', "time zone"),
        (b'{"timezone": "Europe"}', "time zone"),
        (b'{"timezone": null}', "time zone"),
        (b'{"properties": "some"}', "'properties'"),
        (b'{"properties": [5]}', "'properties'"),
        (b'{"format": "xml"}', "'xml'"),
        (b'{"format": ["csv"]}', "'format'"),
        (b'{"delimiter": "::"}', "'::'"),
    ],
)
def test_a_mapping_that_is_none_is_refused_with_what_is_wrong(document: bytes, word: str) -> None:
    with pytest.raises(MappingRefused) as refused:
        parse_mapping(document)
    assert word in refused.value.reason
