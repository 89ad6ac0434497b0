"""What one watcher has still to get: every change while it keeps up, the latest state of each lead when it does not."""

import asyncio
from collections import deque
from collections.abc import Sequence

from services.query.announcements import Announcement, Change, Filter
from services.query.backlog import Backlog, Backlogs, Merged, too_far_behind
from services.query.places import Place
from services.query.states import Seen
from services.shared.errors import CallerError

CHANGES_WAITING_MAX = 4_000
"""Changes that wait for one watcher in order. More than one commit brings, little enough to hold for thousands."""


class Watcher:
    """One watcher's changes, between the hub that offers them and the call that takes them.

    in order --(more than CHANGES_WAITING_MAX wait)--> behind --(all taken)--> in order
                                                         |
                                                         +--(too many leads wait)--> ended

    While it is behind, what comes waits in a backlog, merged by lead, for all who want the same. When the watcher takes
    something, it gets from there all leads that have changed, as they are then, and is told of them in the order of
    their first changes. When these are taken, it gets those that have changed meanwhile.
    """

    def __init__(self, wanted: Filter, place: Place, backlogs: Backlogs, seen: Seen | None = None) -> None:
        """`place` is that of the first change it is to get, but for what led to the states that it has `seen`."""
        self.place = place
        """Behind the last announcement that was offered, or with which it fell behind, as long as it is; what comes
        behind it and was not offered, it does not want."""
        self._seen = seen
        self._gets_all = seen is None
        self.wanted = wanted
        self._backlogs = backlogs
        self._room = backlogs.room
        self._in_order: deque[Change] = deque()
        self._backlog: Backlog | None = None
        self._merged: deque[Merged] = deque()
        self._ended: CallerError | None = None
        self._arrived = asyncio.Event()

    def offer(self, announcement: Announcement) -> None:
        """Takes in what it wants of an announcement. Never waits, and never grows beyond its bounds."""
        if self._backlog is not None:
            self._backlog.offer(announcement)
            return
        changes = self._select(announcement, self.place)
        self.place = max(self.place, announcement.behind)
        if not changes or self._ended:
            return
        self._in_order.extend(changes)
        if len(self._in_order) > CHANGES_WAITING_MAX:
            self._fall_behind(announcement)
        self._arrived.set()

    def take(self) -> bytes | None:
        """The next message, or None if nothing waits. Raises as `check` does."""
        self.check()
        if self._backlog is None:
            return self._in_order.popleft().message if self._in_order else None
        if not self._merged:
            self._gather(self._backlog)
            self.check()
        merged = self._merged.popleft()
        self._room.left += 1
        # The leads are in the order of their first change: before that of the next one, nothing is left to get.
        return merged.message(self._merged[0].first if self._merged else self._next_place(self._backlog))

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
        if self._seen is None:
            return
        self._seen = None
        if self._backlog is not None:  # Its own until now: nobody else has seen the same.
            self._gather(self._backlog)
        if self._backlog is not None:
            self._leave(self._backlog)
            self._backlog = self._backlogs.of(self.wanted)
            self._backlog.join(self, (), self.place)

    def end(self, error: CallerError) -> None:
        """Ends the watch: what waits is dropped, for the client to get with its token, and `check` raises `error`."""
        self._ended = error
        if self._backlog is not None:
            self._room.left += len(self._in_order) + len(self._merged)
            self._leave(self._backlog)
        self._in_order.clear()
        self._merged.clear()
        self._arrived.set()

    def _select(self, announcement: Announcement, since: Place) -> Sequence[Change]:
        changes = self.wanted.select(announcement, since)
        return self._seen.newer(changes) if changes and self._seen else changes

    def _fall_behind(self, announcement: Announcement) -> None:
        """Has what comes behind an announcement wait in the backlog. What waits in order and not there too is merged
        when it is taken: a hundred that fall behind at once would hold up all others.
        """
        self._backlog = Backlog(self._select, self._room) if self._seen else self._backlogs.of(self.wanted)
        self._backlog.offer(announcement)  # Those who are there may get it only behind this watcher.
        # Where something is missing because it was seen, nobody else waits for the same.
        waiting = self._in_order if self._gets_all else deque()
        if self._backlog.join(self, waiting, self.place):
            waiting.clear()
        self._hold(len(self._in_order))

    def _gather(self, backlog: Backlog) -> None:
        """Takes what waits in the backlog, behind what waited in order, if that was not taken yet."""
        gathered = backlog.take(self, self._in_order)
        self._merged.extend(gathered)
        held = len(gathered) - len(self._in_order)
        self._in_order.clear()
        self._hold(held)

    def _hold(self, leads: int) -> None:
        self._room.left -= leads
        if self._room.left < 0:
            self.end(too_far_behind())

    def _next_place(self, backlog: Backlog) -> Place:
        """The place of the first change in the backlog; behind all that was offered, if there is none."""
        place = backlog.first(self)
        if place is None:
            self._leave(backlog)
        return place or self.place

    def _leave(self, backlog: Backlog) -> None:
        backlog.leave(self)
        self._backlog = None
        self.place = backlog.place
