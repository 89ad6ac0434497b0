"""Files become events whatever their kind, name, packing and portions; what is no such file is refused."""

import asyncio
import gzip
import io
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leadscore.event.v1.event_pb2 import Event

from intake import chunks as intake_chunks
from intake.chunks import BLOCK_BYTES, Inflater, Meter, blocks, read_chunks
from intake.errors import FileRefused, ReadingEnded
from intake.mapping import Mapping, build_mapping
from intake.reading import EventReader, Portion
from intake.rows import RejectedRow, refuse_row


def gzipped(data: bytes, level: int = 9) -> bytes:
    """The same bytes for the same data, whenever: test ids are made of them."""
    return gzip.compress(data, level, mtime=0)


ROWS = [{"event_id": f"e{number}", "lead_id": f"l{number % 7}", "type": "page_view"} for number in range(5_000)]
CSV = "event_id,lead_id,type\r\n" + "".join(f"{r['event_id']},{r['lead_id']},{r['type']}\r\n" for r in ROWS)
EVENTS = [Event(event_id=row["event_id"], lead_id=row["lead_id"], type=row["type"]) for row in ROWS]
NDJSON = "\n".join(map(json.dumps, ROWS))
FILES = {
    "plain.csv": CSV.encode(),
    "marked.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "semicolons.csv": CSV.replace(",", ";").encode(),
    "tabs.tsv": CSV.replace(",", "\t").encode(),
    "pipes": CSV.replace(",", "|").encode(),
    "no-name": CSV.encode(),
    "rows.ndjson": NDJSON.encode(),
    "rows.jsonl.gz": gzipped(NDJSON.encode()),
    "array.json": json.dumps(ROWS).encode(),
    "pretty.json": json.dumps(ROWS, indent=2).encode(),
    "array": b" \r\n" + json.dumps(ROWS).encode(),
    "lines": NDJSON.encode(),
    "misnamed.json": NDJSON.encode(),
    "plain.csv.gz": gzipped(CSV.encode()),
    "members": gzipped(CSV[:5_000].encode()) + gzipped(b"") + gzipped(CSV[5_000:].encode()) + b"\0\0",
}


async def portions(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(pieces: Sequence[bytes], mapping: Mapping | None = None, name: str = "", content: str = "") -> Portion:
    whole = Portion()
    async for portion in EventReader(mapping or Mapping(), name, content).read(portions(pieces)):
        whole.events += portion.events
        whole.rows += portion.rows
        whole.rejections += portion.rejections
    return whole


async def refusal(pieces: Sequence[bytes], mapping: Mapping | None = None, name: str = "") -> str:
    with pytest.raises(FileRefused) as refused:
        await read(pieces, mapping, name)
    return refused.value.reason


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 1_000, 1 << 20])
async def test_the_same_events_come_out_of_every_kind_of_file_in_any_portions(name: str, size: int) -> None:
    data = FILES[name]
    found = await read([data[at : at + size] for at in range(0, len(data), size)], name=name)
    assert found.rejections == []
    assert found.events == EVENTS
    assert found.rows == list(range(1, 5_001)) or found.rows == list(range(2, 5_002))


async def test_what_is_given_goes_before_the_name_the_name_before_the_content_type() -> None:
    text = b"lead_id;type\nl;t\n"
    assert len((await read([text], build_mapping(format="csv"), "x.json")).events) == 1
    assert len((await read([text], name="X.CSV", content="application/json")).events) == 1
    assert len((await read([NDJSON.encode()], content="application/x-ndjson; charset=utf-8")).events) == 5_000
    assert len((await read([text], build_mapping(delimiter=";"))).events) == 1
    assert "'lead_id;type'" in await refusal([text], build_mapping(delimiter=","))


async def test_good_rows_around_every_kind_of_dirt_are_kept() -> None:
    text = (
        b"\xef\xbb\xbflead_id,type,note\r\n"
        b'"a, b",page_view,"one\r\ntwo"\r\n'
        b"c,page_view\r\n"
        b"\r\n"
        b"d,page_view,caf\xe9\r\n"
        b"e\x00,page_view,nul\r\n"
        b'"f"f,page_view,\r\n'
        b"g,page_view,,\r\n"
        b"h,page_view,last"
    )
    found = await read([text], name="x.csv")
    assert [(row, event.lead_id) for row, event in zip(found.rows, found.events, strict=True)] == [
        (2, "a, b"), (7, "e\0"), (10, "h")
    ]  # fmt: skip
    assert [(each.row, each.field) for each in found.rejections] == [(4, ""), (6, "properties.note"), (8, ""), (9, "")]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\n\r\n\n", "empty"),
        (gzipped(b""), "empty"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\xff\xfel\0e\0a\0d\0", "UTF-16"),
        (b"l\0e\0a\0d\0", "NUL"),
        (bytes(range(1, 256)) * 4, "binary"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"user,type\n1,2\n", "'lead_id'"),
        (b"lead_id,type", ""),
        (b'"lead_id,type\nl,t\n', "header"),
        (b"lead_id\rtype\rl\n", "header"),
        (b"<html><body>not found</body></html>", "'lead_id'"),
        (b"x" * 300_000, "header"),
        (gzipped(gzipped(b"lead_id,type")), "gzip inside gzip"),
        (gzipped(CSV.encode())[:-9], "cut off"),
        (gzipped(CSV.encode())[:3], "cut off"),
        (b"\x1f\x8bno gzip at all", "damaged"),
        (gzipped(b"lead_id,type\n") + b"no gzip", "damaged"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_at_once_with_a_reason(data: bytes, word: str) -> None:
    if data == b"lead_id,type":
        assert (await read([data])).events == [], "a header alone is a file with no rows"
    else:
        assert word in await refusal([data])


async def test_events_before_damage_in_the_middle_come_out() -> None:
    for data, name in (
        (gzipped(CSV.encode(), 0)[:-2_000], ""),
        (json.dumps(ROWS).encode() + b"more", ""),
        (json.dumps(ROWS).encode()[:-5], "x.json"),
    ):
        reader = EventReader(Mapping(), name)
        events = 0
        with pytest.raises(FileRefused):
            async for portion in reader.read(portions([data])):
                events += len(portion.events)
        assert 4_000 < events <= 5_000


async def test_a_small_gzip_never_becomes_much_memory() -> None:
    bomb = gzipped(b"\n" * (64 << 20))
    sizes = [len(block) async for block in blocks(portions([bomb]))]
    assert sum(sizes) == 64 << 20 and max(sizes) == BLOCK_BYTES


def test_a_gzip_that_holds_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_chunks, "INFLATED_BYTES_MAX", 1 << 20)
    with pytest.raises(FileRefused, match="holds more than"):
        list(Inflater().feed(gzipped(b"x" * (2 << 20))))


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 9), st.lists(st.integers(0, 2_000)))
def test_gzip_is_inflated_as_it_was_packed_whatever_the_portions(
    parts: list[bytes], level: int, cuts: list[int]
) -> None:
    packed = b"".join(gzipped(part, level) for part in parts) or gzipped(b"")
    borders = [0, *sorted(cut % (len(packed) + 1) for cut in cuts), len(packed)]
    inflater = Inflater()
    plain = b"".join(out for start, end in itertools.pairwise(borders) for out in inflater.feed(packed[start:end]))
    inflater.finish()
    assert plain == b"".join(parts)


def test_output_that_fills_a_portion_exactly_is_not_held_back() -> None:
    packer = zlib.compressobj(wbits=31)
    inflater = Inflater()
    packed = packer.compress(b"x" * (3 * BLOCK_BYTES)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert sum(map(len, inflater.feed(packed))) == 3 * BLOCK_BYTES


async def test_chunks_are_read_off_a_file_and_counted_as_they_are() -> None:
    packed = gzipped(CSV.encode())
    meter = Meter(read_chunks(io.BytesIO(packed)))
    async for _ in EventReader(Mapping()).read(meter):
        pass
    assert meter.bytes_read == len(packed)


async def test_a_disk_that_fails_ends_the_reading_with_a_reason() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(ReadingEnded, match="Input/output error"):
        async for _ in read_chunks(Broken()):
            pass


async def test_reading_lets_others_have_the_event_loop() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    await read([FILES["array.json"]], name="x.json")
    other.cancel()
    assert turns >= len(FILES["array.json"]) // BLOCK_BYTES


def test_what_is_said_of_a_row_can_be_shown_and_stored_anywhere() -> None:
    rejected = refuse_row(3, "properties.\x00\ud800" + "x" * 1_000, "holds \x1b[31m and é")
    assert rejected == RejectedRow(3, rejected.field, "holds \\x1b[31m and é")
    assert rejected.field.startswith("properties.\\x00\\ud800x") and len(rejected.field) == 200
