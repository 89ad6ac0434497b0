"""Files are uploaded over REST, whatever their form, and every mistake has a clear answer."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import upload_sources
from gateway.guard import Guard
from gateway.multipart import Form, Part
from gateway.upload_sources import AHEAD_BYTES_MAX
from gateway.uploads import Uploads
from intake import importing
from intake.errors import ReadingEnded
from services.shared.errors import Unavailable
from tests.rpc.fake_ingest import FakeIngest, served

PATH = "/v1/events:upload"
FILE = b"event_id,lead_id,type\ne1,a,t\ne2,b,t\ne3,,t\n"
FOREIGN = b"id;user;what;when\n1;a;Page;2022-12-13 01:32:00\n2;b;Page;soon\n"
MAPPING = {
    "columns": {"event_id": "id", "lead_id": "user", "type": "what", "occurred_at": "when"},
    "types": {"Page": "page_view"},
}
BIG = b"event_id,lead_id,type,note\n" + b"".join(b"e%d,l,t,%s\n" % (each, b"x" * 1_000) for each in range(6_000))


@pytest.fixture
def ingest() -> FakeIngest:
    return FakeIngest()


@pytest.fixture
async def application(ingest: FakeIngest) -> AsyncIterator[Any]:
    async with served(ingest) as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        uploads = Uploads(channel, Guard(anonymous=True))
        yield Starlette(routes=[Route(PATH, uploads.upload, methods=["POST"])])


@pytest.fixture
async def client(application: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        yield client


def form(*parts: tuple[str, str, bytes], boundary: bytes = b"----x") -> tuple[bytes, dict[str, str]]:
    """A multipart body with parts in this order, each (name, file name, content)."""
    body = b""
    for name, file_name, content in parts:
        given = f'; filename="{file_name}"' if file_name else ""
        head = f'Content-Disposition: form-data; name="{name}"{given}\r\n\r\n'.encode()
        body += b"--" + boundary + b"\r\n" + head + content + b"\r\n"
    body += b"--" + boundary + b"--\r\n"
    return body, {"content-type": f"multipart/form-data; boundary={boundary.decode()}"}


def mapping_part(mapping: Any = None) -> tuple[str, str, bytes]:
    return ("mapping", "", json.dumps(MAPPING if mapping is None else mapping).encode())


async def send(client: httpx.AsyncClient, *parts: tuple[str, str, bytes]) -> httpx.Response:
    body, headers = form(*parts)
    return await client.post(PATH, content=body, headers=headers)


def last(ingest: FakeIngest) -> contract.ReportImportRequest:
    return ingest.reports[-1]


async def test_a_file_is_imported_and_counted(ingest: FakeIngest, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{PATH}?importId=my-import_1", files={"file": ("events.csv", FILE, "text/csv")})
    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/imports/my-import_1"
    told = answer.json()
    assert told.pop("consistencyToken")
    assert told == {"importId": "my-import_1", "rowsRead": 3, "accepted": 2, "duplicates": 0, "rejected": 1}
    assert list(ingest.events) == ["e1", "e2"]
    assert (last(ingest).reading, last(ingest).file_name) == (contract.IMPORT_READING_COMPLETE, "events.csv")
    again = (await client.post(PATH, files={"file": FILE})).json()
    assert (again["accepted"], again["duplicates"]) == (0, 2) and again["importId"] != "my-import_1"


@pytest.mark.parametrize("mapping_first", [True, False], ids=["mapping first", "file first"])
async def test_a_foreign_file_comes_with_its_mapping(
    ingest: FakeIngest, client: httpx.AsyncClient, mapping_first: bool
) -> None:
    file = ("file", "x.csv", FOREIGN)
    answer = await send(client, *((mapping_part(), file) if mapping_first else (file, mapping_part())))
    assert answer.status_code == 202, answer.text
    assert [(event.lead_id, event.type) for event in ingest.events.values()] == [("a", "page_view")]
    (rejection,) = [each for report in ingest.reports for each in report.rejections]
    assert (rejection.row, rejection.field) == (3, "occurred_at") and "'soon'" in rejection.description


@pytest.mark.parametrize("content_type", ["text/csv", "application/octet-stream", "application/gzip"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_may_be_the_file_itself(
    ingest: FakeIngest, client: httpx.AsyncClient, content_type: str, packed: bool
) -> None:
    answer = await client.post(
        PATH,
        params={"mapping": json.dumps(MAPPING)},
        content=gzip.compress(FOREIGN) if packed else FOREIGN,
        headers={"content-type": content_type, **({"content-encoding": "gzip"} if packed else {})},
    )
    assert answer.status_code == 202, answer.text
    assert list(ingest.events) == ["1"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'[{"eventId": "e1", "leadId": "a", "type": "t"}, {"leadId": "b"}]'),
        ("application/x-ndjson", b'{"event_id": "e1", "lead_id": "a", "type": "t"}\n{"lead_id": "b"}\n'),
    ],
)
async def test_json_is_imported_too(
    ingest: FakeIngest, client: httpx.AsyncClient, content_type: str, body: bytes
) -> None:
    answer = (await client.post(PATH, content=body, headers={"content-type": content_type})).json()
    assert (answer["accepted"], answer["rejected"], list(ingest.events)) == (1, 1, ["e1"])


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([("file", "x", b"")], "empty"),
        ([("file", "x", b"user,type\n1,t\n")], "'lead_id'"),
        ([("file", "x.xlsx", b"PK\x03\x04...")], "spreadsheet"),
        ([("file", "x", bytes(range(256)))], "binary"),
        ([("mapping", "", b"{nonsense"), ("file", "x", FILE)], "not JSON"),
        ([mapping_part({"columns": {"leed": "x"}}), ("file", "x", FILE)], "'leed'"),
        ([mapping_part({"columns": {"source": "origin"}}), ("file", "x", FILE)], "'origin'"),
        ([("mapping", "", b" " * 70_000), ("file", "x", FILE)], "larger than 65536"),
        ([mapping_part(), mapping_part(), ("file", "x", FILE)], "'file' is expected"),
        ([mapping_part(), ("file", "x", FOREIGN), mapping_part()], "must come before"),
        ([("file", "x", FILE), ("file", "y", FILE)], "one file"),
        ([("upload", "x", FILE)], "'upload'"),
        ([], "its end"),
    ],
)
async def test_what_cannot_be_imported_is_answered_with_the_reason(
    ingest: FakeIngest, client: httpx.AsyncClient, parts: Any, word: str
) -> None:
    answer = await send(client, *parts)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"], answer.text
    assert answer.headers["location"] == f"/v1/imports/{last(ingest).import_id}"
    assert last(ingest).reading == contract.IMPORT_READING_FAILED and last(ingest).reason in answer.json()["detail"]
    if not (parts and parts[0] == mapping_part()):
        assert ingest.events == {}, "nothing is sent of what cannot be imported as a whole"


async def test_a_mapping_behind_a_large_file_comes_too_late(ingest: FakeIngest, client: httpx.AsyncClient) -> None:
    assert len(BIG) > AHEAD_BYTES_MAX
    answer = await send(client, ("file", "x.csv", BIG), mapping_part({}))
    assert answer.status_code == 400 and "must come before 'file'" in answer.json()["detail"]
    foreign = BIG.replace(b"lead_id", b"user_id")
    answer = await send(client, ("file", "x.csv", foreign), mapping_part({"columns": {"lead_id": "user_id"}}))
    assert answer.status_code == 400 and "must come before a file" in answer.json()["detail"]
    assert (await send(client, mapping_part({}), ("file", "x.csv", BIG))).status_code == 202
    assert len(ingest.events) == 6_000


@pytest.mark.parametrize(
    ("query", "headers", "status", "word"),
    [
        ("?importId=no/good", {}, 400, "importId"),
        ("?import=x", {}, 400, "'import'"),
        ("?importId=a&import_id=b", {}, 400, "twice"),
        ("?mapping=nonsense", {}, 400, "not JSON"),
        ("", {"content-type": "application/x-www-form-urlencoded"}, 415, "multipart/form-data"),
        ("", {"content-type": ""}, 415, "multipart/form-data"),
        ("", {"content-type": "multipart/form-data"}, 400, "boundary"),
        ("", {"content-type": "multipart/form-data; boundary=" + "x" * 1_000}, 400, "oundary"),
        ("", {"content-encoding": "br"}, 415, "'br'"),
        ("", {"content-type": "multipart/form-data; boundary=x", "content-encoding": "gzip"}, 415, "'gzip'"),
        ("", {"content-length": str(2 << 30)}, 413, "1073741824"),
        ("", {"origin": "https://elsewhere.example"}, 403, "another site"),
        ("", {"host": "rebound.example"}, 403, "without a key"),
    ],
)
async def test_what_the_headers_show_to_be_wrong_is_not_read(
    ingest: FakeIngest, application: Any, query: str, headers: dict[str, str], status: int, word: str
) -> None:
    sent = {"host": "localhost", "content-type": "text/csv", **headers}
    answer = await exchange(application, query, sent, never())
    assert answer.status == status and word in answer.document["detail"], answer.document
    assert ingest.reports == []


async def test_who_may_not_import_is_told_before_the_body_is_read(ingest: FakeIngest, application: Any) -> None:
    ingest.key = "secret"
    for content_type in ("text/csv", "multipart/form-data; boundary=x"):
        headers = {"host": "localhost", "content-type": content_type, "authorization": "Bearer wrong"}
        answer = await exchange(application, "", headers, never())
        assert answer.status == 401 and answer.document["reason"] == "UNAUTHENTICATED"


async def test_the_caller_is_who_the_services_see(ingest: FakeIngest, client: httpx.AsyncClient) -> None:
    ingest.key = "secret"
    headers = {"authorization": "Bearer secret", "x-tenant-id": "acme", "cookie": "private"}
    answer = await client.post(PATH, files={"file": FILE}, headers=headers)
    assert answer.status_code == 202
    assert all(seen["x-tenant-id"] == "acme" and "cookie" not in seen for seen in ingest.metadata)


async def test_a_service_that_is_away_is_answered_as_such(
    ingest: FakeIngest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "START_PATIENCE_S", 0.0)
    ingest.report_failures = [Unavailable("the stream is away")]
    answer = await client.post(PATH, files={"file": FILE})
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0


async def test_a_sender_who_leaves_in_the_middle_keeps_what_was_read(ingest: FakeIngest, application: Any) -> None:
    await exchange(application, "", {"host": "localhost", "content-type": "text/csv"}, cut_off([FILE[:-5]]))
    assert list(ingest.events) == ["e1", "e2"]
    assert last(ingest).reading == contract.IMPORT_READING_FAILED
    assert "connection was closed" in last(ingest).reason and last(ingest).rows_read == 2


async def test_of_a_form_that_is_cut_off_before_its_mapping_could_come_nothing_is_taken(
    ingest: FakeIngest, application: Any
) -> None:
    body, headers = form(("file", "x.csv", FILE))
    await exchange(application, "", {"host": "localhost", **headers}, cut_off([body[:-16]]))
    assert ingest.events == {} and last(ingest).reading == contract.IMPORT_READING_FAILED
    body, headers = form(mapping_part({}), ("file", "x.csv", FILE))
    await exchange(application, "", {"host": "localhost", **headers}, cut_off([body[:-16]]))
    assert list(ingest.events) == ["e1", "e2"]


async def test_an_upload_without_an_end_has_a_bound(
    ingest: FakeIngest, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_sources, "UPLOAD_BYTES_MAX", 1 << 20)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield BIG[:50_000] + b"\n"

    answer = await exchange(application, "", {"host": "localhost", "content-type": "text/csv"}, endless())
    assert answer.status == 413 and "1048576" in answer.document["detail"]
    assert last(ingest).reading == contract.IMPORT_READING_FAILED


async def test_a_sender_who_falls_silent_is_given_up(
    ingest: FakeIngest, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_sources, "IDLE_TIMEOUT_S", 0.1)

    async def silent() -> AsyncIterator[bytes]:
        yield FILE
        await asyncio.Event().wait()

    answer = await exchange(application, "", {"host": "localhost", "content-type": "text/csv"}, silent())
    assert answer.status == 408
    assert list(ingest.events) == ["e1", "e2"]


async def test_the_body_is_read_no_faster_than_ingest_takes_it(ingest: FakeIngest, application: Any) -> None:
    ingest.going_on.clear()
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        for start in range(0, len(BIG), 32_768):
            sent += 1
            yield BIG[start : start + 32_768]

    headers = {"host": "localhost", "content-type": "text/csv"}
    running = asyncio.create_task(exchange(application, "", headers, counted()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 1)
    assert sent * 32_768 < len(BIG) - 1_000_000, "the file is read although nothing is answered"
    ingest.going_on.set()
    assert (await running).status == 202
    assert len(ingest.events) == 6_000


PARTS = st.lists(
    st.tuples(
        st.text("abcdé ", min_size=1, max_size=5),
        st.binary(max_size=80) | st.sampled_from([b"\r\n--x", b"\r\n----", b"\r\n----xy", b"\r", b"--"]),
    ),
    max_size=4,
)


@given(PARTS, st.lists(st.integers(0, 500)))
def test_parts_are_the_same_however_the_body_is_cut(parts: Any, cuts: list[int]) -> None:
    parts = [(name, content) for name, content in parts if b"\r\n----x" not in content]
    body, _ = form(*((name, "f", content) for name, content in parts))
    borders = sorted({0, *(cut % len(body) for cut in cuts), len(body)})
    pieces = [body[start:end] for start, end in itertools.pairwise(borders)]
    assert asyncio.run(parts_of(pieces)) == [(Part(name, "f", ""), content) for name, content in parts]


async def parts_of(pieces: Iterable[bytes]) -> list[tuple[Part, bytes]]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    found = []
    parts = Form(chunks(), b"----x")
    while (part := await parts.next_part()) is not None:
        content = b""
        while (data := await parts.data()) is not None:
            content += data
        found.append((part, content))
    return found


@pytest.mark.parametrize(
    "body", [b"", b"------x", b"no boundary at all", form(("file", "x", FILE))[0][:-9], b"------x\r\n:"]
)
async def test_a_body_that_is_no_whole_form_ends_the_reading(body: bytes) -> None:
    with pytest.raises(ReadingEnded):
        await parts_of([body])


class Exchanged:
    """What an application answered."""

    status = 0
    body = b""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


async def never() -> AsyncIterator[bytes]:
    pytest.fail("the body is read")
    yield b""


async def cut_off(chunks: Iterable[bytes]) -> AsyncIterator[bytes | None]:
    """Some chunks, and then the connection is closed."""
    for chunk in chunks:
        yield chunk
    yield None


async def exchange(
    application: Any, query: str, headers: dict[str, str], body: AsyncIterator[bytes | None]
) -> Exchanged:
    """A request as a server hands it to the application, so that its body can come, stall and break off."""
    answer = Exchanged()

    async def receive() -> dict[str, Any]:
        try:
            chunk = await anext(body)
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def take(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": query.removeprefix("?").encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    await application(scope, receive, take)
    return answer
