"""Watching: live, resumed, filtered, slow; nothing missed, nothing twice."""

import asyncio
import contextlib
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
from services.query import leaderboard_watch, states
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


async def test_who_wants_crossings_hears_of_no_other_change(suite: Suite) -> None:
    crossings, _ = await watch(suite, crossings_only=True)
    everything, _ = await watch(suite, lead_ids=["ada"])
    await publish(suite, "ada", "ada", type_name="page_view")
    await publish(suite, "ada", type_name="purchase")
    told = [each.update for each in await updates(everything, 3)]
    expected = [each.version for each in told if each.crossings]
    assert expected and len(expected) < 3
    assert [each.update.version for each in await updates(crossings, len(expected))] == expected


async def top(call: Call) -> list[tuple[int, str, int]]:
    """The next top of a leaderboard."""
    async with asyncio.timeout(20):
        while not (message := await call.read()).HasField("top"):
            pass
    return [(each.rank, each.lead_id, each.score) for each in message.top.entries]


async def test_the_top_of_the_leaderboard_comes_whole_as_it_is_and_whenever_it_changes(suite: Suite) -> None:
    call: Call = suite.query.WatchLeaderboard(query.WatchLeaderboardRequest(size=2))
    assert await top(call) == []
    await publish(suite, "ada")
    assert await top(call) == [(1, "ada", 5)]
    await publish(suite, "grace", type_name="purchase")
    assert await top(call) == [(1, "grace", 100), (2, "ada", 5)]
    await publish(suite, "linus", type_name="purchase")
    assert await top(call) == [(1, "grace", 100), (1, "linus", 100)]
    late: Call = suite.query.WatchLeaderboard(query.WatchLeaderboardRequest())
    assert await top(late) == [(1, "grace", 100), (1, "linus", 100), (3, "ada", 5)]


async def test_who_watches_an_unchanged_leaderboard_hears_heartbeats(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard_watch, "HEARTBEAT_S", 0.05)
    call: Call = suite.query.WatchLeaderboard(query.WatchLeaderboardRequest())
    assert await top(call) == []
    heard = await call.read()
    assert heard is not aio.EOF and not heard.HasField("top")


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


async def forget(nats_server: NatsServer) -> None:
    """Has the stream forget all that was announced."""
    client = await nats.connect(nats_server.url)
    await client.jetstream().purge_stream(SCORES)
    await client.close()


async def test_a_token_whose_updates_were_forgotten_is_answered_by_the_state_of_every_lead(
    suite: Suite, nats_server: NatsServer
) -> None:
    call, token = await watch(suite)
    await publish(suite, "ada", "grace", "ada")
    latest = (await updates(call, 3))[-1].resume_token
    await forget(nats_server)
    resumed, _ = await watch(suite, resume_token=token)
    found = await updates(resumed, 2)
    assert [(each.update.lead_id, each.update.score, each.update.version) for each in found] == [
        ("ada", 10, 2),
        ("grace", 5, 1),
    ]
    assert all(each.snapshot and each.resume_token == token for each in found)
    assert all(each.update.previous_score == each.update.score and not each.update.cause for each in found)
    assert all(each.update.HasField("recorded_at") and each.update.grade == "D3" for each in found)
    await publish(suite, "ada")
    (change,) = await updates(resumed, 1)
    assert (change.update.lead_id, change.update.version, change.snapshot) == ("ada", 3, False)
    behind, _ = await watch(suite, resume_token=latest)
    assert [each.update.version for each in await updates(behind, 1)] == [3], (
        "nothing behind the last one was forgotten"
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"min_score": 100}, ["grace", "linus"]),
        ({"lead_ids": ["ada", "linus", "nobody", "a\0b"]}, ["ada", "linus"]),
        ({"lead_ids": ["ada", "linus"], "min_score": 50}, ["linus"]),
        ({"grade_changes_only": True}, ["ada", "grace", "linus"]),
        ({"crossings_only": True}, ["ada", "grace", "linus"]),
        ({"min_score": 1000}, []),
    ],
    ids=str,
)
async def test_filters_of_a_watch_are_filters_of_its_states(
    suite: Suite, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], found: list[str]
) -> None:
    monkeypatch.setattr(states, "SLICE_LEADS", 2)
    call, token = await watch(suite)
    await publish(suite, "ada")
    await publish(suite, "grace", "linus", type_name="purchase")
    await updates(call, 3)
    await forget(nats_server)
    resumed, _ = await watch(suite, resume_token=token, **wanted)
    assert [each.update.lead_id for each in await updates(resumed, len(found))] == found
    async with asyncio.timeout(20):
        assert (await resumed.read()).resume_token != token, "behind the states it goes on from the present"


async def test_while_thousands_of_states_are_read_nothing_that_changes_is_missed_or_told_twice(
    suite: Suite, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "SLICE_LEADS", 25)
    leads = [f"lead-{number:03}" for number in range(300)]
    call, token = await watch(suite)
    await publish(suite, *leads)
    await updates(call, 300)
    await forget(nats_server)
    resumed, _ = await watch(suite, resume_token=token)
    versions = dict.fromkeys(leads, 0)
    publishing = asyncio.create_task(publish_each(suite, leads))
    while any(version < 3 for version in versions.values()):
        (message,) = await updates(resumed, 1)
        before, lead_id = versions[message.update.lead_id], message.update.lead_id
        assert message.snapshot == (before == 0), "first each state, then what changes"
        assert message.snapshot or message.update.version == before + 1, (lead_id, before, message.update.version)
        versions[lead_id] = message.update.version
    await publishing


async def publish_each(suite: Suite, leads: list[str]) -> None:
    """Two more changes of each lead, in many batches."""
    for start in range(0, len(leads), 10):
        await publish(suite, *leads[-10 - start : len(leads) - start])
        await publish(suite, *leads[start : start + 10])


async def test_when_the_stream_was_made_anew_a_watch_ends_and_goes_on_with_the_states(
    suite: Suite, nats_server: NatsServer
) -> None:
    call, token = await watch(suite)
    client = await nats.connect(nats_server.url)
    config = (await client.jetstream().stream_info(SCORES)).config
    await client.jetstream().delete_stream(SCORES)
    await client.jetstream().add_stream(config)
    with pytest.raises(aio.AioRpcError) as caught:
        await updates(call, 1)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    await publish(suite, "ada")
    found: list[Any] = []
    while not found:
        anew, _ = await watch(suite, resume_token=token)
        with contextlib.suppress(aio.AioRpcError):  # It may come back before the service knows of the new stream.
            found += await updates(anew, 1)
    assert found[0].update.lead_id == "ada"
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
