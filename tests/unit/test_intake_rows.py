"""Rows are found in bytes: the same ones however the bytes are cut, and broken ones cost only themselves."""

import csv
import io
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intake.csv_rows import CsvRows
from intake.errors import FileRefused, RowRefused
from intake.json_rows import LEVELS_MAX, JsonRows, NdjsonRows, decode_object
from intake.rows import ROW_CHARACTERS_MAX, RejectedRow, RowReader

CSV_TEXT = st.text(alphabet='a,;"\n\r\t é\u2028\x00')
JSON_TEXT = st.text(alphabet='{}[],:"\\a1 \n')
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=8)


def read(reader: RowReader[Any], *pieces: bytes) -> list[Any]:
    found: list[Any] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
        found += reader.finish()
    except FileRefused as refused:
        found.append(refused.reason)
    return found


def cut(text: bytes, places: Sequence[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(borders)]


def rows_of(found: list[Any]) -> list[Any]:
    return [values for _, values in found]


@given(CSV_TEXT, st.lists(st.integers(0, 1000)))
@example('a\n"b\nc', [3, 4, 5])
@example('"x","\ny","\n"z', [2, 6])
def test_csv_rows_are_the_same_however_the_bytes_are_cut(text: str, places: list[int]) -> None:
    whole = text.encode()
    assert read(CsvRows(","), *cut(whole, places)) == read(CsvRows(","), whole)


@given(JSON_TEXT, st.lists(st.integers(0, 1000)), st.sampled_from([JsonRows, NdjsonRows]))
@example('[{"a":1},{"b:2},\n{"c":3}]', [9, 15, 18], JsonRows)
@example('[{"a"} , {"c":3}]', [6, 7, 8], JsonRows)
def test_json_rows_are_the_same_however_the_bytes_are_cut(text: str, places: list[int], reader: Any) -> None:
    whole = text.encode()
    assert read(reader(), *cut(whole, places)) == read(reader(), whole)


@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=2, max_size=4)),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_csv_writer_writes_is_read_back_exactly(rows: list[list[str]], line_end: str, quoting: Any) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=line_end, quoting=quoting).writerows(rows)
    assert rows_of(read(CsvRows(","), file.getvalue().encode())) == rows


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_what_a_json_writer_writes_is_read_back_exactly(objects: Any, indent: int | None, ascii_only: bool) -> None:
    array = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert rows_of(read(JsonRows(), array)) == objects
    lines = b"\n".join(json.dumps(each, ensure_ascii=ascii_only).encode() for each in objects)
    assert rows_of(read(NdjsonRows(), lines)) == objects
    if objects:
        assert rows_of(read(JsonRows(), lines)) == objects


def test_a_row_is_numbered_by_the_line_on_which_it_starts() -> None:
    found = read(CsvRows(","), b'a,b\r\n\r\n"1\r\n2",x\r\n3,y')
    assert found == [(1, ["a", "b"]), (3, ["1\r\n2", "x"]), (5, ["3", "y"])]


def test_a_character_that_only_some_call_a_line_break_is_text() -> None:
    assert rows_of(read(CsvRows(","), "a\u2028b,\x0bc\x85\nd,e".encode())) == [["a\u2028b", "\x0bc\x85"], ["d", "e"]]


def test_a_quote_inside_an_unquoted_field_is_text() -> None:
    assert rows_of(read(CsvRows(","), b'5" screen,x\n')) == [['5" screen', "x"]]


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (b'"a"b,c', "expected after"),
        (b'a,"never closed', "not closed"),
        (b"a\rb,c", "carriage return"),
        (b"x" * (ROW_CHARACTERS_MAX + 1), "longer than"),
    ],
    ids=["text behind a quote", "an open quote", "a carriage return", "too long"],
)
def test_a_broken_csv_row_costs_only_itself(broken: bytes, word: str) -> None:
    found = read(CsvRows(","), b"a,b\n1,2\n" + broken + b'\n3,4\n5,"6"\n7,8\n')
    (rejected,) = [each for each in found if isinstance(each, RejectedRow)]
    assert rejected.row == 3 and word in rejected.description
    kept = [each for each in found if not isinstance(each, RejectedRow)]
    assert kept == [(1, ["a", "b"]), (2, ["1", "2"]), (4, ["3", "4"]), (5, ["5", "6"]), (6, ["7", "8"])]


def test_an_open_quote_is_given_up_after_a_bound_and_the_lines_behind_it_are_kept() -> None:
    text = b'1,"open\n' + b"".join(b"%d,x\n" % number for number in range(2, 30_001))
    reader = CsvRows(",")
    found: list[Any] = []
    for start in range(0, len(text), 8_192):
        found += reader.feed(text[start : start + 8_192])
        assert sum(map(len, reader._lines._lines)) <= ROW_CHARACTERS_MAX + 8_192, "the file piles up in memory"
    found += reader.finish()
    assert found[0][0] == 1 and "not closed" in found[0].description
    assert found[1:] == [(number, [str(number), "x"]) for number in range(2, 30_001)]


def test_a_line_without_an_end_is_never_held_whole() -> None:
    reader = CsvRows(",")
    for _ in range(100):
        assert list(reader.feed(b"x" * 65_536)) in ([], [RejectedRow(1, "", reader_too_long())])
        assert len(reader._unfinished) < 10 * ROW_CHARACTERS_MAX
    assert list(reader.feed(b"y\n1,2\n")) == [(2, ["1", "2"])]


def reader_too_long() -> str:
    return f"is longer than {ROW_CHARACTERS_MAX} characters, or a quote in it is not closed"


def test_reading_stays_fast_when_every_line_swallows_the_next_ones() -> None:
    started = time.process_time()
    found = read(CsvRows(","), b'x","\n' * 200_000)
    assert time.process_time() - started < 10
    assert all(isinstance(each, RejectedRow) for each in found)
    assert "refused up to line" in found[1].description


def test_bytes_that_are_not_utf8_come_out_as_surrogates() -> None:
    assert rows_of(read(CsvRows(","), b"caf\xe9,x\n")) == [["caf\udce9", "x"]]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": "\x00"}', "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"17", "must be a JSON object"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a" : 1, "a":2}', "stands twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "stands twice"),
        (b'{"a": ' * 30 + b"1" + b"}" * 30, "deeper"),
        (b'{"a": ' * 5_000 + b"1" + b"}" * 5_000, "deeper"),
        (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", "deeper"),
        (b'{"a": 1e999}', "range"),
    ],
)
def test_what_is_no_single_json_object_is_refused(text: bytes, word: str) -> None:
    with pytest.raises(RowRefused) as refused:
        decode_object(text)
    assert word in refused.value.description


def test_a_colon_behind_a_quote_inside_a_text_is_no_repeated_key() -> None:
    assert decode_object(b'{"a": "\\":", "b" : "x\\": "}') == {"a": '":', "b": 'x": '}


GOOD = b'{"a": 1}'


@pytest.mark.parametrize(
    "broken",
    [b'{"a": oops}', b'{"a": "open}', b"17", b'"text"', b"[1]", b"{" * (LEVELS_MAX + 1), b'{"a": 1', b"}",
     b'{"a": "' + b"x" * ROW_CHARACTERS_MAX + b'"}'],
)  # fmt: skip
@pytest.mark.parametrize("separator", [b",\n", b", \r\n  "])
def test_a_broken_element_costs_only_itself(broken: bytes, separator: bytes) -> None:
    found = read(JsonRows(), b"[" + separator.join([GOOD, broken, GOOD, GOOD]) + b"]")
    kept = [each for each in found if not isinstance(each, RejectedRow)]
    rejected = [each for each in found if isinstance(each, RejectedRow)]
    assert [values for _, values in kept] == [{"a": 1}] * 3
    assert {each.row for each in rejected} <= {2, 3} and rejected


@pytest.mark.parametrize("broken", [b'{"a": oops}', b"", b'{"a": "open}', b"[1]", b"x" * (ROW_CHARACTERS_MAX + 1)])
def test_a_broken_line_costs_only_itself(broken: bytes) -> None:
    found = read(NdjsonRows(), b"\n".join([GOOD, broken, GOOD]))
    assert [each for each in found if not isinstance(each, RejectedRow)] == [(1, {"a": 1}), (3, {"a": 1})]
    assert [each.row for each in found if isinstance(each, RejectedRow)] == ([2] if broken else [])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b'[{"a": 1}', "cut off"),
        (b'[{"a": 1}, {"a"', "cut off"),
        (b'[{"a": 1}] {}', "behind the end"),
        (b"[", "cut off"),
    ],
)
def test_an_array_that_does_not_end_as_it_should_fails_after_its_good_rows(text: bytes, word: str) -> None:
    *found, reason = read(JsonRows(), text)
    assert word in reason
    assert [each for each in found if not isinstance(each, RejectedRow)] == [(1, {"a": 1})] * (GOOD in text)


def test_broken_json_is_not_held_either() -> None:
    reader = JsonRows()
    assert list(reader.feed(b"[")) == []
    for _ in range(100):
        list(reader.feed(b'{"a": "' + b" " * 65_536))
        assert len(reader._text) < 4 * ROW_CHARACTERS_MAX


def test_reading_broken_json_takes_time_by_its_length_alone() -> None:
    started = time.process_time()
    read(JsonRows(), b"[" + (b"{" + b"1" * 4_000 + b",\n") * 500)
    read(JsonRows(), b"[" + b'{"\n' * 100_000)
    assert time.process_time() - started < 10
