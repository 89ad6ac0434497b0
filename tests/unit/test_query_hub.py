"""The hub against a stream and leads in memory: heartbeats, joining, what the stream no longer holds, the end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2

from services.query import watch
from services.query.announcements import Filter
from services.query.leaderboard_watch import Leaderboards
from services.query.places import Place, parse_token
from services.query.states import Slice
from services.query.watch import Hub
from services.shared.bus import Bus, Kept, StreamMessage
from services.shared.errors import InvalidRequest, StreamInterrupted, Unavailable
from tests.announced import MADE_US, Leads, Shown, read, shown


class Scores:
    """A stream of announcements in memory, with the words of the bus that the hub uses."""

    def __init__(self) -> None:
        self.made_us = MADE_US
        self.first = 1
        self.messages: list[StreamMessage] = []
        self.opened: list[int] = []
        self._leads = Leads()
        self._changed = asyncio.Condition()
        self._interruptions = 0

    @property
    def last(self) -> int:
        return self.messages[-1].sequence if self.messages else self.first - 1

    async def announce(self, *lead_ids: str, tenant_id: str = "demo") -> None:
        async with self._changed:
            self.messages.append(self._leads.message(self.last + 1, lead_ids, tenant_id))
            self._changed.notify_all()

    async def drop(self, through: int) -> None:
        """As the stream does with what is old."""
        async with self._changed:
            self.first = through + 1
            self.messages = [each for each in self.messages if each.sequence > through]

    async def interrupt(self) -> None:
        async with self._changed:
            self._interruptions += 1
            self._changed.notify_all()

    async def scores_kept(self) -> Kept:
        return Kept(self.made_us, self.first, self.last)

    @asynccontextmanager
    async def read_scores(self, after: int, tenant: str = "*", *, ahead: int = 512) -> AsyncIterator[Any]:
        self.opened.append(after)
        yield MemoryReader(self, after, tenant, ahead)


class MemoryReader:
    def __init__(self, scores: Scores, after: int, tenant: str, ahead: int) -> None:
        self._scores, self._after, self._tenant, self._ahead = scores, after, tenant, ahead
        self._interruptions = scores._interruptions
        self.waiting_at_start = len(self._waiting())

    def _waiting(self) -> list[StreamMessage]:
        return [
            each
            for each in self._scores.messages
            if each.sequence > self._after and self._tenant in ("*", each.tenant_id)
        ]

    async def read(self, timeout_s: float) -> list[StreamMessage]:
        async with self._scores._changed:
            await self._scores._changed.wait_for(
                lambda: self._waiting() or self._interruptions != self._scores._interruptions
            )
        if self._interruptions != self._scores._interruptions:
            raise StreamInterrupted("for a test")
        messages = self._waiting()[: self._ahead]
        self._after = messages[-1].sequence
        return messages


class States:
    """The leads in memory, read two at a time. A test may do something before a slice is read."""

    def __init__(self) -> None:
        self.leads: dict[str, score_pb2.ScoreUpdate] = {}
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}

    def put(self, lead_id: str, version: int) -> None:
        self.leads[lead_id] = score_pb2.ScoreUpdate(
            lead_id=lead_id, previous_score=version, score=version, version=version
        )

    async def read(self, tenant_id: str, wanted: Filter, after: str) -> Slice:
        if happening := self.before.pop(after, None):
            await happening()
        ids = sorted(each for each in self.leads if each > after)[:2]
        return Slice([self.leads[each] for each in ids], ids[-1] if len(ids) == 2 else None)


@pytest.fixture
async def scores() -> Scores:
    return Scores()


@pytest.fixture
def states() -> States:
    return States()


async def no_top(tenant_id: str, size: int) -> query.LeaderboardTop:
    return query.LeaderboardTop()


@pytest.fixture
async def hub(scores: Scores, states: States, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(watch, "RETRY_S", 0.001)
    hub = Hub(cast(Bus, scores), states.read, Leaderboards(no_top))
    await hub.open()
    running = asyncio.create_task(hub.run())
    yield hub
    assert not running.done(), "the hub goes on whatever happens"
    running.cancel()
    await asyncio.wait([running])


class Watch:
    """A watch, as its client sees it."""

    def __init__(self, messages: AsyncGenerator[bytes, None]) -> None:
        self._messages = messages
        self.token = ""
        self.snapshots = 0

    async def heartbeat(self) -> None:
        """The next message, which must be a heartbeat."""
        async with asyncio.timeout(10):
            message = read(await anext(self._messages))
        assert not message.HasField("update")
        self.token = message.resume_token

    async def next(self, count: int) -> list[Shown]:
        """The next updates."""
        updates: list[Shown] = []
        async with asyncio.timeout(10):
            while len(updates) < count:
                message = read(await anext(self._messages))
                self.token = message.resume_token
                self.snapshots += message.snapshot
                updates += [shown(message.update)] if message.HasField("update") else []
        return updates


async def begin(hub: Hub, token: str = "", tenant_id: str = "demo", **wanted: Any) -> Watch:
    begun = Watch(hub.watch(tenant_id, parse_token(token), Filter(**wanted)))
    await begun.heartbeat()
    return begun


def versions(updates: list[Shown]) -> list[tuple[str, int]]:
    return [(each.lead_id, each.version) for each in updates]


async def test_a_watcher_that_wants_nothing_of_a_busy_stream_hears_heartbeats_all_the_same(
    hub: Hub, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.05)
    everything = await begin(hub)
    nothing = await begin(hub, lead_ids=frozenset(["nobody"]))
    first = nothing.token
    heard = asyncio.create_task(nothing.heartbeat())
    while not heard.done():
        await scores.announce("ada")
        await everything.next(1)
    await heard
    assert parse_token(nothing.token) > parse_token(first), "a heartbeat's token moves on with the stream"  # type: ignore[operator]


async def test_a_resumed_watch_gets_what_is_kept_and_then_what_comes_each_change_once(
    hub: Hub, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEPT_MESSAGES_MAX", 2)
    started = await begin(hub)
    for _ in range(7):
        await scores.announce("ada", "grace")
    await started.next(3)
    resumed = await begin(hub, started.token)
    kept = await resumed.next(4)
    await scores.announce("ada")
    rest = await resumed.next(8)
    assert versions(kept + rest) == [
        *(("grace", 2),),
        *((lead, version) for version in range(3, 8) for lead in ("ada", "grace")),
        ("ada", 8),
    ]


async def test_a_far_away_watcher_that_comes_back_gets_every_change_not_only_the_latest(
    hub: Hub, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.query.watcher.CHANGES_WAITING_MAX", 10)
    live = await begin(hub, lead_ids=frozenset(["last"]))
    for _ in range(50):
        await scores.announce("ada", "ada")
    token = live.token
    await scores.announce("last")
    await live.next(1)
    found = await (await begin(hub, token)).next(100)
    assert [each.version for each in found] == list(range(1, 101))


async def test_only_a_tenants_own_changes_are_passed_on_live_and_kept(hub: Hub, scores: Scores) -> None:
    mine = await begin(hub)
    token = mine.token
    await scores.announce("theirs", tenant_id="other")
    await scores.announce("mine")
    assert versions(await mine.next(1)) == [("mine", 1)]
    assert versions(await (await begin(hub, token)).next(1)) == [("mine", 1)]
    assert versions(await (await begin(hub, token, tenant_id="other")).next(1)) == [("theirs", 1)]


async def test_an_interrupted_reading_goes_on_behind_the_last_announcement(hub: Hub, scores: Scores) -> None:
    started = await begin(hub)
    await scores.announce("ada")
    found = await started.next(1)
    await scores.interrupt()
    await scores.announce("ada")
    found += await started.next(1)
    assert versions(found) == [("ada", 1), ("ada", 2)]
    assert scores.opened == [0, 1]


async def test_who_missed_what_the_stream_has_dropped_comes_back_and_is_shown_the_states(
    hub: Hub, scores: Scores, states: States
) -> None:
    started = await begin(hub)
    await scores.announce("ada")
    await started.next(1)
    states.put("ada", 3)
    scores.messages.append(scores._leads.message(5, ["ada"]))  # 2 to 4 were dropped before they could be read.
    scores.first = 5
    await scores.announce("ada")
    with pytest.raises(Unavailable):
        await started.next(1)
    back = await begin(hub, started.token)
    assert versions(await back.next(1)) == [("ada", 3)] and back.snapshots == 1
    await scores.announce("ada")
    assert versions(await back.next(1)) == [("ada", 4)] and back.snapshots == 1


async def test_who_watched_when_the_stream_was_made_anew_comes_back_and_is_shown_the_states(
    hub: Hub, scores: Scores, states: States
) -> None:
    started = await begin(hub)
    for _ in range(3):
        await scores.announce("ada")
    await started.next(3)
    scores.made_us, scores.first, scores.messages = MADE_US + 1, 1, []
    states.put("ada", 3)
    await scores.interrupt()
    with pytest.raises(Unavailable):
        await started.next(1)
    back = await begin(hub, started.token)
    await scores.announce("grace", "ada")
    assert versions(await back.next(3)) == [("ada", 3), ("grace", 1), ("ada", 4)]


@pytest.mark.parametrize("place", [Place(MADE_US, 2), Place(MADE_US, 2, 1), Place(MADE_US - 1, 4)])
async def test_a_token_whose_updates_are_not_kept_is_answered_by_the_states(
    hub: Hub, scores: Scores, states: States, place: Place
) -> None:
    for _ in range(4):
        await scores.announce("ada")
    await scores.drop(through=2)
    for number, lead_id in enumerate(["ada", "eve", "grace", "linus", "zoe"], 4):
        states.put(lead_id, number)
    shown = await begin(hub, place.token)
    found = await shown.next(5)
    assert versions(found) == [("ada", 4), ("eve", 5), ("grace", 6), ("linus", 7), ("zoe", 8)]
    assert shown.snapshots == 5
    assert all(each.previous_score == each.score for each in found)
    await scores.announce("ada")
    assert versions(await shown.next(1)) == [("ada", 5)] and shown.snapshots == 5


async def test_who_breaks_off_among_the_states_gets_them_again_and_behind_them_goes_on(
    hub: Hub, scores: Scores, states: States
) -> None:
    for lead_id in ("ada", "eve", "grace"):
        states.put(lead_id, 7)
    old = Place(MADE_US - 1, 1).token
    broken_off = await begin(hub, old)
    await broken_off.next(3)
    again = await begin(hub, broken_off.token)
    await again.next(3)
    assert again.snapshots == 3
    await again.heartbeat()
    behind = await begin(hub, again.token)
    await scores.announce("ada")
    assert versions(await behind.next(1)) == [("ada", 1)] and behind.snapshots == 0


async def test_what_changes_while_the_states_are_read_comes_behind_them_and_once(
    hub: Hub, scores: Scores, states: States
) -> None:
    """Of what is announced meanwhile, each change is told that the states do not show, and no other."""
    await scores.announce("ada", "eve", "grace")

    async def changes() -> None:
        await scores.announce("ada", "eve", "new")  # Behind ada's state, which was read; before that of linus.
        await scores.announce("linus")
        states.put("linus", 1)

    for lead_id in ("ada", "eve", "grace"):
        states.put(lead_id, 1)
    states.put("linus", 0)
    states.before["eve"] = changes
    shown = await begin(hub, Place(MADE_US - 1, 1).token)
    found = await shown.next(4)
    assert versions(found) == [("ada", 1), ("eve", 1), ("grace", 1), ("linus", 1)] and shown.snapshots == 4
    await scores.announce("linus", "grace")
    assert versions(await shown.next(5)) == [("ada", 2), ("eve", 2), ("new", 1), ("linus", 2), ("grace", 2)]


async def test_what_led_to_a_state_and_is_announced_late_is_left_out(hub: Hub, scores: Scores, states: States) -> None:
    states.put("ada", 2)
    shown = await begin(hub, Place(MADE_US - 1, 1).token)
    await shown.next(1)
    await shown.heartbeat()
    await scores.announce("ada", "ada", "ada")
    assert versions(await shown.next(1)) == [("ada", 3)]


async def test_who_waits_for_the_states_hears_heartbeats(
    hub: Hub, scores: Scores, states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.01)
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    states.before[""] = wait
    states.put("ada", 1)
    token = Place(MADE_US - 1, 1).token
    waiting = await begin(hub, token)
    await waiting.heartbeat()
    assert waiting.token == token
    go_on.set()
    assert versions(await waiting.next(1)) == [("ada", 1)]


@pytest.mark.parametrize("place", [Place(MADE_US, 5, 1), Place(MADE_US, 6)])
async def test_a_token_of_no_update_is_refused(hub: Hub, scores: Scores, place: Place) -> None:
    for _ in range(4):
        await scores.announce("ada")
    with pytest.raises(InvalidRequest):
        await begin(hub, place.token)


@pytest.mark.parametrize("place", [Place(MADE_US, 3), Place(MADE_US, 4), Place(MADE_US, 5)])
async def test_a_token_whose_updates_are_kept_is_taken(hub: Hub, scores: Scores, place: Place) -> None:
    live = await begin(hub)
    for _ in range(4):
        await scores.announce("ada")
    await live.next(4)
    await scores.drop(through=2)
    resumed = await begin(hub, place.token)
    await scores.announce("ada")
    assert [each.version for each in await resumed.next(6 - place.sequence)] == list(range(place.sequence, 6))


async def test_what_is_dropped_while_it_is_read_ends_the_watch(
    hub: Hub, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEPT_MESSAGES_MAX", 1)
    live = await begin(hub)
    token = live.token
    for _ in range(4):
        await scores.announce("ada")
    await live.next(4)
    resumed = await begin(hub, token)
    await resumed.next(1)
    await scores.drop(through=3)
    with pytest.raises(Unavailable):
        await resumed.next(3)


async def test_watches_end_when_the_hub_stops_and_none_begins(hub: Hub) -> None:
    started = await begin(hub)
    hub.stop()
    with pytest.raises(Unavailable):
        await started.next(1)
    late = await begin(hub)
    with pytest.raises(Unavailable):
        await late.next(1)


async def test_a_watch_that_still_reads_what_is_kept_ends_too_when_the_hub_stops(hub: Hub, scores: Scores) -> None:
    live = await begin(hub)
    token = live.token
    for _ in range(4):
        await scores.announce("ada")
    await live.next(4)
    resumed = await begin(hub, token)
    await resumed.next(1)
    hub.stop()
    with pytest.raises(Unavailable):
        await resumed.next(3)


async def test_a_watch_that_still_shows_states_ends_too_when_the_hub_stops(
    hub: Hub, scores: Scores, states: States
) -> None:
    for lead_id in ("ada", "eve", "grace"):
        states.put(lead_id, 1)
    showing = await begin(hub, Place(MADE_US - 1, 1).token)
    await showing.next(1)
    hub.stop()
    with pytest.raises(Unavailable):
        await showing.next(2)


async def test_a_watch_that_is_over_leaves_nothing_behind(hub: Hub, scores: Scores) -> None:
    async with aclosing(hub.watch("demo", None, Filter())) as messages:
        await anext(messages)
        assert hub.watchers == 1
    assert hub.watchers == 0
