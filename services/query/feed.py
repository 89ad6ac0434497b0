"""The announced changes of one tenant, as a log in memory that any number of watchers read at their own pace.

A watcher holds nothing but its place in the log, so one that is stuck costs nothing and delays nobody.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leadscore.query.v1 import query_service_pb2 as contract
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.shared.bus import StreamMessage
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.tokens import decode_page, encode_page

LOG_UPDATES_MAX = 50_000
"""Updates kept in memory for a tenant; a watcher further behind reads on from the stream."""
VERSIONS_MAX = 50_000
"""Leads whose last version is remembered. A repeat follows soon after what it repeats."""
WHOLE = -1
"""In a position: all of the announcement."""


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in the stream of announcements: a sequence, and the index of an update in it or WHOLE."""

    sequence: int
    index: int

    @property
    def token(self) -> str:
        """The position as a resume token."""
        return encode_page((self.sequence, self.index))

    def covers(self, other: "Position") -> bool:
        """Whether a watcher that has got here has seen `other`."""
        if self.sequence != other.sequence:
            return self.sequence > other.sequence
        return self.index == WHOLE or (other.index != WHOLE and self.index >= other.index)


def parse_token(token: str) -> Position | None:
    """The position of a resume token; None for the empty one. Raises InvalidRequest."""
    place = decode_page(token, tuple[int, int], "resume_token")
    if place is None:
        return None
    if place[0] < 0 or place[1] < WHOLE:
        raise InvalidRequest([FieldViolation("resume_token", "is not a token of this call")])
    return Position(*place)


class Entry:
    """One update at its position; serialized once for all its watchers."""

    __slots__ = ("_message", "position", "update")

    def __init__(self, position: Position, update: score_pb2.ScoreUpdate) -> None:
        self.position = position
        self.update = update
        self._message: bytes | None = None

    @property
    def message(self) -> bytes:
        """The message to a watcher."""
        if self._message is None:
            self._message = contract.WatchScoresResponse(
                resume_token=self.position.token, update=self.update
            ).SerializeToString()
        return self._message


def entries_of(message: StreamMessage) -> list[Entry]:
    """The updates of an announcement, each at its position."""
    updates = stream_pb2.ScoreAnnouncement.FromString(message.payload).updates
    last = len(updates) - 1
    return [
        Entry(Position(message.sequence, WHOLE if index == last else index), update)
        for index, update in enumerate(updates)
    ]


def latest_by_lead(entries: Iterable[Entry], before: Position) -> list[Entry]:
    """One entry for each lead that changed: from what it was at first to what it is now.

    Whoever resumes from one of them but the last is taken back `before` all of them, so that nothing is missed.
    """
    first: dict[str, Entry] = {}
    last: dict[str, Entry] = {}
    end = before
    for entry in entries:
        first.setdefault(entry.update.lead_id, entry)
        last[entry.update.lead_id] = entry
        end = entry.position
    merged = []
    for lead_id, entry in last.items():
        update = score_pb2.ScoreUpdate()
        update.CopyFrom(entry.update)
        update.previous_score = first[lead_id].update.previous_score
        update.previous_grade = first[lead_id].update.previous_grade
        merged.append(Entry(before, update))
    if merged:
        merged[-1].position = end
    return merged


class Feed:
    """The log of one tenant."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._dropped = 0
        self._versions: dict[str, int] = {}
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def end(self) -> int:
        """The place behind the newest entry."""
        return self._dropped + len(self._entries)

    def append(self, entries: Iterable[Entry]) -> None:
        """Adds entries, without repeats of what is known, and wakes the watchers."""
        self._entries.extend(entry for entry in entries if self._is_news(entry.update))
        if len(self._entries) > 2 * LOG_UPDATES_MAX:
            surplus = len(self._entries) - LOG_UPDATES_MAX
            del self._entries[:surplus]
            self._dropped += surplus
        self.wake()

    def since(self, place: int) -> Sequence[Entry] | None:
        """The entries from a place on; None if some of them are not kept any more."""
        return self._entries[place - self._dropped :] if place >= self._dropped else None

    def wake(self) -> None:
        """Has all waiting watchers look again."""
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        changed.set_result(None)

    async def news(self, timeout_s: float) -> None:
        """Waits for the next wake, but no longer than `timeout_s`."""
        await asyncio.wait([self._changed], timeout=timeout_s)

    def _is_news(self, update: score_pb2.ScoreUpdate) -> bool:
        known = self._versions.pop(update.lead_id, 0)
        self._versions[update.lead_id] = max(known, update.version)
        if update.version <= known:
            return False
        if len(self._versions) > VERSIONS_MAX:
            del self._versions[next(iter(self._versions))]
        return True
