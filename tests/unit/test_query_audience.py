"""Who is found by an announcement: all whom it concerns, and nobody who follows other leads."""

from hypothesis import given, settings
from hypothesis import strategies as some
from leadscore.stream.v1 import stream_pb2

from services.query.announcements import Announcement, Filter
from services.query.audience import Audience
from services.query.backlog import Backlogs, Room
from services.query.places import Place
from services.query.watcher import Watcher
from services.shared.bus import StreamMessage
from tests.announced import MADE_US, Leads

START = Place(MADE_US, 1)
FILTERS = some.builds(
    Filter, some.frozensets(some.sampled_from("abcd")), some.integers(0, 3), some.booleans(), some.booleans()
)


def watching(wanted: Filter) -> Watcher:
    return Watcher(wanted, START, Backlogs(Room()))


def audience_of(watchers: list[Watcher]) -> Audience:
    audience = Audience(Room())
    for each in watchers:
        audience.add(each)
    return audience


def test_who_follows_some_leads_is_found_by_their_changes_alone_and_once() -> None:
    ada, both, grace, everything = watchers = [
        watching(Filter(frozenset(leads))) for leads in (["ada"], ["ada", "grace"], ["grace"], [])
    ]
    audience, leads = audience_of(watchers), Leads()
    assert audience.of(leads.announcement(1, ["ada", "ada"])) == {ada, both, everything}
    assert audience.of(leads.announcement(2, ["ada", "grace"])) == {ada, both, grace, everything}
    assert audience.of(leads.announcement(3, ["linus"])) == {everything}


def test_who_wants_only_some_changes_of_all_leads_is_not_bothered_with_others() -> None:
    crossings, also_crossings, high = [
        watching(wanted) for wanted in (Filter(crossings_only=True), Filter(crossings_only=True), Filter(min_score=2))
    ]
    audience, leads = audience_of([crossings, also_crossings, high]), Leads()
    assert audience.of(leads.announcement(1, ["ada"])) == set()
    assert audience.of(leads.announcement(2, ["ada"])) == {high}
    crossing = stream_pb2.ScoreAnnouncement(updates=leads.changes(["grace"]))
    crossing.updates[0].crossings.add(threshold="hot", before="below", after="above")
    message = StreamMessage(3, -1, "demo", crossing.SerializeToString(), 0)
    assert audience.of(Announcement(message, MADE_US)) == {crossings, also_crossings}


@settings(max_examples=300, deadline=None)
@given(
    filters=some.lists(FILTERS, max_size=8),
    gone=some.sets(some.integers(0, 7)),
    announced=some.lists(some.lists(some.sampled_from("abcdef"), max_size=6), max_size=4),
)
def test_whoever_wants_something_is_found_and_whoever_has_left_is_not(
    filters: list[Filter], gone: set[int], announced: list[list[str]]
) -> None:
    watchers, leads = [watching(each) for each in filters], Leads()
    audience = audience_of(watchers)
    left = [each for number, each in enumerate(watchers) if number in gone]
    for each in left:
        audience.discard(each)
    here = [each for each in watchers if each not in left]
    assert set(audience) == set(here) and len(audience) == len(here)
    for sequence, lead_ids in enumerate(announced, 1):
        announcement = leads.announcement(sequence, lead_ids)
        found = audience.of(announcement)
        assert {each for each in here if each.wanted.select(announcement, START)} <= found <= set(here)
