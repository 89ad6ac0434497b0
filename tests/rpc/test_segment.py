"""Segment's SDKs at the gateway: keys, pages of other sites, and what is answered to good and bad calls."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from leadscore.ingest.v1 import ingest_service_pb2 as ingest

from gateway.segment.calls import BATCH_BYTES_MAX, CALL_BYTES_MAX
from gateway.segment.origins import Origins
from gateway.segment.service import PATHS
from services.shared.errors import SettingError, StreamFull, Unauthenticated
from services.shared.tokens import decode_positions, encode_positions
from tests.rpc.fake_services import FakeServices, client_of, gateway_to, served

SHOP = "https://shop.example"
PAGE = {"type": "page", "userId": "ada", "messageId": "m-1"}
IDENTIFY = {"type": "identify", "userId": "ada", "messageId": "m-2", "traits": {"budget": 5}}


def basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def outcomes(*outcomes: ingest.Outcome.ValueType, **fields: Any) -> Any:
    return {"results": [ingest.EventResult(outcome=each) for each in outcomes], **fields}


@pytest.fixture
def services() -> FakeServices:
    services = FakeServices()
    accepted = outcomes(ingest.OUTCOME_ACCEPTED)
    token = encode_positions({1: 10, 2: 20})
    services.answers["PublishEvents"] = ingest.PublishEventsResponse(**accepted, consistency_token=token)
    token = encode_positions({2: 15, 3: 30})
    services.answers["UpsertLeads"] = ingest.UpsertLeadsResponse(**accepted, consistency_token=token)
    return services


@pytest.fixture
async def client(services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    mapping = '{"types": {"Order Completed": "purchase"}}'
    async with served(services) as behind:
        gateway = gateway_to(behind, segment_origins=f" {SHOP} ,app://desktop", segment_mapping=mapping)
        async with gateway as port, client_of(port) as client:
            yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"]) == (status, status), document
    return document


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_of_the_sdks_takes_its_calls(
    services: FakeServices, client: httpx.AsyncClient, path: str
) -> None:
    kind = PATHS[path]
    call = {"event": "Order Completed", "userId": "ada", "traits": {"a": 1}, "groupId": "g", "messageId": "m"}
    body = {"batch": [{**call, "type": "page"}]} if kind == "batch" else call
    answer = await client.post(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    (request,) = services.requests
    if kind in ("identify", "group"):
        assert isinstance(request, ingest.UpsertLeadsRequest)
    else:
        types = {"track": "purchase", "page": "page_view", "screen": "screen_view", "alias": "alias"}
        assert [each.type for each in request.events] == [types.get(kind, "page_view")]


async def test_a_batch_of_all_kinds_is_one_call_for_events_and_one_for_profiles(
    services: FakeServices, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/v1/batch", json={"batch": [PAGE, IDENTIFY], "sentAt": "2026-10-01T00:00:00Z"})
    assert answer.json() == {"success": True}
    assert decode_positions(answer.headers["x-consistency-token"]) == {1: 10, 2: 20, 3: 30}
    assert {type(each).__name__ for each in services.requests} == {"PublishEventsRequest", "UpsertLeadsRequest"}
    assert len(services.requests) == 2


@pytest.mark.parametrize(
    ("headers", "body", "shown"),
    [
        (basic("lsk_1"), {}, "Bearer lsk_1"),
        ({"authorization": "basic " + base64.b64encode(b"lsk_1").decode()}, {}, "Bearer lsk_1"),
        ({"authorization": "Bearer lsk_1"}, {}, "Bearer lsk_1"),
        ({}, {"writeKey": "lsk_1"}, "Bearer lsk_1"),
        (basic("lsk_1"), {"writeKey": "lsk_2"}, "Bearer lsk_1"),
        ({}, {}, None),
        ({}, {"writeKey": None}, None),
    ],
)
@pytest.mark.parametrize("path", ["page", "batch"])
async def test_the_write_key_is_a_key_like_any_other(
    services: FakeServices,
    client: httpx.AsyncClient,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    shown: str | None,
) -> None:
    calls = {"batch": [PAGE]} if path == "batch" else PAGE
    answer = await client.post(f"/v1/{path}", json={**calls, **body}, headers={**headers, "idempotency-key": "x"})
    assert answer.status_code == 200, answer.text
    assert services.metadata.get("authorization") == shown
    assert "idempotency-key" not in services.metadata, "two calls with one key would make the same ids"


async def test_a_key_that_is_none_is_refused(services: FakeServices, client: httpx.AsyncClient) -> None:
    for wrong in ("Basic ???", "Basic " + base64.b64encode("ä:".encode()).decode()):
        problem(await client.post("/v1/page", json=PAGE, headers={"authorization": wrong}), 401)
    assert problem(await client.post("/v1/page", json={**PAGE, "writeKey": "a\nb"}), 400)["detail"]
    assert services.requests == []
    services.answers["PublishEvents"] = Unauthenticated("the key is not known")
    answer = await client.post("/v1/page", json=PAGE, headers=basic("unknown"))
    assert problem(answer, 401)["reason"] == "UNAUTHENTICATED"


async def test_bodies_come_as_the_sdks_send_them(services: FakeServices, client: httpx.AsyncClient) -> None:
    plain = json.dumps({"batch": [PAGE]}).encode()
    zipped = {"content-encoding": "gzip", "content-type": "application/json"}
    for body, headers in (
        (plain, {"content-type": "text/plain"}),
        (plain, {"content-type": "text/plain;charset=UTF-8"}),
        (plain, {"content-type": "application/json; charset=utf-8"}),
        (plain, {}),
        (gzip.compress(plain), zipped),
    ):
        assert (await client.post("/v1/batch", content=body, headers=headers)).json() == {"success": True}
    problem(await client.post("/v1/batch", content=plain, headers={"content-type": "text/html"}), 415)
    problem(await client.post("/v1/batch", content=b"no", headers=zipped), 400)
    assert len(services.requests) == 5


async def test_bad_calls_are_named_and_good_ones_are_taken(services: FakeServices, client: httpx.AsyncClient) -> None:
    violation = ingest.Violation(field="occurred_at", description="must be at most 5 minutes ahead of now")
    refused = ingest.EventResult(outcome=ingest.OUTCOME_REJECTED, violations=[violation])
    accepted = ingest.EventResult(outcome=ingest.OUTCOME_ACCEPTED)
    services.answers["PublishEvents"] = ingest.PublishEventsResponse(results=[accepted, refused])
    of_profile = [ingest.Violation(field="profile.x.y", description="is wrong"), ingest.Violation(field="lead_id")]
    services.answers["UpsertLeads"] = ingest.UpsertLeadsResponse(
        results=[ingest.EventResult(outcome=ingest.OUTCOME_REJECTED, violations=of_profile)]
    )
    anonymous = {"type": "identify", "anonymousId": "x", "messageId": "m-4", "traits": {"a": 1}}
    calls = [anonymous, {"type": "page", "messageId": "m-0"}, PAGE, {**PAGE, "messageId": "m-3"}]
    answer = await client.post("/v1/batch", json={"batch": calls})
    assert answer.status_code == 200
    late = {"field": "timestamp", "description": violation.description}
    assert answer.json() == {
        "success": True,
        "rejected": [
            {
                "index": 0,
                "messageId": "m-4",
                "violations": [
                    {"field": "traits.x.y", "description": "is wrong"},
                    {"field": "anonymousId", "description": ""},
                ],
            },
            {
                "index": 1,
                "messageId": "m-0",
                "violations": [{"field": "userId", "description": "or anonymousId is needed"}],
            },
            {"index": 3, "messageId": "m-3", "violations": [late]},
        ],
    }


async def test_when_all_calls_are_bad_the_answer_says_so(services: FakeServices, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/batch", json={"batch": [{"type": "page"}, {"userId": "a", "type": "x"}]})
    assert [each["field"] for each in problem(answer, 400)["violations"]] == ["batch[0].userId", "batch[1].type"]
    assert [each["field"] for each in problem(await client.post("/v1/page", json={}), 400)["violations"]] == ["userId"]
    assert problem(await client.post("/v1/batch", json={"batch": []}), 400)["violations"][0]["field"] == "batch"
    assert problem(await client.post("/v1/batch", content=b"{"), 400)["reason"] == "INVALID_REQUEST"
    assert services.requests == []


async def test_what_is_too_large_is_refused(services: FakeServices, client: httpx.AsyncClient) -> None:
    large = {**PAGE, "properties": {"a": "x" * CALL_BYTES_MAX}}
    assert "at most 32768" in problem(await client.post("/v1/page", json=large), 400)["detail"]
    answer = await client.post("/v1/batch", json={"batch": [large, PAGE]})
    assert [each["index"] for each in answer.json()["rejected"]] == [0]
    problem(await client.post("/v1/batch", content=b" " * (BATCH_BYTES_MAX + 1)), 413)
    bomb = gzip.compress(b" " * (BATCH_BYTES_MAX + 1))
    problem(await client.post("/v1/batch", content=bomb, headers={"content-encoding": "gzip"}), 413)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(StreamFull("the stream is full"), 429), (grpc.StatusCode.UNAVAILABLE, 503), (grpc.StatusCode.INTERNAL, 500)],
)
async def test_what_may_pass_is_answered_so_that_the_sdk_sends_it_again(
    services: FakeServices, client: httpx.AsyncClient, failure: Any, status: int
) -> None:
    services.answers["UpsertLeads"] = failure
    answer = await client.post("/v1/batch", json={"batch": [PAGE, IDENTIFY]})
    problem(answer, status)
    assert answer.headers.get("x-ratelimit-reset") == (answer.headers["retry-after"] if status == 429 else None)


async def test_pages_of_listed_sites_may_call_and_others_may_not(
    services: FakeServices, client: httpx.AsyncClient
) -> None:
    body = {**PAGE, "writeKey": "lsk_1"}
    allowed = await client.post("/v1/p", json=body, headers={"origin": SHOP})
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert allowed.headers["vary"] == "origin"
    shown = await client.post("/v1/p", json={}, headers={"origin": SHOP})
    assert shown.headers["access-control-allow-origin"] == SHOP, "the page may read what was wrong"
    own = await client.post("/v1/p", json=body, headers={"origin": str(client.base_url).rstrip("/")})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    sent = len(services.requests)
    for origin in ("https://evil.example", f"{SHOP}.evil.example", "null"):
        refused = await client.post("/v1/p", json=body, headers={"origin": origin})
        assert "LEADSCORE_SEGMENT_ORIGINS" in problem(refused, 403)["detail"]
        assert "access-control-allow-origin" not in refused.headers
    problem(await client.post("/v1/p", json=PAGE, headers={"origin": SHOP}), 403)
    assert len(services.requests) == sent, "without a key, not even a listed site may call"


async def test_browsers_that_ask_first_are_told(client: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    told = await client.options("/v1/batch", headers={"origin": "app://desktop", **asked})
    assert told.status_code == 204
    assert told.headers["access-control-allow-origin"] == "app://desktop"
    assert told.headers["access-control-allow-methods"] == "POST"
    assert "authorization" in told.headers["access-control-allow-headers"]
    problem(await client.options("/v1/batch", headers={"origin": "https://evil.example", **asked}), 403)
    plain = await client.options("/v1/batch")
    assert (plain.status_code, plain.headers["allow"]) == (204, "OPTIONS, POST")
    assert "access-control-allow-origin" not in plain.headers
    assert problem(await client.get("/v1/batch"), 405)


async def test_all_sites_may_call_if_that_is_what_is_set(services: FakeServices) -> None:
    async with (
        served(services) as behind,
        gateway_to(behind, anonymous=False, segment_origins="*") as port,
        client_of(port) as client,
    ):
        answer = await client.post("/v1/page", json={**PAGE, "writeKey": "k"}, headers={"origin": "null"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "null")


@pytest.mark.parametrize("setting", ["shop.example", "https://shop.example/", "https://", "https://a b"])
def test_an_origin_that_is_none_is_a_setting_that_is_wrong(setting: str) -> None:
    with pytest.raises(SettingError, match="LEADSCORE_SEGMENT_ORIGINS"):
        Origins(setting)
