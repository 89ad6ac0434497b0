"""What waits for slow watchers, merged by lead: once for all who want the same, however many they are.

    oldest                                            newest
    [ stretch ] [ stretch ] [ stretch ............ now ]
    ^ ada, joe  ^ grace     ^ linus

Each change goes into the newest stretch alone. A stretch begins only where what waits for a watcher begins; when
nobody's does so any more, it becomes part of the one before. What waits for a watcher is its stretch and all behind it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from leadscore.score.v1 import score_pb2

from services.query.announcements import Announcement, Change, Filter, message_to_watcher
from services.query.places import Place
from services.shared.errors import CallerError, Unavailable

LEADS_WAITING_MAX = 100_000
"""Leads whose latest state waits for one slow watcher, behind those that it is being told of. One that changed in
several stretches counts in each."""
LEADS_WAITING_IN_ALL_MAX = 2_000_000
"""The same for all slow watchers together, what they share counted once, and with what each has taken in for itself:
what bounds the memory of the process, at some 300 bytes each."""

Key = str | tuple[str, int]
"""A lead within a stretch: its id, and if one of that id ended there before, how many did."""
Select = Callable[[Announcement, Place], Sequence[Change]]
"""The changes of an announcement that are wanted, without those before a place."""


class Behind(Protocol):
    """A watcher for whom changes wait in a backlog."""

    def end(self, error: CallerError) -> None:
        """Ends the watch; the watcher leaves the backlog."""


class Room:
    """Counts what slow watchers hold, all together."""

    def __init__(self, leads_max: int = LEADS_WAITING_IN_ALL_MAX) -> None:
        self.left = leads_max


class Merged:
    """Changes of one lead that follow each other, as one: from what it was at first to what it is at last. If the lead
    ends, that is the last of them: what comes behind it is about another lead of the same id.
    """

    __slots__ = ("first", "last", "previous_grade", "previous_score")

    def __init__(self, first: Place, previous_score: int, previous_grade: str, last: Change) -> None:
        """`first` is the place of the first of them, and the score and the grade are those before it."""
        self.first = first
        self.previous_score = previous_score
        self.previous_grade = previous_grade
        self.last = last

    def through(self, last: Change) -> "Merged":
        """The same with what follows, up to a later change."""
        return Merged(self.first, self.previous_score, self.previous_grade, last)

    def message(self, resume: Place) -> bytes:
        """The serialized message to a watcher."""
        update = score_pb2.ScoreUpdate()
        update.CopyFrom(self.last.update)
        update.previous_score = self.previous_score
        update.previous_grade = self.previous_grade
        return message_to_watcher(resume, update)


class Stretch:
    """The changes of a stretch of the stream, merged by lead, in the order of the first change of each."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._merged: dict[Key, Merged] = {}
        self._ends: Counter[str] = Counter()
        self.begin_here: set[Behind] = set()
        """The watchers whose unread changes begin with it."""
        self.add(changes)

    def __len__(self) -> int:
        return len(self._merged)

    def __iter__(self) -> Iterator[Merged]:
        return iter(self._merged.values())

    @property
    def first(self) -> Place | None:
        """The place of the first change; None if there is none."""
        return next((merged.first for merged in self), None)

    def add(self, changes: Iterable[Change]) -> None:
        """Takes in the next changes. Only before others have got what is merged here: it is theirs as it is."""
        for change in changes:
            key = self._key(change.lead_id)
            merged = self._merged.get(key)
            if merged is not None:
                merged.last = change
            else:
                self._merged[key] = Merged(change.place, change.previous_score, change.previous_grade, change)
            if change.erases:
                self._ends[change.lead_id] += 1

    def absorb(self, later: "Stretch") -> None:
        """Takes in all of the stretch behind. What others have got from either stays as it is."""
        theirs = {self._behind(key): merged for key, merged in later._merged.items()} if self._ends else later._merged
        both = {key: self._merged[key].through(theirs[key].last) for key in self._merged.keys() & theirs.keys()}
        # Each as a whole: there may be a hundred thousand, and everybody waits meanwhile.
        self._merged |= theirs
        self._merged |= both
        self._ends += later._ends

    def _key(self, lead_id: str) -> Key:
        return (lead_id, self._ends[lead_id]) if lead_id in self._ends else lead_id

    def _behind(self, key: Key) -> Key:
        """The key here of what has a key in the stretch behind."""
        lead_id, ends = key if isinstance(key, tuple) else (key, 0)
        return (lead_id, self._ends[lead_id] + ends) if lead_id in self._ends else key


class Backlog:
    """The stretches that wait for slow watchers who want the same."""

    def __init__(self, select: Select, room: Room) -> None:
        self._select = select
        self._room = room
        self.place = Place(0, 0)
        """Behind the last announcement that was offered."""
        self._stretches: list[Stretch] = []
        self._held = 0

    def offer(self, announcement: Announcement) -> None:
        """Takes in what is wanted of an announcement, unless another watcher has had it taken in. Ends the watchers
        furthest behind if too much waits.
        """
        if not self._stretches:
            return
        changes = self._select(announcement, self.place)
        self.place = announcement.behind
        if not changes:
            return
        self._stretches[-1].add(changes)
        self._count()
        while self._stretches and (self._held > LEADS_WAITING_MAX or self._room.left < 0):
            for watcher in [*self._stretches[0].begin_here]:
                watcher.end(too_far_behind())

    def join(self, watcher: Behind, waiting: Sequence[Change], place: Place) -> bool:
        """Has what is announced from `place` on wait for a watcher; all before it must have been offered. Answers
        whether what is `waiting` for it already waits here too, because nothing else does, or because it waits for
        another one: what begins with the same change is the same.
        """
        self.place = max(self.place, place)
        if not self._stretches:
            self._stretches.append(Stretch(waiting))
        first = waiting[0].place if waiting else None
        same = [stretch for stretch in self._stretches if stretch.first == first]
        if same:
            same[0].begin_here.add(watcher)
            self._tidy()
        else:
            self._begin_behind_all(watcher)
        return bool(same)

    def leave(self, watcher: Behind) -> None:
        """Nothing waits for the watcher any more."""
        self._stretches[self._index(watcher)].begin_here.discard(watcher)
        self._tidy()

    def take(self, watcher: Behind, before: Iterable[Change]) -> Stretch:
        """All that waits for a watcher, behind the changes `before`. From now on what comes next waits for it."""
        taken = Stretch(before)
        index = self._index(watcher)
        for stretch in self._stretches[index:]:
            taken.absorb(stretch)
        self._stretches[index].begin_here.discard(watcher)
        self._begin_behind_all(watcher)
        return taken

    def first(self, watcher: Behind) -> Place | None:
        """The place of the first change that waits for a watcher, if one does."""
        return self._stretches[self._index(watcher)].first

    def _begin_behind_all(self, watcher: Behind) -> None:
        if not self._stretches or self._stretches[-1]:
            self._stretches.append(Stretch())
        self._stretches[-1].begin_here.add(watcher)
        self._tidy()

    def _index(self, watcher: Behind) -> int:
        return next(index for index, stretch in enumerate(self._stretches) if watcher in stretch.begin_here)

    def _tidy(self) -> None:
        """Drops what waits for nobody, and lets stretches begin only where they must. The newest stays by itself: it is
        still added to, which those before must not be.
        """
        kept: list[Stretch] = []
        for stretch in self._stretches:
            if stretch.begin_here or (kept and stretch is self._stretches[-1]):
                kept.append(stretch)
            elif kept:
                kept[-1].absorb(stretch)
        self._stretches = kept
        self._count()

    def _count(self) -> None:
        held = sum(map(len, self._stretches))
        self._room.left -= held - self._held
        self._held = held


class Backlogs:
    """The backlogs of one tenant: one for each filter, as long as somebody has something waiting there."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._by_filter: WeakValueDictionary[Filter, Backlog] = WeakValueDictionary()

    def of(self, wanted: Filter) -> Backlog:
        """The backlog of all who want this."""
        backlog = self._by_filter.get(wanted)
        if backlog is None:
            backlog = self._by_filter[wanted] = Backlog(wanted.select, self.room)
        return backlog


def too_far_behind() -> CallerError:
    """What ends the watch of a watcher that is beyond the bounds."""
    return Unavailable("the watcher is too far behind; watch again with the last resume token")
