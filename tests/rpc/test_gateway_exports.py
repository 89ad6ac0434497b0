"""Exports over REST: files as they come, problems before the first byte, and no end for a file that is not whole."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from leadscore.query.v1 import export_pb2 as query

from gateway import exports
from gateway.exports import FILES, takes_gzip
from services.shared.errors import FieldViolation, InvalidRequest, NotCaughtUp, TimedOut, TooMany
from tests.rpc.fake_services import END, FakeServices, client_of, gateway_to, served

PATH = "/v1/exports/leads.csv"
PIECES = [b"lead_id,score\r\n", "ä,5\r\n".encode() * 20_000, b"last,1\r\n"]


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
async def client(services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    async with served(services) as behind, gateway_to(behind) as port, client_of(port) as client:
        yield client


def plan(services: FakeServices, *answers: Any) -> None:
    for answer in answers:
        is_piece = isinstance(answer, bytes)
        services.updates.put_nowait(query.ExportResponse(data=answer, rows=1) if is_piece else answer)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("leads.csv", "text/csv; charset=utf-8; header=present"),
        ("events.ndjson", "application/x-ndjson"),
        ("ledger.parquet", "application/vnd.apache.parquet"),
        ("report.pdf", "application/pdf"),
    ],
)
async def test_a_file_comes_as_it_was_sent_with_a_name_of_its_own(
    services: FakeServices, client: httpx.AsyncClient, name: str, media_type: str
) -> None:
    plan(services, *PIECES, END)
    answer = await client.get(f"/v1/exports/{name}", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"".join(PIECES))
    assert answer.headers["content-type"] == media_type
    stem, _, ending = name.partition(".")
    said = answer.headers["content-disposition"]
    assert said.startswith(f'attachment; filename="{stem}-20') and said.endswith(f'.{ending}"')
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers


async def test_the_path_says_what_and_how(services: FakeServices, client: httpx.AsyncClient) -> None:
    for name, (kind, form) in FILES.items():
        plan(services, b"", END)
        assert (await client.get(f"/v1/exports/{name}")).status_code == 200
        assert services.requests.pop() == query.ExportRequest(kind=kind, format=form.format)


async def test_parameters_and_the_caller_are_passed_on(services: FakeServices, client: httpx.AsyncClient) -> None:
    plan(services, b"x", END, b"x", END)
    asked = {"filter": 'score > 5 AND status = "new"', "consistencyToken": "t"}
    await client.get(PATH, params=asked, headers={"x-tenant-id": "acme", "authorization": "Bearer k"})
    await client.get("/v1/exports/events.ndjson", params={"lead_id": "a/b"})
    first, second = services.requests
    assert (first.filter, first.consistency_token, first.lead_id) == (asked["filter"], "t", "")
    assert second.lead_id == "a/b"
    assert "x-tenant-id" not in services.metadata


@pytest.mark.parametrize("name", ["leads.csv", "events.ndjson"])
async def test_text_is_zipped_for_whoever_asks(services: FakeServices, client: httpx.AsyncClient, name: str) -> None:
    plan(services, *PIECES, END)
    async with client.stream("GET", f"/v1/exports/{name}", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "accept-encoding"
    assert len(raw) < len(PIECES[1]) / 10 and gzip.decompress(raw) == b"".join(PIECES)


async def test_what_is_compressed_is_not_zipped_again(services: FakeServices, client: httpx.AsyncClient) -> None:
    plan(services, *PIECES, END)
    answer = await client.get("/v1/exports/leads.parquet", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers and answer.content == b"".join(PIECES)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("br", False),
        ("", False),
        ("*", False),
    ],
)
def test_gzip_is_used_only_where_it_is_named(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InvalidRequest([FieldViolation("lead_id", "is for events only")]), 400, "INVALID_REQUEST"),
        (NotCaughtUp("behind"), 504, "NOT_CAUGHT_UP"),
        (TooMany("3 exports are made"), 429, "TOO_MANY"),
        (grpc.StatusCode.UNAVAILABLE, 503, "UNAVAILABLE"),
    ],
)
async def test_an_error_before_the_first_byte_is_a_problem(
    services: FakeServices, client: httpx.AsyncClient, error: Any, status: int, reason: str
) -> None:
    plan(services, error)
    answer = await client.get(PATH)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "content-disposition" not in answer.headers
    if reason == "INVALID_REQUEST":
        assert answer.json()["violations"] == [{"field": "leadId", "description": "is for events only"}]


@pytest.mark.parametrize("name", ["leads.csv", "leads.parquet"])
@pytest.mark.parametrize("error", [TimedOut("too long"), grpc.StatusCode.INTERNAL])
async def test_an_error_after_the_first_byte_breaks_the_connection(
    services: FakeServices, client: httpx.AsyncClient, name: str, error: Any
) -> None:
    plan(services, PIECES[1], error)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        await client.get(f"/v1/exports/{name}")


async def test_a_service_that_falls_silent_breaks_the_connection(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SILENCE_MAX_S", 0.1)
    plan(services, PIECES[0])
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        await client.get(PATH)
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_an_export_that_does_not_begin_is_given_up(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "FIRST_ANSWER_S", 0.1)
    assert (await client.get(PATH)).json()["reason"] == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_the_call_ends_when_its_client_goes(services: FakeServices, client: httpx.AsyncClient) -> None:
    plan(services, PIECES[0])
    async with client.stream("GET", PATH, headers={"accept-encoding": "identity"}) as answer:
        assert await anext(answer.aiter_raw()) == PIECES[0]
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_client_that_stops_reading_is_cut_off(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SEND_TIMEOUT_S", 0.5)
    plan(services, *[bytes(250_000)] * 400)
    headers = {"accept-encoding": "identity"}
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        async with client.stream("GET", PATH, headers=headers) as answer:
            await asyncio.wait_for(services.watch_left.wait(), 10)
            async for _ in answer.aiter_raw():
                pass
    assert services.updates.qsize() > 200, "the gateway took what nobody took from it"


REFUSED = {
    "/v1/exports/leads.xlsx": 404,
    "/v1/exports/leads.pdf": 404,
    "/v1/exports/report.csv": 404,
    "/v1/exports/leads": 404,
    "/v1/exports/": 404,
    "/v1/exports/leads.csv/x": 404,
    "/v1/exports/leads.csv?leadID=1": 400,
    "/v1/exports/leads.csv?format=PARQUET": 400,
    "/v1/exports/leads.csv?filter=a&filter=b": 400,
    "/v1/exports/leads.csv?filter=%ff": 400,
}


async def test_what_is_no_export_is_refused_here(services: FakeServices, client: httpx.AsyncClient) -> None:
    for path, status in REFUSED.items():
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (status, status), path
    assert services.requests == []


async def test_only_get_is_answered(services: FakeServices, client: httpx.AsyncClient) -> None:
    for method in ("HEAD", "POST", "DELETE"):
        answer = await client.request(method, PATH)
        assert (answer.status_code, "GET" in answer.headers["allow"]) == (405, True), method
    assert services.requests == []


async def test_other_sites_pages_get_no_exports(services: FakeServices, client: httpx.AsyncClient) -> None:
    answer = await client.get(PATH, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403 and services.requests == []


async def test_the_document_has_every_export(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {path for path in paths if path.startswith("/v1/exports/")} == {f"/v1/exports/{name}" for name in FILES}
    said = {name: [each["name"] for each in paths[f"/v1/exports/{name}"]["get"]["parameters"]] for name in FILES}
    assert said["leads.csv"] == ["filter", "consistencyToken"]
    assert said["ledger.ndjson"] == ["leadId", "consistencyToken"]
    assert said["report.pdf"] == ["consistencyToken"]
