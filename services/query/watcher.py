"""What one watcher has still to get: every change while it keeps up, the latest state of each lead when it does not."""

import asyncio
from collections import deque
from collections.abc import Iterable

from leadscore.score.v1 import score_pb2

from services.query.announcements import Announcement, Change, Filter, message_to_watcher
from services.query.places import Place
from services.query.states import Seen
from services.shared.errors import CallerError, Unavailable

CHANGES_WAITING_MAX = 4_000
"""Changes that wait for one watcher in order. More than one commit brings, little enough to hold for thousands."""
LEADS_WAITING_MAX = 100_000
"""Leads whose latest state waits for one slow watcher."""
LEADS_WAITING_IN_ALL_MAX = 2_000_000
"""The same for all slow watchers together: what bounds the memory of the process, at some 300 bytes each."""


class Room:
    """Counts what slow watchers hold, all together."""

    def __init__(self, leads_max: int = LEADS_WAITING_IN_ALL_MAX) -> None:
        self.left = leads_max


class Merged:
    """All changes of one lead that wait for a slow watcher, as one: from what it was at first to what it is now. If the
    lead ends, that is the last of them: what comes behind it is about another lead of the same id.
    """

    __slots__ = ("first", "last", "previous_grade", "previous_score")

    def __init__(self, change: Change) -> None:
        self.first = change.place
        self.previous_score = change.previous_score
        self.previous_grade = change.previous_grade
        self.last = change

    @property
    def lead_id(self) -> str:
        """The lead."""
        return self.last.lead_id

    def message(self, resume: Place) -> bytes:
        """The serialized message to the watcher."""
        update = score_pb2.ScoreUpdate()
        update.CopyFrom(self.last.update)
        update.previous_score = self.previous_score
        update.previous_grade = self.previous_grade
        return message_to_watcher(resume, update)


class Watcher:
    """One watcher's changes, between the hub that offers them and the call that takes them.

    in order --(more than CHANGES_WAITING_MAX wait)--> merged by lead --(all taken)--> in order
                                                           |
                                                           +--(too many leads wait)--> ended
    """

    def __init__(self, wanted: Filter, place: Place, room: Room, seen: Seen | None = None) -> None:
        """`place` is that of the first change it is to get, but for what led to the states that it has `seen`."""
        self.place = place
        """Behind the last announcement that was offered; what comes behind it and was not offered, it does not want."""
        self._seen = seen
        self.wanted = wanted
        self._room = room
        self._in_order: deque[Change] = deque()
        self._merged: deque[Merged] = deque()
        self._merging: dict[str, Merged] = {}
        self._ended: CallerError | None = None
        self._arrived = asyncio.Event()

    def offer(self, announcement: Announcement) -> None:
        """Takes in what it wants of an announcement. Never waits, and never grows beyond its bounds."""
        changes = self.wanted.select(announcement, self.place)
        self.place = max(self.place, announcement.behind)
        if changes and self._seen:
            changes = self._seen.newer(changes)
        if not changes or self._ended:
            return
        if self._merged or len(self._in_order) + len(changes) > CHANGES_WAITING_MAX:
            waiting = [*self._in_order, *changes]
            self._in_order.clear()
            self._merge(waiting)
        else:
            self._in_order.extend(changes)
        self._arrived.set()

    def take(self) -> bytes | None:
        """The next message, or None if nothing waits. Raises as `check` does."""
        self.check()
        if self._in_order:
            return self._in_order.popleft().message
        if not self._merged:
            return None
        merged = self._merged.popleft()
        if self._merging[merged.lead_id] is merged:
            del self._merging[merged.lead_id]
        self._room.left += 1
        # The leads are in the order of their first change: before that of the next one, nothing is left to get.
        return merged.message(self._merged[0].first if self._merged else self.place)

    def check(self) -> None:
        """Raises the error with which the watch was ended, if it was."""
        if self._ended:
            raise self._ended

    async def arrival(self, timeout_s: float) -> bool:
        """Waits until there may be something to take; False if nothing came within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return False
        self._arrived.clear()
        return True

    def forget_seen(self) -> None:
        """All that led to the states that it has seen has long been announced."""
        self._seen = None

    def end(self, error: CallerError) -> None:
        """Ends the watch: what waits is dropped, for the client to get with its token, and `check` raises `error`."""
        self._ended = error
        self._in_order.clear()
        self._room.left += len(self._merged)
        self._merged.clear()
        self._merging.clear()
        self._arrived.set()

    def _merge(self, changes: Iterable[Change]) -> None:
        before = len(self._merged)
        for change in changes:
            merged = self._merging.get(change.lead_id)
            if merged is not None and not merged.last.erases:
                merged.last = change
            else:
                self._merging[change.lead_id] = Merged(change)
                self._merged.append(self._merging[change.lead_id])
        self._room.left -= len(self._merged) - before
        if len(self._merged) > LEADS_WAITING_MAX or self._room.left < 0:
            self.end(Unavailable("the watcher is too far behind; watch again with the last resume token"))
