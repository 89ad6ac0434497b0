"""The hub against a stream in memory: heartbeats, joining, what the stream no longer holds, the end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from services.query import watch
from services.query.announcements import Filter
from services.query.places import Place, parse_token
from services.query.watch import Hub
from services.shared.bus import Bus, Kept, StreamMessage
from services.shared.errors import InvalidRequest, StreamInterrupted, TokenExpired, Unavailable
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


@pytest.fixture
async def scores() -> Scores:
    return Scores()


@pytest.fixture
async def hub(scores: Scores, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(watch, "RETRY_S", 0.001)
    hub = Hub(cast(Bus, scores))
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


async def test_a_watch_ends_when_the_stream_has_dropped_what_it_was_to_get(hub: Hub, scores: Scores) -> None:
    started = await begin(hub)
    await scores.announce("ada")
    await started.next(1)
    scores.messages.append(scores._leads.message(5, ["ada"]))  # 2 to 4 were dropped before they could be read.
    await scores.announce("ada")
    with pytest.raises(TokenExpired):
        await started.next(1)
    anew = await begin(hub)
    await scores.announce("ada")
    assert len(await anew.next(1)) == 1


async def test_a_watch_ends_when_the_stream_was_made_anew_and_the_next_one_sees_its_first_change(
    hub: Hub, scores: Scores
) -> None:
    started = await begin(hub)
    for _ in range(3):
        await scores.announce("ada")
    await started.next(3)
    scores.made_us, scores.first, scores.messages = MADE_US + 1, 1, []
    await scores.interrupt()
    with pytest.raises(TokenExpired):
        await started.next(1)
    anew = await begin(hub)
    await scores.announce("grace")
    assert versions(await anew.next(1)) == [("grace", 1)]
    with pytest.raises(TokenExpired):
        await begin(hub, started.token)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (Place(MADE_US, 2), TokenExpired),
        (Place(MADE_US, 2, 1), TokenExpired),
        (Place(MADE_US - 1, 4), TokenExpired),
        (Place(MADE_US, 5, 1), InvalidRequest),
        (Place(MADE_US, 6), InvalidRequest),
    ],
)
async def test_a_token_whose_updates_are_not_kept_is_refused(
    hub: Hub, scores: Scores, place: Place, error: type[Exception]
) -> None:
    for _ in range(4):
        await scores.announce("ada")
    await scores.drop(through=2)
    with pytest.raises(error):
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
    with pytest.raises(TokenExpired):
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


async def test_a_watch_that_is_over_leaves_nothing_behind(hub: Hub, scores: Scores) -> None:
    async with aclosing(hub.watch("demo", None, Filter())) as messages:
        await anext(messages)
        assert hub.watchers == 1
    assert hub.watchers == 0
