"""What waits for one watcher: bounded, in order, and nothing lost whenever its client comes back."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.query import backlog
from services.query import watcher as room
from services.query.announcements import Announcement, Filter
from services.query.backlog import Backlogs, Room
from services.query.places import Place, parse_token
from services.query.states import Seen
from services.query.watcher import Watcher
from services.shared.errors import Unavailable
from tests.announced import MADE_US, Leads, Shown, read, shown

START = Place(MADE_US, 1)


def taken(watcher: Watcher) -> list[Shown]:
    """All that waits, taken."""
    return [shown(read(message).update) for message in iter(watcher.take, None)]


def watching(wanted: Filter | None = None, since: Place = START) -> Watcher:
    return Watcher(wanted or Filter(), since, Backlogs(Room()))


def test_a_watcher_that_keeps_up_gets_every_change_in_order() -> None:
    leads, watcher = Leads(), watching()
    watcher.offer(leads.announcement(1, ["ada", "grace", "ada"]))
    watcher.offer(leads.announcement(2, ["ada"]))
    assert taken(watcher) == [("ada", 0, 1, 1), ("grace", 0, 1, 1), ("ada", 1, 2, 2), ("ada", 2, 3, 3)]
    assert watcher.take() is None


def test_a_watcher_too_far_behind_gets_the_latest_of_each_lead_and_then_every_change_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "CHANGES_WAITING_MAX", 5)
    leads, watcher = Leads(), watching()
    for sequence in range(1, 5):
        watcher.offer(leads.announcement(sequence, ["ada", "grace"]))
    assert taken(watcher) == [("ada", 0, 4, 4), ("grace", 0, 4, 4)]
    watcher.offer(leads.announcement(5, ["ada", "ada"]))
    assert taken(watcher) == [("ada", 4, 5, 5), ("ada", 5, 6, 6)]


def test_a_merged_change_has_the_grade_before_the_first_and_all_else_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "CHANGES_WAITING_MAX", 5)
    watcher = watching()
    announcement = Leads().announcement(1, ["ada"] * 25)
    watcher.offer(announcement)
    message = watcher.take()
    assert message is not None
    expected = announcement.changes[-1].update
    expected.previous_score, expected.previous_grade = 0, ""
    assert read(message).update == expected


@settings(max_examples=300, deadline=None)
@given(
    announced=some.lists(
        some.lists(some.sampled_from([*"abcdef", "end of a", "end of d"]), max_size=6), min_size=1, max_size=12
    ),
    takes=some.lists(some.integers(0, 8), min_size=12, max_size=12),
    wanted=some.builds(
        Filter, some.frozensets(some.sampled_from("abc")), some.integers(0, 3), some.booleans(), some.booleans()
    ),
)
def test_whatever_waits_resuming_from_the_last_token_misses_nothing(
    announced: list[list[str]], takes: list[int], wanted: Filter
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "CHANGES_WAITING_MAX", 4)
        leads, watcher = Leads(), watching(wanted)
        announcements = [leads.announcement(sequence, each) for sequence, each in enumerate(announced, 1)]
        got: list[Shown] = []
        place = START
        for count, announcement in zip(takes, announcements, strict=False):
            watcher.offer(announcement)
            for message in itertools.islice(iter(watcher.take, None), count):
                response = read(message)
                got.append(shown(response.update))
                resumed = parse_token(response.resume_token)
                assert resumed is not None and resumed >= place, "tokens never go back"
                place = resumed
                assert_nothing_is_missed(wanted, announcements[: announcement.place.sequence], got, place)
        got += taken(watcher)
    assert_nothing_is_missed(wanted, announcements, got, Place(MADE_US, len(announcements) + 1))
    if not (wanted.grade_changes_only or wanted.crossings_only or wanted.min_score):
        assert_each_lead_is_a_chain(got)


def assert_nothing_is_missed(wanted: Filter, announced: list[Announcement], got: list[Shown], place: Place) -> None:
    """What the watcher got, and what it gets when it resumes from `place`, end with the latest state of each lead."""
    latest = {each.lead_id: each.version for each in got}
    for announcement in announced:
        latest |= {each.lead_id: each.update.version for each in wanted.select(announcement, place)}
    everything = [change for announcement in announced for change in wanted.select(announcement, START)]
    assert latest == {change.lead_id: change.update.version for change in everything}


def assert_each_lead_is_a_chain(got: list[Shown]) -> None:
    for lead_id in {each.lead_id for each in got}:
        chain = [each for each in got if each.lead_id == lead_id]
        assert all(before.score == after.previous_score for before, after in itertools.pairwise(chain))


def test_what_was_read_before_live_is_not_offered_again() -> None:
    leads = Leads()
    watcher = watching(since=Place(MADE_US, 2, 1))
    for sequence in (1, 2, 3):
        watcher.offer(leads.announcement(sequence, ["ada", "grace"]))
    assert [(each.lead_id, each.version) for each in taken(watcher)] == [("grace", 2), ("ada", 3), ("grace", 3)]


@pytest.mark.parametrize(
    ("wanted", "versions"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(lead_ids=frozenset(["ada"])), [1, 2, 3]),
        (Filter(lead_ids=frozenset(["grace"])), []),
        (Filter(min_score=2), [2, 3]),
        (Filter(min_score=4), []),
        (Filter(grade_changes_only=True), [1]),
        (Filter(crossings_only=True), []),
    ],
)
def test_filters_pass_only_what_was_asked_for(wanted: Filter, versions: list[int]) -> None:
    leads, watcher = Leads(), watching(wanted)
    watcher.offer(leads.announcement(1, ["ada", "ada"]))
    watcher.offer(leads.announcement(2, ["ada"]))
    assert [each.version for each in taken(watcher)] == versions


def test_a_fall_below_the_minimum_is_shown_too() -> None:
    announcement = Leads().announcement(1, ["ada"])
    announcement.changes[0].previous_score = 50
    announcement.score_max = 50
    assert list(Filter(min_score=50).select(announcement, START)) == announcement.changes


@pytest.mark.parametrize("wanted", [Filter(min_score=9), Filter(grade_changes_only=True), Filter(crossings_only=True)])
def test_the_end_of_a_lead_passes_every_filter_but_that_of_other_leads(wanted: Filter) -> None:
    leads = Leads()
    leads.announcement(1, ["ada"])
    end = leads.announcement(2, ["end of ada"])
    assert list(wanted.select(end, START)) == end.changes
    assert list(replace(wanted, lead_ids=frozenset(["ada"])).select(end, START)) == end.changes
    assert list(replace(wanted, lead_ids=frozenset(["grace"])).select(end, START)) == []


def test_a_watcher_too_far_behind_is_told_of_an_end_and_then_of_the_new_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHANGES_WAITING_MAX", 5)
    leads, watcher = Leads(), watching()
    watcher.offer(leads.announcement(1, ["ada", "ada", "grace", "end of ada", "ada", "ada", "ada"]))
    assert taken(watcher) == [("ada", 0, 0, 3), ("grace", 0, 1, 1), ("ada", 0, 3, 3)]
    assert watcher._room.left == Room().left


def test_behind_its_end_a_lead_that_was_seen_is_offered_from_its_first_version_on() -> None:
    seen = Seen()
    seen.add([score_pb2.ScoreUpdate(lead_id="ada", version=2)])
    leads, watcher = Leads(), Watcher(Filter(), START, Backlogs(Room()), seen)
    watcher.offer(leads.announcement(1, ["ada", "ada", "end of ada", "ada"]))
    assert [(each.score, each.version) for each in taken(watcher)] == [(0, 3), (1, 1)]


def test_who_wants_crossings_is_told_of_them_alone() -> None:
    leads, watcher = Leads(), watching(Filter(crossings_only=True))
    message = leads.message(1, ["ada", "ada", "grace"])
    crossing = stream_pb2.ScoreAnnouncement.FromString(message.payload)
    crossing.updates[1].crossings.add(threshold="hot", before="below", after="above")
    watcher.offer(Announcement(replace(message, payload=crossing.SerializeToString()), MADE_US))
    assert [(each.lead_id, each.version) for each in taken(watcher)] == [("ada", 2)]


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(lead_ids=frozenset(["ada"])),
        Filter(min_score=1),
        Filter(grade_changes_only=True),
        Filter(lead_ids=frozenset(["ada"]), min_score=1, grade_changes_only=True),
    ],
    ids=str,
)
def test_one_serialization_of_a_change_serves_all_its_watchers(wanted: Filter) -> None:
    watchers = [watching(wanted), watching(), watching(wanted)]
    announcement = Leads().announcement(1, ["ada"])
    for each in watchers:
        each.offer(announcement)
    first, *others = [each.take() for each in watchers]
    assert first is not None and all(each is first for each in others)


def test_it_is_known_which_versions_of_thousands_of_leads_were_seen() -> None:
    seen = Seen()
    ids = sorted(f"lead-{number}ü{chr(0x1F600) if number % 3 else ''}" for number in range(3_000))
    for start in range(0, 3_000, 700):
        some_ids = ids[start : start + 700]
        seen.add([score_pb2.ScoreUpdate(lead_id=each, version=ids.index(each)) for each in some_ids])
    assert [seen.version(each) for each in ids] == list(range(3_000))
    assert {seen.version(each) for each in ("", "lead-", "lead-1", "ead-1ü", "zzz")} == {-1}


def test_what_led_to_what_was_seen_is_not_offered_until_that_is_forgotten() -> None:
    seen = Seen()
    seen.add([score_pb2.ScoreUpdate(lead_id="ada", version=2)])
    leads, watcher = Leads(), Watcher(Filter(), START, Backlogs(Room()), seen)
    watcher.offer(leads.announcement(1, ["ada", "grace", "ada", "ada"]))
    assert [(each.lead_id, each.version) for each in taken(watcher)] == [("grace", 1), ("ada", 3)]
    watcher.forget_seen()
    watcher.offer(Leads().announcement(2, ["ada"]))
    assert [(each.lead_id, each.version) for each in taken(watcher)] == [("ada", 1)]


@pytest.mark.parametrize("bound", ["LEADS_WAITING_MAX", "LEADS_WAITING_IN_ALL_MAX"])
def test_a_watcher_for_whom_too_many_leads_wait_is_ended_and_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(room, "CHANGES_WAITING_MAX", 2)
    monkeypatch.setattr(backlog, bound, 10)
    shared = Room(backlog.LEADS_WAITING_IN_ALL_MAX)
    left = shared.left
    watcher = Watcher(Filter(), START, Backlogs(shared))
    leads = Leads()
    watcher.offer(leads.announcement(1, [f"lead-{number}" for number in range(10)]))
    assert shared.left == left - 10
    assert watcher.take() is not None
    assert shared.left == left - 9
    watcher.offer(leads.announcement(2, [f"other-{number}" for number in range(11)]))
    assert shared.left == left
    with pytest.raises(Unavailable, match="too far behind"):
        watcher.take()


async def test_an_arrival_wakes_and_its_absence_does_not_last() -> None:
    watcher = watching()
    assert not await watcher.arrival(0.001)
    watcher.offer(Leads().announcement(1, ["ada"]))
    assert await watcher.arrival(10)
    assert not await watcher.arrival(0.001)


async def test_what_is_filtered_out_wakes_nobody() -> None:
    watcher = watching(Filter(lead_ids=frozenset(["grace"])))
    watcher.offer(Leads().announcement(1, ["ada"]))
    assert not await watcher.arrival(0.001)
