"""What scorers announce, in the form in which it is passed on: parsed once and serialized once for all watchers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter

from leadscore.query.v1 import query_service_pb2 as contract
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.query.places import Place
from services.shared.bus import StreamMessage


class Change:
    """One change of a lead's score."""

    __slots__ = (
        "_message",
        "behind",
        "erases",
        "lead_id",
        "place",
        "previous_grade",
        "previous_score",
        "update",
        "version",
    )

    def __init__(self, update: score_pb2.ScoreUpdate, place: Place, behind: Place) -> None:
        """`behind` is the place at which reading goes on after this change."""
        # Read once: each reading of a message's field makes a new object.
        self.lead_id = update.lead_id
        self.previous_score = update.previous_score
        self.previous_grade = update.previous_grade
        self.version = update.version
        self.erases = update.cause == score_pb2.CAUSE_ERASURE
        """Whether the lead is gone."""
        self.update = update
        self.place = place
        self.behind = behind
        self._message: bytes | None = None

    @property
    def score_max(self) -> int:
        """The higher of the scores before and after."""
        return max(self.update.score, self.previous_score)

    @property
    def regrades(self) -> bool:
        """Whether the grade changed."""
        return bool(self.update.grade != self.previous_grade)

    @property
    def crosses(self) -> bool:
        """Whether it crossed a threshold."""
        return bool(self.update.crossings)

    @property
    def message(self) -> bytes:
        """The serialized message to watchers."""
        if self._message is None:
            self._message = message_to_watcher(self.behind, self.update)
        return self._message


class Announcement:
    """Changes of one tenant that were committed together, with what tells at once that a watcher wants none of them."""

    __slots__ = ("behind", "by_lead", "changes", "crosses", "erases", "place", "regrades", "score_max")

    def __init__(self, message: StreamMessage, made_us: int) -> None:
        updates = stream_pb2.ScoreAnnouncement.FromString(message.payload).updates
        self.place = Place(made_us, message.sequence)
        self.behind = Place(made_us, message.sequence + 1)
        places = [*(Place(made_us, message.sequence, offset) for offset in range(len(updates))), self.behind]
        self.changes = [
            Change(update, place, behind) for update, (place, behind) in zip(updates, pairwise(places), strict=True)
        ]
        self.by_lead: dict[str, list[Change]] = {}
        for change in self.changes:
            self.by_lead.setdefault(change.lead_id, []).append(change)
        self.score_max = max((change.score_max for change in self.changes), default=0)
        self.regrades = any(change.regrades for change in self.changes)
        self.crosses = any(change.crosses for change in self.changes)
        self.erases = any(change.erases for change in self.changes)

    def of(self, lead_ids: frozenset[str]) -> list[Change]:
        """The changes of some leads, in order, found without looking at those of all others."""
        lines = [self.by_lead[lead_id] for lead_id in self.by_lead.keys() & lead_ids]
        return lines[0] if len(lines) == 1 else sorted(chain.from_iterable(lines), key=attrgetter("place"))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which changes a watcher wants. The end of a lead passes whatever is asked of changes: what came before it may be
    known to the watcher.
    """

    lead_ids: frozenset[str] = frozenset()
    min_score: int = 0
    grade_changes_only: bool = False
    crossings_only: bool = False

    def select(self, announcement: Announcement, since: Place) -> Sequence[Change]:
        """The changes that a watcher wants, without those before `since`."""
        if announcement.behind <= since or not self.may_want(announcement):
            return ()
        changes = announcement.of(self.lead_ids) if self.lead_ids else announcement.changes
        if announcement.place < since:
            changes = [change for change in changes if change.place >= since]
        wants_all = not (self.min_score or self.grade_changes_only or self.crossings_only)
        return changes if wants_all else [change for change in changes if self._wants(change)]

    def may_want(self, announcement: Announcement) -> bool:
        """Whether some of an announcement's changes may pass, lead ids aside; told without looking at each of them."""
        return announcement.erases or not (
            announcement.score_max < self.min_score
            or (self.grade_changes_only and not announcement.regrades)
            or (self.crossings_only and not announcement.crosses)
        )

    def _wants(self, change: Change) -> bool:
        return change.erases or (
            change.score_max >= self.min_score
            and (not self.grade_changes_only or change.regrades)
            and (not self.crossings_only or change.crosses)
        )


def message_to_watcher(
    resume: Place, update: score_pb2.ScoreUpdate | None = None, *, is_snapshot: bool = False
) -> bytes:
    """A serialized message to a watcher; a heartbeat if there is no update."""
    message = contract.WatchScoresResponse(resume_token=resume.token, update=update, snapshot=is_snapshot)
    return message.SerializeToString()
