"""Announcements as scorers make them, for tests of what passes them on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.query.announcements import Announcement
from services.shared.bus import StreamMessage

MADE_US = 1_700_000_000_000_000
END = "end of "
"""Before a lead's id: its erasure."""


class Shown(NamedTuple):
    """What a test compares of an update."""

    lead_id: str
    previous_score: int
    score: int
    version: int


class Leads:
    """Leads whose scores rise by one point with each change, and whose grade changes at every tenth."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}

    def changes(self, lead_ids: Iterable[str]) -> Iterator[score_pb2.ScoreUpdate]:
        """One change of each of these leads, in this order."""
        for lead_id in lead_ids:
            if lead_id.startswith(END):
                yield self._end(lead_id.removeprefix(END))
                continue
            before = self._versions.get(lead_id, 0)
            self._versions[lead_id] = before + 1
            yield score_pb2.ScoreUpdate(
                lead_id=lead_id,
                previous_score=before,
                score=before + 1,
                previous_grade=f"D{before // 10}" if before else "",
                grade=f"D{(before + 1) // 10}",
                version=before + 1,
            )

    def _end(self, lead_id: str) -> score_pb2.ScoreUpdate:
        before = self._versions.pop(lead_id, 0)
        return score_pb2.ScoreUpdate(
            lead_id=lead_id,
            previous_score=before,
            previous_grade=f"D{before // 10}",
            version=before + 1,
            cause=score_pb2.CAUSE_ERASURE,
        )

    def payload(self, lead_ids: Iterable[str]) -> bytes:
        """One announcement of a change of each of these leads."""
        return stream_pb2.ScoreAnnouncement(updates=self.changes(lead_ids)).SerializeToString()

    def message(self, sequence: int, lead_ids: Iterable[str], tenant_id: str = "demo") -> StreamMessage:
        """The same as it is read from the stream."""
        return StreamMessage(sequence, -1, tenant_id, self.payload(lead_ids), 0)

    def announcement(self, sequence: int, lead_ids: Iterable[str]) -> Announcement:
        """The same as it is offered to watchers."""
        return Announcement(self.message(sequence, lead_ids), MADE_US)


def read(message: bytes) -> query.WatchScoresResponse:
    """A message to a watcher, as its client reads it."""
    return query.WatchScoresResponse.FromString(message)


def shown(update: score_pb2.ScoreUpdate) -> Shown:
    """What a test compares of an update."""
    return Shown(update.lead_id, update.previous_score, update.score, update.version)
