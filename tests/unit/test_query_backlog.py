"""What waits for slow watchers together: each is told of all its changes, and a hundred hold what one holds."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from leadscore.score.v1 import score_pb2

from services.query import backlog, watcher
from services.query.announcements import Announcement, Change, Filter
from services.query.audience import Audience
from services.query.backlog import Room, Stretch
from services.query.places import Place, parse_token
from services.query.states import Seen
from services.query.watcher import Watcher
from services.shared.errors import Unavailable
from tests.announced import MADE_US, Leads, read

IN_ORDER_MAX = 4
FILTERS = [
    Filter(),
    Filter(min_score=2),
    Filter(grade_changes_only=True),
    Filter(lead_ids=frozenset("ab")),
    Filter(lead_ids=frozenset("ab"), min_score=3),
]


@pytest.fixture(autouse=True, scope="module")
def soon_behind() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "CHANGES_WAITING_MAX", IN_ORDER_MAX)
        yield


def states(versions: dict[str, int] | None) -> Seen | None:
    """What a watcher has seen, if it was shown states."""
    if versions is None:
        return None
    seen = Seen()
    seen.add([score_pb2.ScoreUpdate(lead_id=each, version=versions[each]) for each in sorted(versions)])
    return seen


class Client:
    """A client, and what it has still to be told: its own changes, one by one."""

    def __init__(self, audience: Audience, wanted: Filter, place: Place, seen: dict[str, int] | None) -> None:
        self.untold: list[Change] = []
        self._wanted = wanted
        self._place = place
        self._seen = states(seen)
        self.watcher = Watcher(wanted, place, audience.backlogs, states(seen))
        audience.add(self.watcher)

    def expect(self, announcement: Announcement) -> None:
        """Notes what was announced."""
        changes = self._wanted.select(announcement, self._place)
        self.untold += self._seen.newer(changes) if self._seen else changes

    def forget_seen(self) -> None:
        """What was announced since it has seen the states is long past."""
        self._seen = None
        self.watcher.forget_seen()

    def take(self) -> bool:
        """Takes a message and checks what it says; False if nothing waits."""
        message = self.watcher.take()
        if message is None:
            assert not self.untold, "all was told"
            return False
        response = read(message)
        told = self._told(response.update)
        assert (response.update.previous_score, response.update.previous_grade) == (
            told[0].previous_score,
            told[0].previous_grade,
        ), "what was before is what was before the first change that was not told"
        assert not any(each.erases for each in told[:-1]), "nothing is told across an end"
        assert told[0].place >= self._place, "what is told is told in the order of the first changes"
        self.untold = [each for each in self.untold if each not in told]
        resumed = parse_token(response.resume_token)
        assert resumed is not None and resumed > told[0].place, "tokens go on with what is told"
        assert all(each.place >= resumed for each in self.untold), "who resumes misses nothing"
        self._place = told[0].place
        return True

    def _told(self, update: score_pb2.ScoreUpdate) -> list[Change]:
        """The changes that an update stands for: the next ones of its lead, up to one that says the same."""
        told: list[Change] = []
        for change in self.untold:
            if change.lead_id == update.lead_id:
                told.append(change)
                if (change.version, change.erases) == (update.version, update.cause == score_pb2.CAUSE_ERASURE):
                    return told
        raise AssertionError(f"no change of {update.lead_id} that it was not told leads there")


class Many:
    """Watchers of one tenant, and what all that slow ones hold is counted in."""

    def __init__(self) -> None:
        self.room = Room()
        self.audience = Audience(self.room)
        self.clients: list[Client] = []
        self._leads = Leads()
        self._sequence = 0

    @property
    def held(self) -> int:
        return Room().left - self.room.left

    def announce(self, *lead_ids: str) -> None:
        self._sequence += 1
        announcement = self._leads.announcement(self._sequence, lead_ids)
        for each in self.audience.of(announcement):
            each.offer(announcement)
        for client in self.clients:
            client.expect(announcement)

    def join(self, wanted: Filter, seen: dict[str, int] | None = None) -> Client:
        client = Client(self.audience, wanted, Place(MADE_US, self._sequence + 1), seen)
        self.clients.append(client)
        return client

    def leave(self, client: Client) -> None:
        self.clients.remove(client)
        self.audience.discard(client.watcher)
        client.watcher.end(Unavailable("left"))


CLIENT = some.integers(0, 7)
STEPS = some.lists(
    some.one_of(
        some.tuples(
            some.just("announce"), some.lists(some.sampled_from([*"aaabbcdef", "end of a", "end of b"]), max_size=6)
        ),
        some.tuples(some.just("join"), some.sampled_from(FILTERS)),
        some.tuples(some.just("join with states"), some.dictionaries(some.sampled_from("abc"), some.integers(0, 6))),
        some.tuples(some.just("forget states"), CLIENT),
        some.tuples(some.just("take"), some.tuples(CLIENT, some.integers(1, 8))),
        some.tuples(some.just("leave"), CLIENT),
    ),
    max_size=40,
)


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_whoever_waits_beside_it_each_watcher_is_told_of_all_its_changes(steps: list[tuple[str, Any]]) -> None:
    many = Many()
    for first in (Filter(), Filter(), *FILTERS[1:3]):
        many.join(first)
    for step, what in steps:
        of = many.clients[: what + 1][-1:] if isinstance(what, int) else []
        match step:
            case "announce":
                many.announce(*what)
            case "join":
                many.join(what)
            case "join with states":
                many.join(Filter(), what)
            case "take":
                for client in many.clients[: what[0] + 1][-1:]:
                    assert all(client.take() for _ in range(what[1])) or not client.untold
            case "forget states":
                for client in of:
                    client.forget_seen()
            case "leave":
                for client in of:
                    many.leave(client)
        assert many.held <= sum(len(client.untold) for client in many.clients), "nothing is held for nobody"
    for client in many.clients:
        while client.take():
            pass
    assert many.held == 0
    many.announce("c", "c")
    for client in many.clients:
        each = [client.take() for _ in client.untold]
        assert all(each) and not client.untold, "who has taken all gets each change again"


def test_a_hundred_that_take_nothing_hold_what_one_holds_and_each_change_is_merged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    merged: list[Change] = []

    class Counting(Stretch):
        def add(self, changes: Iterable[Change]) -> None:
            merged.extend(changes)
            super().add(changes)

    monkeypatch.setattr(backlog, "Stretch", Counting)
    many = Many()
    for _ in range(100):
        many.join(Filter())
    for _ in range(10):
        many.announce(*"abc")
    assert (many.held, len(merged)) == (3, 30)


def test_who_falls_behind_later_holds_only_what_the_others_do_not() -> None:
    many = Many()
    many.join(Filter())
    many.announce(*"ab")
    late = many.join(Filter())
    for _ in range(5):
        many.announce(*"abc")
    assert many.held == 3 + 6 + 3, "what began before it, what it has in order, and what waits for both"
    many.leave(late)
    assert many.held == 3 + 3


def test_who_has_seen_states_shares_what_waits_once_they_are_forgotten() -> None:
    many = Many()
    alone, with_states = many.join(Filter()), many.join(Filter(), {"a": 3})
    for _ in range(5):
        many.announce(*"abc")
    assert many.held == 3 + 6 + 3, "what the other one holds, and of its own what it has in order and what came then"
    with_states.forget_seen()
    many.announce(*"def")
    assert many.held == 3 + 3 + 3
    assert [sum(iter(each.take, False)) for each in (alone, with_states)] == [6, 6]


def test_what_waits_without_what_was_seen_is_nobody_elses() -> None:
    many = Many()
    with_states = many.join(Filter(), {"a": 1})
    many.join(Filter())
    many.announce(*"bac")
    with_states.forget_seen()
    many.announce(*"abc")
    assert [sum(iter(each.take, False)) for each in many.clients] == [3, 3]


def test_when_too_much_waits_those_furthest_behind_are_ended_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "LEADS_WAITING_MAX", 20)
    many = Many()
    far, not_as_far = many.join(Filter()), many.join(Filter())
    many.announce(*[f"lead-{number}" for number in range(12)])
    assert not_as_far.take()
    many.announce(*[f"lead-{number}" for number in range(12)])
    with pytest.raises(Unavailable, match="too far behind"):
        far.take()
    assert sum(iter(not_as_far.take, False)) == 23
    assert many.held == 0


def test_tenants_and_filters_have_backlogs_of_their_own_as_long_as_somebody_is_behind() -> None:
    room = Room()
    mine, theirs = Audience(room).backlogs, Audience(room).backlogs
    kept = mine.of(Filter())
    assert mine.of(Filter()) is kept
    assert mine.of(Filter(min_score=1)) is not kept
    assert theirs.of(Filter()) is not kept
