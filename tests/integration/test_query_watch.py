"""Watching: live, resumed, filtered, slow; nothing missed, nothing twice."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from services.query.feed import Position
from services.shared.settings import Settings
from tests.parts import Suite

Call = Any


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite


async def publish(suite: Suite, *lead_ids: str, type_name: str = "page_view") -> None:
    events = [event_pb2.Event(lead_id=lead_id, type=type_name) for lead_id in lead_ids]
    await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))


async def watch(suite: Suite, **fields: Any) -> tuple[Call, str]:
    """A watch that is under way, and the token that it began with."""
    call: Call = suite.query.WatchScores(query.WatchScoresRequest(**fields))
    first = await call.read()
    assert not first.HasField("update"), "a watch begins with a heartbeat"
    return call, first.resume_token


async def updates(call: Call, count: int) -> list[Any]:
    """The next updates, without heartbeats."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            message = await call.read()
            if message.HasField("update"):
                found.append(message)
    return found


async def test_each_change_comes_as_it_is_committed_in_order_for_each_lead(suite: Suite) -> None:
    call, _ = await watch(suite)
    await publish(suite, "ada", "grace", "ada")
    await publish(suite, "ada", type_name="purchase")
    found = [each.update for each in await updates(call, 4)]
    ada = [each for each in found if each.lead_id == "ada"]
    assert [(each.version, each.previous_score, each.score) for each in ada] == [(1, 0, 5), (2, 5, 10), (3, 10, 110)]
    assert [(each.previous_grade, each.grade) for each in ada] == [("", "D3"), ("D3", "D3"), ("D3", "D2")]


@pytest.mark.parametrize("restart", [False, True], ids=["same process", "another process"])
async def test_a_watch_that_is_resumed_misses_nothing_and_repeats_nothing(suite: Suite, restart: bool) -> None:
    call, _ = await watch(suite)
    await publish(suite, "ada", "ada", "ada")
    seen = (await updates(call, 2))[-1]
    call.cancel()
    await publish(suite, "grace", "ada")
    if restart:
        await suite.stop("query")
        await suite.start("query")
    call = suite.query.WatchScores(query.WatchScoresRequest(resume_token=seen.resume_token))
    found = [each.update for each in await updates(call, 3)]
    await publish(suite, "ada")
    found += [each.update for each in await updates(call, 1)]
    assert [each.version for each in found if each.lead_id == "ada"] == [3, 4, 5]
    assert [each.version for each in found if each.lead_id == "grace"] == [1]


async def test_a_heartbeats_token_resumes_too(suite: Suite) -> None:
    call, token = await watch(suite)
    call.cancel()
    await publish(suite, "ada")
    call = suite.query.WatchScores(query.WatchScoresRequest(resume_token=token))
    assert [each.update.lead_id for each in await updates(call, 1)] == ["ada"]


async def test_filters_pass_only_what_was_asked_for(suite: Suite) -> None:
    by_lead, _ = await watch(suite, lead_ids=["ada"])
    by_score, _ = await watch(suite, min_score=100)
    by_grade, _ = await watch(suite, grade_changes_only=True)
    await publish(suite, "grace")
    await publish(suite, "ada")
    await publish(suite, "grace", type_name="purchase")
    await publish(suite, "ada")
    assert [each.update.version for each in await updates(by_lead, 2)] == [1, 2]
    assert [each.update.score for each in await updates(by_score, 1)] == [105]
    grades = [each.update for each in await updates(by_grade, 3)]
    assert [(each.lead_id, each.grade) for each in grades] == [("grace", "D3"), ("ada", "D3"), ("grace", "D2")]


async def test_a_watcher_far_behind_gets_the_latest_state_of_each_lead(suite: Suite) -> None:
    call, token = await watch(suite)
    call.cancel()
    for _ in range(3):
        await publish(suite, *["ada", "grace"] * 300)
    watcher, _ = await watch(suite)
    await publish(suite, "last")
    await updates(watcher, 1)
    call = suite.query.WatchScores(query.WatchScoresRequest(resume_token=token))
    found: list[Any] = []
    while not any(each.update.lead_id == "last" for each in found):
        found += await updates(call, 1)
    assert len(found) < 1_000
    scores = {each.update.lead_id: each.update for each in found}
    assert (scores["ada"].score, scores["ada"].version) == (1000, 200)
    for lead in ("ada", "grace"):
        rows = [each.update for each in found if each.update.lead_id == lead]
        assert rows[0].previous_score == 0
        assert all(before.score == after.previous_score for before, after in itertools.pairwise(rows))


@pytest.mark.parametrize("token", ["garbage", Position(10**9, 0).token, Position(1, -5).token])
async def test_a_token_of_no_place_in_the_stream_is_refused(suite: Suite, token: str) -> None:
    call = suite.query.WatchScores(query.WatchScoresRequest(resume_token=token))
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_hundreds_of_watchers_see_the_same(suite: Suite) -> None:
    calls = [await watch(suite) for _ in range(300)]
    await publish(suite, *[f"lead-{number}" for number in range(20)])
    found = await asyncio.gather(*(updates(call, 20) for call, _ in calls))
    first = [each.SerializeToString() for each in found[0]]
    assert all([each.SerializeToString() for each in one] == first for one in found)


async def test_watches_end_with_a_word_when_the_service_stops(suite: Suite) -> None:
    call, _ = await watch(suite)
    running = suite.running.pop("query")
    stopping = asyncio.create_task(running._stack.aclose())
    with pytest.raises(aio.AioRpcError) as caught:
        while await call.read() is not aio.EOF:
            pass
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    await stopping
    await running.stop()
