"""Changes of scores for many watchers: a thousand a second, of which more or fewer concern leads that are followed.

Each watcher follows a few leads. How many messages the watchers get in all is set by how many of the changes are of
leads that somebody follows; the others are of leads that nobody does.
"""

import time
from collections.abc import Iterable, Iterator

from leadscore.score.v1 import score_pb2

CHANGES_PER_S = 1_000
TICK_S = 0.01
"""How often changes come, those of one tick together: about as a scorer commits under such a load."""
PER_TICK = round(CHANGES_PER_S * TICK_S)
WATCHERS = 5_000
FOLLOWS = 5
"""Leads that each watcher follows."""
FOLLOWED_LEADS = 250
FOLLOWERS = WATCHERS * FOLLOWS // FOLLOWED_LEADS
"""Watchers of each lead that is followed."""
OTHER_LEADS = 10_000
FOLLOWED = "followed-"


def followed_by(watcher: int) -> list[str]:
    """The leads that a watcher follows."""
    return [f"{FOLLOWED}{(watcher * FOLLOWS + number) % FOLLOWED_LEADS}@example.org" for number in range(FOLLOWS)]


def ticks(messages_per_s: int, seconds: float) -> Iterator[list[score_pb2.ScoreUpdate]]:
    """The changes of each tick, made when they are asked for, such that the watchers get so many messages in all."""
    followed_per_s = messages_per_s / FOLLOWERS
    assert followed_per_s <= CHANGES_PER_S, "not even if all changes are of followed leads"
    number = followed = 0
    for _ in range(round(seconds / TICK_S)):
        updates = []
        for _ in range(PER_TICK):
            number += 1
            if number * followed_per_s / CHANGES_PER_S >= followed + 1:
                followed += 1
                updates.append(_change(f"{FOLLOWED}{followed % FOLLOWED_LEADS}@example.org", number))
            else:
                updates.append(other_change(number))
        yield updates


def messages_for(updates: Iterable[score_pb2.ScoreUpdate]) -> int:
    """How many messages the watchers get of some changes."""
    return sum(FOLLOWERS for update in updates if update.lead_id.startswith(FOLLOWED))


def other_change(number: int) -> score_pb2.ScoreUpdate:
    """A change of a lead that nobody follows."""
    return _change(f"lead-{number % OTHER_LEADS}@example.org", number)


def age_s(update: score_pb2.ScoreUpdate) -> float:
    """How long ago a change was made. The clock is one for all processes of a machine."""
    return (time.monotonic_ns() - int(update.event_id)) / 1e9


def _change(lead_id: str, number: int) -> score_pb2.ScoreUpdate:
    score = number % 1_000
    update = score_pb2.ScoreUpdate(
        lead_id=lead_id,
        previous_score=score,
        score=score + 5,
        engagement=score + 5,
        grade="D1",
        previous_grade="D1",
        version=number,
        cause=score_pb2.CAUSE_EVENT,
        machine_score=score + 5,
        event_id=f"{time.monotonic_ns():032}",  # As long as an id is, and when the change was made.
    )
    update.occurred_at.GetCurrentTime()
    update.recorded_at.GetCurrentTime()
    return update
