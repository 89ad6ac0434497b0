"""What changed, as it goes out to watchers."""

from leadscore.stream.v1 import stream_pb2

from services.scorer.effects import Effects
from services.scorer.scoring.fold import Change
from services.scorer.store import Announcement
from services.scorer.wire import add_updates

UPDATES_MAX = 2_000
"""Updates in one announcement: below the stream's limit for a message, and soon with the watchers."""


def announcements_of(effects: Effects, name: str, now_us: int) -> list[Announcement]:
    """The changes of a transaction as they go out, in order for each tenant; `name` makes their ids unique."""
    changes: dict[str, list[Change]] = {}
    for tenant_id, change in effects.changes:
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
