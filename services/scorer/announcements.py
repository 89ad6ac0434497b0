"""What changed, as it goes out to watchers."""

from dataclasses import dataclass
from itertools import chain

from leadscore.stream.v1 import stream_pb2

from services.scorer.effects import Effects
from services.scorer.scoring.fold import Change
from services.scorer.wire import add_updates

UPDATES_MAX = 2_000
"""Updates in one announcement: below the stream's limit for a message, and soon with the watchers."""


@dataclass(frozen=True)
class Announcement:
    """Changes of one tenant that were committed together, as they go out."""

    announcement_id: str
    tenant_id: str
    payload: bytes


def announcements_of(effects: Effects, name: str, now_us: int) -> list[Announcement]:
    """The changes of a transaction as they go out, in order for each lead; `name` makes their ids unique."""
    changes: dict[str, list[Change]] = {}
    # What is told of a lead that is erased comes after its end, and is about a new one.
    for tenant_id, change in chain(effects.erasures.ends, effects.changes):
        changes.setdefault(tenant_id, []).append(change)
    return [
        Announcement(f"{tenant_id}/{name}/{start}", tenant_id, _payload(found[start : start + UPDATES_MAX], now_us))
        for tenant_id, found in changes.items()
        for start in range(0, len(found), UPDATES_MAX)
    ]


def _payload(changes: list[Change], now_us: int) -> bytes:
    announcement = stream_pb2.ScoreAnnouncement()
    add_updates(announcement, changes, now_us)
    return announcement.SerializeToString()
