"""REST requests become the RPCs that their paths name, and every mistake is answered as a problem."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from gateway.bodies import BODY_BYTES_MAX
from gateway.channels import CALL_DEADLINE_S
from gateway.connections import HEAD_BYTES_MAX
from gateway.serving import listen
from services.shared.errors import (
    FieldViolation,
    InvalidRequest,
    NotCaughtUp,
    NotFound,
    SettingError,
    StreamFull,
    Unauthenticated,
    Unavailable,
)
from tests.rpc.fake_services import FakeServices, client_of, gateway_to, served

JSON = {"content-type": "application/json"}
EVENT = {"eventId": "e", "leadId": "l", "type": "page_view"}


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
async def port(services: FakeServices) -> AsyncIterator[int]:
    async with served(services) as behind, gateway_to(behind) as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(port) as client:
        yield client


def problem(answer: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """The problem in an answer, after what every problem has was checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["reason"]) == (status, status, reason), document
    assert document["type"] and document["title"] and document["detail"]
    return document


CLOCKS_APART_S = 1.0


async def test_an_event_is_published_and_its_answer_shown(services: FakeServices, client: httpx.AsyncClient) -> None:
    services.answers["PublishEvent"] = ingest.PublishEventResponse(event_id="e", outcome=ingest.OUTCOME_ACCEPTED)
    headers = {"authorization": "Bearer key", "x-tenant-id": "acme", "idempotency-key": "k1", "x-else": "no"}
    answer = await client.post("/v1/events", json=EVENT, headers=headers)
    assert answer.json() == {"eventId": "e", "outcome": "ACCEPTED", "consistencyToken": ""}
    assert services.requests == [ingest.PublishEventRequest(event=Event(event_id="e", lead_id="l", type="page_view"))]
    assert {name: services.metadata.get(name) for name in headers} == {**headers, "x-else": None}
    # Two clocks are read, one in each process; the host may set one of them meanwhile.
    assert services.deadline_s is not None and 0 < services.deadline_s <= CALL_DEADLINE_S + CLOCKS_APART_S


async def test_a_batch_is_the_whole_request(services: FakeServices, client: httpx.AsyncClient) -> None:
    body = json.dumps({"events": [EVENT] * 2_000, "all_or_nothing": True}).encode()
    for sent, headers in ((body, JSON), (gzip.compress(body), {**JSON, "content-encoding": "gzip"})):
        assert (await client.post("/v1/events:batch", content=sent, headers=headers)).status_code == 200
        request = services.requests.pop()
        assert len(request.events) == 2_000 and request.all_or_nothing


async def test_a_lead_is_erased_under_a_number_of_the_callers_own(
    services: FakeServices, client: httpx.AsyncClient
) -> None:
    services.answers["DeleteLead"] = ingest.DeleteLeadResponse(event_id="DSR-17", outcome=ingest.OUTCOME_ACCEPTED)
    answer = await client.delete("/v1/leads/a%2Fb?eventId=DSR-17", headers={"idempotency-key": "k1"})
    assert answer.json() == {"eventId": "DSR-17", "outcome": "ACCEPTED", "consistencyToken": ""}
    assert services.requests == [ingest.DeleteLeadRequest(lead_id="a/b", event_id="DSR-17")]
    assert services.metadata["idempotency-key"] == "k1"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lead_id=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
async def test_any_lead_id_works_in_a_path(services: FakeServices, client: httpx.AsyncClient, lead_id: str) -> None:
    if lead_id in (".", ".."):
        return  # HTTP clients resolve these before they send them.
    services.answers["GetRank"] = query.GetRankResponse(lead_id=lead_id)
    answer = await client.get(f"/v1/leads/{quote(lead_id, safe='')}/rank")
    assert services.requests.pop().lead_id == answer.json()["leadId"] == lead_id


@pytest.mark.parametrize(
    ("sent", "lead_id"),
    [
        ("a+b@x.de", "a+b@x.de"),
        ("a%2Fb%2f%25", "a/b/%"),
        ("a:b;c=d,e!$&'()*~", "a:b;c=d,e!$&'()*~"),
        ("m%C3%BCller%20%F0%9F%A6%8A", "müller 🦊"),
        ("events:batch", "events:batch"),
    ],
)
async def test_ids_are_taken_as_they_were_sent(services: FakeServices, port: int, sent: str, lead_id: str) -> None:
    assert (await raw(port, f"GET /v1/leads/{sent} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())).startswith(
        b"HTTP/1.1 200"
    )
    assert services.requests[-1].lead_id == lead_id


async def test_parameters_become_fields(services: FakeServices, client: httpx.AsyncClient) -> None:
    await client.get("/v1/leaderboard?pageSize=10&page_token=a%2Bb+c")
    assert services.requests.pop() == query.ListLeaderboardRequest(page_size=10, page_token="a+b c")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("limit=5", "limit"),
        ("pageSize=ten", "pageSize"),
        ("pageSize=1.5", "pageSize"),
        ("pageSize=99999999999", "pageSize"),
        ("pageSize=1&pageSize=2", "pageSize"),
        ("pageSize=1&page_size=2", "pageSize"),
        ("pageToken=%ff", "pageToken"),
        ("%00=1", "\\x00"),
    ],
)
async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, parameters: str, field: str) -> None:
    document = problem(await client.get(f"/v1/leaderboard?{parameters}"), 400, "INVALID_REQUEST")
    assert [each["field"] for each in document["violations"]] == [field]


async def test_what_path_or_body_says_is_no_parameter(client: httpx.AsyncClient) -> None:
    for path in ("/v1/leads/a?leadId=b", "/v1/leads/a/rank?lead_id=a"):
        problem(await client.get(path), 400, "INVALID_REQUEST")
    problem(await client.post("/v1/events?event.leadId=b", json=EVENT), 400, "INVALID_REQUEST")
    problem(await client.put("/v1/leads/a?source=b", json={"profile": {}}), 400, "INVALID_REQUEST")


async def test_path_and_body_may_not_contradict(services: FakeServices, client: httpx.AsyncClient) -> None:
    for said in ({}, {"leadId": "a"}):
        assert (await client.put("/v1/leads/a", json={**said, "profile": {"x": 1}})).status_code == 200
        assert services.requests.pop().lead_id == "a"
    document = problem(await client.put("/v1/leads/a", json={"leadId": "b"}), 400, "INVALID_REQUEST")
    assert document["violations"][0]["field"] == "leadId"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff", ""),
        (b"null", ""),
        (b'"event"', ""),
        (b'{"leadId": "\\ud800"}', "leadId"),
        (b'{"leadId": 7}', "leadId"),
        (b'{"lead": "a"}', "lead"),
        (b'{"leadId": "a", "leadId": "a"}', "leadId"),
        (b'{"properties": {"x": NaN}}', "properties.x"),
        (b'{"occurredAt": "2035-13-01T00:00:00Z"}', "occurredAt"),
        (b'{"properties": ' + b'{"x":' * 500 + b"1" + b"}" * 501, "properties" + ".x" * 30),
    ],
)  # fmt: skip
async def test_a_wrong_body_is_refused_where_it_is_wrong(
    services: FakeServices, client: httpx.AsyncClient, body: bytes, field: str
) -> None:
    document = problem(await client.post("/v1/events", content=body, headers=JSON), 400, "INVALID_REQUEST")
    assert document["violations"][0]["field"] == field
    assert services.requests == []


async def test_only_json_is_taken(services: FakeServices, client: httpx.AsyncClient) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"):
        answer = await client.post("/v1/events", content=b"{}", headers={"content-type": media_type})
        assert media_type.partition(";")[0] in problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")["detail"]
    problem(await client.post("/v1/events", content=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")
    answer = await client.post("/v1/events", content=b"{}", headers={**JSON, "content-encoding": "br"})
    problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    answer = await client.post(
        "/v1/events", json=EVENT, headers={"content-type": "application/vnd.x+json; charset=utf-8"}
    )
    assert answer.status_code == 200
    assert len(services.requests) == 1


async def test_a_body_too_large_is_refused_before_it_is_read(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 65_536 + 16):
            yield b" " * 65_536

    head = (
        b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    assert (await raw(client.base_url.port or 0, head % 10**8, b"{")).startswith(b"HTTP/1.1 413")
    bomb = gzip.compress(b" " * (BODY_BYTES_MAX + 1))
    problem(
        await client.post("/v1/events", content=bomb, headers={**JSON, "content-encoding": "gzip"}), 413, "TOO_LARGE"
    )
    for broken in (b"no gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x"):
        answer = await client.post("/v1/events", content=broken, headers={**JSON, "content-encoding": "gzip"})
        problem(answer, 400, "INVALID_REQUEST")
    many = json.dumps({"events": [{"properties": {str(each): 1 for each in range(600_000)}}]}).encode()
    assert len(many) < BODY_BYTES_MAX
    problem(await client.post("/v1/events:batch", content=many, headers=JSON), 413, "TOO_LARGE")
    problem(await client.post("/v1/events", content=endless(), headers=JSON), 413, "TOO_LARGE")


async def test_what_is_not_there_and_what_is_not_done(client: httpx.AsyncClient) -> None:
    for path in (
        "/v2/leads",
        "/v1/leads/",
        "/v1/leads//rank",
        "/v1/leaderboard/",
        "/docs/",
        "/v1/events:x",
    ):
        problem(await client.get(path), 404, "NOT_FOUND")
    problem(await client.get("/v1/leads/%ff"), 400, "INVALID_REQUEST")
    for method, path, allowed in (
        ("POST", "/v1/leads/a", "DELETE, GET, PUT"),
        ("OPTIONS", "/v1/events", "POST"),
        ("HEAD", "/v1/events", "POST"),
        ("HEAD", "/v1/scores:watch", "GET"),
        ("GET", "/v1/operations/7:cancel", "POST"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    for method, path in (("POST", "/docs"), ("DELETE", "/readyz"), ("GET", "/v1/events:upload"), ("TRACE", "/healthz")):
        answer = await client.request(method, path)
        assert problem(answer, 405, "METHOD_NOT_ALLOWED") and answer.headers["allow"]
    assert (await client.head("/v1/leaderboard")).status_code == 200


async def test_errors_of_services_become_problems(services: FakeServices, client: httpx.AsyncClient) -> None:
    violations = [
        FieldViolation("event.lead_id", "is wrong"),
        FieldViolation("event.properties.my_key", "is wrong"),
        FieldViolation("event", "is wrong"),
        FieldViolation("x-tenant-id", "is wrong"),
    ]
    services.answers["PublishEvent"] = InvalidRequest(violations)
    services.answers["PublishEvents"] = InvalidRequest([FieldViolation("events[3].occurred_at", "is wrong")])
    document = problem(await client.post("/v1/events", json=EVENT), 400, "INVALID_REQUEST")
    assert [each["field"] for each in document["violations"]] == ["leadId", "properties.my_key", "", "x-tenant-id"]
    document = problem(await client.post("/v1/events:batch", json={}), 400, "INVALID_REQUEST")
    assert document["violations"][0]["field"] == "events[3].occurredAt"


@pytest.mark.parametrize(
    ("error", "status", "reason", "headers"),
    [
        (NotFound("there is no such lead"), 404, "NOT_FOUND", {}),
        (Unauthenticated("a key is needed"), 401, "UNAUTHENTICATED", {"www-authenticate": "Bearer"}),
        (NotCaughtUp("3 behind"), 504, "NOT_CAUGHT_UP", {}),
        (StreamFull("full"), 429, "STREAM_FULL", {"retry-after": "5"}),
        (Unavailable("away"), 503, "UNAVAILABLE", {"retry-after": "1"}),
        (grpc.StatusCode.UNKNOWN, 500, "INTERNAL", {}),
        (grpc.StatusCode.UNAVAILABLE, 503, "UNAVAILABLE", {"retry-after": "1"}),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED", {}),
    ],
    ids=str,
)
async def test_every_kind_of_error_has_its_status(
    services: FakeServices, client: httpx.AsyncClient, error: Any, status: int, reason: str, headers: dict[str, str]
) -> None:
    services.answers["GetLead"] = error
    answer = await client.get("/v1/leads/a")
    document = problem(answer, status, reason)
    assert {name: answer.headers[name] for name in headers} == headers
    assert "10.0.0.7" not in answer.text, "internal causes are not sent"
    if isinstance(error, NotFound):
        assert document["detail"] == "there is no such lead"


async def test_a_service_that_is_away_is_reached_again_when_it_is_back(services: FakeServices) -> None:
    async with served(services) as behind:
        pass
    async with gateway_to(behind) as port, client_of(port) as client:
        assert "retry-after" in (await client.get("/v1/leaderboard")).headers
        answer = await client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["services"]["query"] == "UNAVAILABLE"
        async with served(services, behind), asyncio.timeout(10):
            while (await client.get("/v1/leaderboard")).status_code != 200:
                pass


async def test_ready_means_that_all_are(services: FakeServices, client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    for service in ("ingest", "scorer", "query"):
        await services.set_health(service, serving=True)
    assert (await client.get("/readyz")).status_code == 200
    await services.set_health("scorer", serving=False)
    answer = await client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["services"]["scorer"] == "NOT_SERVING"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example:8080"},
        {"host": "[::1"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_without_a_key_other_sites_may_not_call(
    services: FakeServices, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    problem(await client.get("/v1/leaderboard", headers=headers), 403, "PERMISSION_DENIED")
    assert services.requests == []
    with_key = await client.get("/v1/leaderboard", headers={**headers, "authorization": "Bearer key"})
    assert with_key.status_code == 200, "a key is proof enough: no browser adds it by itself"


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "127.8.9.10:1"])
async def test_without_a_key_this_machine_may_call(client: httpx.AsyncClient, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert (await client.get("/v1/leaderboard", headers=headers)).status_code == 200


async def test_headers_that_cannot_be_forwarded_are_refused(client: httpx.AsyncClient) -> None:
    for name in ("authorization", "x-tenant-id", "idempotency-key"):
        for value in ("ü".encode(), b"a\tb", b"x" * 5_000):
            document = problem(
                await client.get("/v1/leaderboard", headers=[(name.encode(), value)]), 400, "INVALID_REQUEST"
            )
            assert name in document["detail"]


async def test_every_answer_has_the_security_headers(services: FakeServices, client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/app.js", "/openapi.json", "/healthz", "/v1/leaderboard", "/v1/nothing"):
        headers = (await client.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers and "server" not in headers


async def raw(port: int, *parts: bytes) -> bytes:
    """What the gateway says to bytes on a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(65_536), 10)
    finally:
        writer.close()


async def test_what_is_not_http_is_a_problem_too(port: int) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET /v1/leads/m\xc3\xbcller HTTP/1.1\r\n\r\n", b"hello\r\n\r\n"):
        said = await raw(port, nonsense)
        assert said.startswith(b"HTTP/1.1 400") and b"application/problem+json" in said


async def test_a_head_without_an_end_is_refused(services: FakeServices, port: int) -> None:
    start = b"GET /v1/leaderboard HTTP/1.1\r\nhost: localhost\r\nx: "
    said = await raw(port, start, *[b"x" * HEAD_BYTES_MAX] * 16)
    assert said.startswith(b"HTTP/1.1 431") and b"application/problem+json" in said
    assert services.requests == []


async def test_a_connection_serves_many_requests(services: FakeServices, port: int) -> None:
    body = json.dumps(EVENT).encode()
    request = (
        b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    async with client_of(port) as client:
        for _ in range(40):
            assert (await client.post("/v1/events", json=EVENT, headers={"x": "y" * 1_000})).status_code == 200
    assert (await raw(port, (request % len(body) + body) * 2)).count(b"200 OK") >= 1
    assert len(services.requests) >= 41


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(SettingError, match=r"port \d+ on 127.0.0.1 is taken"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_a_port_is_shared_by_gateways_that_mean_to_and_by_nobody_else() -> None:
    with listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, shared=True) as second:
            assert second.getsockname() == first.getsockname()
        with pytest.raises(SettingError, match="is taken"):
            listen("127.0.0.1", port)
