"""What changed, as it goes out to watchers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from leadscore.stream.v1 import stream_pb2

from services.scorer.effects import Effects
from services.scorer.scoring.fold import Change
from services.scorer.wire import add_updates

UPDATES_MAX = 500
"""Updates in one announcement: far below the stream's limit for a message, soon with the watchers, and made in a
millisecond or two, so that a commit under way is not held up."""


@dataclass(frozen=True)
class Announcement:
    """Changes of one tenant that were committed together, as they go out."""

    announcement_id: str
    tenant_id: str
    payload: bytes


def announcements_of(effects: Effects, name: str, now_us: int) -> list[Announcement]:
    """The changes of a transaction as they go out, in order for each lead; `name` makes their ids unique."""
    announcements: list[Announcement] = []
    for _ in announcing(effects, name, now_us, announcements):
        pass
    return announcements


def announcing(effects: Effects, name: str, now_us: int, announcements: list[Announcement]) -> Iterator[None]:
    """The same, one by one: `announcements` are complete at the end."""
    changes: dict[str, list[Change]] = {}
    # What is told of a lead that is erased comes after its end, and is about a new one.
    for tenant_id, change in chain(effects.erasures.ends, effects.changes):
        changes.setdefault(tenant_id, []).append(change)
    for tenant_id, found in changes.items():
        for start in range(0, len(found), UPDATES_MAX):
            if announcements:
                yield
            payload = _payload(found[start : start + UPDATES_MAX], now_us)
            announcements.append(Announcement(f"{tenant_id}/{name}/{start}", tenant_id, payload))


def _payload(changes: list[Change], now_us: int) -> bytes:
    announcement = stream_pb2.ScoreAnnouncement()
    add_updates(announcement, changes, now_us)
    return announcement.SerializeToString()
