"""Watching over REST: server-sent events that can be resumed, end in order, and hold on to no client that has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2

from gateway import streaming
from services.shared.errors import TooMany, Unauthenticated, Unavailable
from tests.rpc.fake_services import FakeServices, client_of, gateway_to, served

PATH = "/v1/scores:watch"
HEARTBEAT = query.WatchScoresResponse(resume_token="t0")


def update(token: str, lead_id: str = "a") -> Any:
    change = score_pb2.ScoreUpdate(lead_id=lead_id, score=5, version=1, cause=score_pb2.CAUSE_EVENT)
    return query.WatchScoresResponse(resume_token=token, update=change)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
async def client(services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    async with served(services) as behind, gateway_to(behind) as port, client_of(port) as client:
        yield client


@asynccontextmanager
async def watching(client: httpx.AsyncClient, **options: Any) -> AsyncIterator[AsyncIterator[str]]:
    """The blocks of an open stream."""
    async with client.stream("GET", PATH, **options) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-accel-buffering"] == "no"
        yield blocks(answer)


async def blocks(answer: httpx.Response) -> AsyncIterator[str]:
    text = ""
    async for chunk in answer.aiter_text():
        text += chunk
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            yield block


async def test_updates_come_with_their_tokens_and_heartbeats_as_comments(
    services: FakeServices, client: httpx.AsyncClient
) -> None:
    for message in (HEARTBEAT, update("t1", 'x\n"ü')):
        services.updates.put_nowait(message)
    async with watching(client) as stream:
        assert await anext(stream) == "retry: 1000\n: connected"
        assert await anext(stream) == ": heartbeat\nid: t0"
        token, _, data = (await anext(stream)).partition("\n")
        assert token == "id: t1"
        shown = json.loads(data.removeprefix("data: "))
        assert (shown["leadId"], shown["previousScore"], shown["score"], shown["cause"]) == ('x\n"ü', 0, 5, "EVENT")
        services.updates.put_nowait(update("t2"))
        assert (await anext(stream)).startswith("id: t2\n")


async def test_the_leaderboard_comes_without_tokens(services: FakeServices, client: httpx.AsyncClient) -> None:
    top = query.LeaderboardTop(entries=[query.LeaderboardEntry(rank=1, lead_id="ada", score=5)], total_leads=1)
    for message in (query.WatchLeaderboardResponse(), query.WatchLeaderboardResponse(top=top)):
        services.updates.put_nowait(message)
    async with client.stream("GET", "/v1/leaderboard:watch", params={"size": 3}) as answer:
        stream = blocks(answer)
        assert [await anext(stream), await anext(stream)] == ["retry: 1000\n: connected", ": heartbeat"]
        shown = json.loads((await anext(stream)).removeprefix("data: "))
        assert (shown["totalLeads"], shown["entries"][0]["leadId"]) == (1, "ada")
    assert services.requests == [query.WatchLeaderboardRequest(size=3)]


async def test_states_come_as_updates_without_a_cause(services: FakeServices, client: httpx.AsyncClient) -> None:
    state = query.WatchScoresResponse(resume_token="t", snapshot=True)
    state.update.CopyFrom(score_pb2.ScoreUpdate(lead_id="a", previous_score=5, score=5, version=3))
    services.updates.put_nowait(state)
    async with watching(client) as stream:
        await anext(stream)
        shown = json.loads((await anext(stream)).removeprefix("id: t\ndata: "))
        assert (shown["previousScore"], shown["score"], shown["cause"]) == (5, 5, "UNSPECIFIED")


async def test_a_stream_is_open_before_anything_happens(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "OPENING_WAIT_S", 0.05)
    async with watching(client) as stream:
        assert await anext(stream) == "retry: 1000\n: connected"
        services.updates.put_nowait(TooMany("as many watch as can"))
        kind, _, data = (await anext(stream)).partition("\n")
        assert kind == "event: error" and json.loads(data.removeprefix("data: "))["reason"] == "TOO_MANY"
        assert [block async for block in stream] == [], "after an error the stream ends"


@pytest.mark.parametrize(
    ("parameters", "headers", "token"),
    [
        ({}, {}, ""),
        ({"resumeToken": "a"}, {}, "a"),
        ({"lastEventId": "a"}, {}, "a"),
        ({"resumeToken": "a"}, {"last-event-id": "b"}, "b"),
    ],
)
async def test_a_stream_is_resumed_by_its_token(
    services: FakeServices,
    client: httpx.AsyncClient,
    parameters: dict[str, str],
    headers: dict[str, str],
    token: str,
) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(client, params={**parameters, "minScore": 5}, headers=headers):
        assert services.requests == [query.WatchScoresRequest(resume_token=token, min_score=5)]


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unauthenticated("a key is needed"), 401), (TooMany("as many watch as can"), 429), (Unavailable("away"), 503)],
    ids=str,
)
async def test_an_error_at_the_start_is_a_plain_problem(
    services: FakeServices, client: httpx.AsyncClient, error: Any, status: int
) -> None:
    services.updates.put_nowait(error)
    answer = await client.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("query_string", ["minScore=x", "resumeToken=%ff", "what=1", "lastEventId=a&lastEventId=b"])
async def test_a_wrong_parameter_opens_no_stream(
    services: FakeServices, client: httpx.AsyncClient, query_string: str
) -> None:
    assert (await client.get(f"{PATH}?{query_string}")).status_code == 400
    assert services.requests == []


async def test_a_client_that_leaves_ends_the_call(services: FakeServices, client: httpx.AsyncClient) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(client) as stream:
        await anext(stream)
        assert not services.watch_left.is_set()
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_stream_ends_when_its_service_goes(services: FakeServices, client: httpx.AsyncClient) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(client) as stream:
        await anext(stream)
        services.updates.put_nowait(grpc.StatusCode.UNAVAILABLE)
        assert [block async for block in stream] == [": heartbeat\nid: t0"]


async def test_a_service_that_falls_silent_is_not_waited_for(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE_MAX_S", 0.1)
    services.updates.put_nowait(HEARTBEAT)
    async with watching(client) as stream:
        assert len([block async for block in stream]) == 2
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_gateway_that_stops_ends_its_streams(services: FakeServices) -> None:
    services.updates.put_nowait(HEARTBEAT)
    opened = asyncio.Event()

    async def watch(port: int) -> list[str]:
        async with client_of(port) as client, watching(client) as stream:
            found = [await anext(stream)]
            opened.set()
            found += [block async for block in stream]
            return found

    async with served(services) as behind:
        async with gateway_to(behind) as port:
            watcher = asyncio.create_task(watch(port))
            await opened.wait()
        assert await asyncio.wait_for(watcher, 10) == ["retry: 1000\n: connected", ": heartbeat\nid: t0"]


async def test_a_slow_client_holds_back_its_own_stream_alone(services: FakeServices, client: httpx.AsyncClient) -> None:
    """What a client does not take stays with the service, which knows what to leave out."""
    big = update("t", "x" * 100_000)
    for _ in range(1_000):
        services.updates.put_nowait(big)
    async with client.stream("GET", PATH):
        await client.get("/healthz")
        taken, before = services.updates.qsize(), -1
        while taken != before:
            before = taken
            for _ in range(20):
                await client.get("/healthz")
            taken = services.updates.qsize()
        assert taken > 500, "the gateway takes no more than its buffers hold"


async def test_a_client_that_takes_nothing_is_given_up(
    services: FakeServices, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.2)
    for _ in range(1_000):
        services.updates.put_nowait(update("t", "x" * 100_000))
    async with client.stream("GET", PATH):
        await asyncio.wait_for(services.watch_left.wait(), 20)
