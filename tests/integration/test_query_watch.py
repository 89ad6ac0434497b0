"""Watching: live, resumed, filtered, slow; nothing missed, nothing twice."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import nats
import pytest
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from embedded.nats import NatsServer
from services.query.places import Place, parse_token
from services.query.watch import Hub
from services.shared import bus as stream
from services.shared.bus import Bus
from services.shared.bus.messages import SCORES
from services.shared.settings import Settings
from tests.announced import Leads
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


@asynccontextmanager
async def announcing(settings: Settings) -> AsyncIterator[Bus]:
    """What a scorer announces with."""
    async with stream.connect(settings, "test", lambda: None) as bus:
        yield bus


async def until_last(call: Call) -> list[Any]:
    """All updates up to the one of the lead `last`."""
    found = await updates(call, 1)
    while found[-1].update.lead_id != "last":
        found += await updates(call, 1)
    return found


async def until_watched_by(count: int) -> None:
    """Waits until so many watchers are left: the server hears of a cancelled call in its own time."""
    gc.collect()
    (hub,) = (each for each in gc.get_objects() if isinstance(each, Hub))
    async with asyncio.timeout(20):
        while hub.watchers != count:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)


async def test_a_watcher_that_is_stuck_delays_nobody_and_then_gets_the_latest_of_each_lead(
    suite: Suite, settings: Settings
) -> None:
    leads = Leads()
    stuck, _ = await watch(suite)
    quick, _ = await watch(suite, lead_ids=["last"])
    gone, _ = await watch(suite)
    async with announcing(settings) as bus:
        for number in range(200):
            payload = leads.payload(f"lead-{each}" for each in range(500))
            await bus.announce([("demo", payload, f"bulk-{number}")])
        await bus.announce([("demo", leads.payload(["last"]), "last")])
    assert len(await updates(quick, 1)) == 1
    gone.cancel()
    await until_watched_by(2)
    found = [each.update for each in await until_last(stuck)]
    assert len(found) < 100_000, "it was merged"
    for lead_id in ("lead-0", "lead-499"):
        chain = [each for each in found if each.lead_id == lead_id]
        assert (chain[0].previous_score, chain[-1].version) == (0, 200)
        assert all(before.score == after.previous_score for before, after in itertools.pairwise(chain))


async def test_a_watcher_that_comes_back_after_a_bulk_load_gets_every_change(suite: Suite) -> None:
    call, token = await watch(suite)
    call.cancel()
    for _ in range(3):
        await publish(suite, *["ada", "grace"] * 300)
    await publish(suite, "last")
    call, _ = await watch(suite, resume_token=token)
    found = [each.update for each in await until_last(call)]
    assert [each.version for each in found if each.lead_id == "ada"] == list(range(1, 201)), "1000 points are the most"


@pytest.mark.parametrize("token", ["garbage", "k80BAQA", Place(10**15, -1).token, "kwEC"])
async def test_what_is_no_token_is_refused(suite: Suite, token: str) -> None:
    await assert_refused(suite, token, grpc.StatusCode.INVALID_ARGUMENT)


async def test_a_token_of_the_future_is_refused(suite: Suite) -> None:
    call, token = await watch(suite)
    await publish(suite, "ada")
    sent = (await updates(call, 1))[0].resume_token
    assert sent != token
    made_us, sequence = place_of(sent)
    await assert_refused(suite, Place(made_us, sequence + 1).token, grpc.StatusCode.INVALID_ARGUMENT)


async def test_a_token_is_out_of_range_when_the_stream_forgot_what_follows_it(
    suite: Suite, nats_server: NatsServer
) -> None:
    call, token = await watch(suite)
    await publish(suite, "ada")
    latest = (await updates(call, 1))[0].resume_token
    client = await nats.connect(nats_server.url)
    await client.jetstream().purge_stream(SCORES)
    await assert_refused(suite, token, grpc.StatusCode.OUT_OF_RANGE)
    resumed, _ = await watch(suite, resume_token=latest)
    await publish(suite, "ada")
    assert [each.update.version for each in await updates(resumed, 1)] == [2]
    await client.close()


async def test_a_token_is_out_of_range_when_the_stream_was_made_anew(suite: Suite, nats_server: NatsServer) -> None:
    call, token = await watch(suite)
    client = await nats.connect(nats_server.url)
    config = (await client.jetstream().stream_info(SCORES)).config
    await client.jetstream().delete_stream(SCORES)
    await client.jetstream().add_stream(config)
    with pytest.raises(aio.AioRpcError) as caught:
        await updates(call, 1)
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    await assert_refused(suite, token, grpc.StatusCode.OUT_OF_RANGE)
    anew, _ = await watch(suite)
    await publish(suite, "ada")
    assert [each.update.version for each in await updates(anew, 1)] == [1]
    await client.close()


def place_of(token: str) -> tuple[int, int]:
    place = parse_token(token)
    assert place is not None
    return place.made_us, place.sequence


async def assert_refused(suite: Suite, token: str, code: grpc.StatusCode) -> None:
    call = suite.query.WatchScores(query.WatchScoresRequest(resume_token=token))
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == code


async def test_a_watch_goes_on_where_it_was_when_the_stream_is_killed_and_comes_back(
    suite: Suite, nats_server: NatsServer
) -> None:
    call, _ = await watch(suite)
    await publish(suite, "ada")
    found = await updates(call, 1)
    await nats_server.kill()
    await nats_server.start()
    request = ingest.PublishEventsRequest(events=[event_pb2.Event(event_id="e2", lead_id="ada", type="page_view")])
    for _ in range(100):
        try:
            await suite.ingest.PublishEvents(request)
            break
        except aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    found += await updates(call, 1)
    assert [each.update.version for each in found] == [1, 2]


async def test_five_hundred_watchers_see_the_same_and_leave_nothing_behind(suite: Suite) -> None:
    calls = [await watch(suite) for _ in range(500)]
    await publish(suite, *[f"lead-{number}" for number in range(20)])
    found = await asyncio.gather(*(updates(call, 20) for call, _ in calls))
    first = [each.SerializeToString() for each in found[0]]
    assert all([each.SerializeToString() for each in one] == first for one in found)
    for call, _ in calls:
        call.cancel()
    await until_watched_by(0)


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
