"""Passes announced changes on to watchers: one reader of the stream, any number of watchers, each at its own pace."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from services.query.announcements import Announcement, Filter, message_to_watcher
from services.query.audience import Audience
from services.query.backlog import Room
from services.query.leaderboard_watch import Leaderboards
from services.query.places import Place
from services.query.states import Seen, Slice
from services.query.watcher import Watcher
from services.shared.bus import Bus, Kept, StreamMessage
from services.shared.errors import (
    CallerError,
    FieldViolation,
    InvalidRequest,
    RetriableError,
    StreamInterrupted,
    Unavailable,
)

HEARTBEAT_S = 10.0
"""A watcher hears something this often, so that all on the way know that the line is alive; 15 are promised."""
READ_TIMEOUT_S = 5.0
RETRY_S = 0.5
KEPT_MESSAGES_MAX = 64
"""Kept announcements read at a time for one watcher: it may take them slowly."""
KEPT_READERS_MAX = 32
"""Watchers for whom kept announcements are read at the same time; all of them come back at once after a restart."""
STATE_READERS_MAX = 4
"""Watchers for whom slices of states are read at the same time: other reads want the database too."""
SEEN_S = 600.0
"""How long it is remembered which states a watcher was shown. What led to them is announced within seconds, even if a
scorer dies over it; later than this, a client would know a repeat by its version."""
STOPS = "the service stops; watch again with the last resume token"
NOT_KEPT = "the updates after the last resume token are not kept any more; watch again with it"

ReadStates = Callable[[str, Filter, str], Awaitable[Slice]]
"""Reads the states of the next leads of a tenant that pass a filter, behind a lead. Raises Unavailable."""

logger = logging.getLogger(__name__)


class Hub:
    """Everybody who watches, and where the reading of announcements has got."""

    def __init__(self, bus: Bus, read_states: ReadStates, leaderboards: Leaderboards) -> None:
        self._bus = bus
        self._read_states = read_states
        self._state_readers = asyncio.Semaphore(STATE_READERS_MAX)
        self.leaderboards = leaderboards
        room = Room()
        self._audiences: defaultdict[str, Audience] = defaultdict(lambda: Audience(room))
        self._live = Place(0, 0)
        self._kept_readers = asyncio.Semaphore(KEPT_READERS_MAX)
        self._stopping = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return sum(map(len, self._audiences.values()))

    async def open(self) -> None:
        """Begins behind the newest announcement."""
        kept = await self._bus.scores_kept()
        self._live = Place(kept.made_us, kept.last + 1)

    async def run(self) -> None:
        """Reads announcements, for ever; after any doubt again from behind the last one that was passed on."""
        while True:
            try:
                await self._follow()
            except (StreamInterrupted, RetriableError) as error:
                logger.warning("reads announcements again: %s", error)
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        """Ends all watches; their clients come back with their tokens."""
        self._stopping = True
        self._end_all(Unavailable(STOPS))
        self.leaderboards.stop()

    async def watch(self, tenant_id: str, since: Place | None, wanted: Filter) -> AsyncGenerator[bytes, None]:
        """The messages for a watcher: all from `since` on, or from now on. If what followed `since` is not kept, the
        states of the leads come first. Raises InvalidRequest for a place that is not in the stream, Unavailable when
        the client is to come back.
        """
        seen = None
        if since is not None and not holds(kept := await self._kept_behind(since), since):
            seen = Seen()
            async with aclosing(self._states(tenant_id, since, wanted, seen)) as states:
                async for message in states:
                    yield message
            # All that was announced before this place had been committed before the first state was read.
            since = Place(kept.made_us, kept.last + 1)
        async with aclosing(self._changes(tenant_id, since, wanted, seen)) as changes:
            async for message in changes:
                yield message

    async def _kept_behind(self, place: Place) -> Kept:
        """What the stream keeps. Raises InvalidRequest if it ends before a place, which then stands for no update."""
        kept = await self._bus.scores_kept()
        if place.made_us == kept.made_us and place > Place(kept.made_us, kept.last + 1):
            raise InvalidRequest([FieldViolation("resume_token", "stands for a place that the stream has not reached")])
        return kept

    async def _states(self, tenant_id: str, since: Place, wanted: Filter, seen: Seen) -> AsyncGenerator[bytes, None]:
        """The states of the leads. Each message has the old token: whoever breaks off in the middle gets all again."""
        after: str | None = ""
        yield message_to_watcher(since)
        while after is not None:
            reading = asyncio.create_task(self._read_slice(tenant_id, wanted, after))
            try:
                while not (await asyncio.wait({reading}, timeout=HEARTBEAT_S))[0]:
                    yield message_to_watcher(since)
                updates, after = reading.result()
            finally:
                reading.cancel()
            seen.add(updates)
            for update in updates:
                if self._stopping:
                    raise Unavailable(STOPS)
                yield message_to_watcher(since, update, is_snapshot=True)

    async def _read_slice(self, tenant_id: str, wanted: Filter, after: str) -> Slice:
        async with self._state_readers:
            return await self._read_states(tenant_id, wanted, after)

    async def _changes(
        self, tenant_id: str, since: Place | None, wanted: Filter, seen: Seen | None
    ) -> AsyncGenerator[bytes, None]:
        """The changes from `since` on, or from now on, without those that led to what was shown."""
        # From here on the watcher is offered all that comes, so that what is kept and what comes meet exactly.
        live = self._live
        audience = self._audiences[tenant_id]
        watcher = Watcher(wanted, max(since or live, live), audience.backlogs, seen)
        forgetting = asyncio.get_running_loop().call_later(SEEN_S, watcher.forget_seen)
        if self._stopping:
            watcher.end(Unavailable(STOPS))
        audience.add(watcher)
        try:
            yield message_to_watcher(since or live)
            async with aclosing(self._kept(tenant_id, since or live, live, wanted, seen)) as messages:
                async for message in messages:
                    watcher.check()
                    yield message
            while True:
                while (next_message := watcher.take()) is not None:
                    yield next_message
                if not await watcher.arrival(HEARTBEAT_S):
                    yield message_to_watcher(max(watcher.place, self._live))
        finally:
            forgetting.cancel()
            self._leave(tenant_id, watcher)

    async def _kept(
        self, tenant_id: str, place: Place, until: Place, wanted: Filter, seen: Seen | None
    ) -> AsyncGenerator[bytes, None]:
        """The messages for what the stream keeps from `place` on, before `until`: each change, at the client's pace."""
        while place < until:
            announcements = await self._read_kept(tenant_id, place)
            # Checked behind the reading: what is still there now was there to be read.
            if not holds(await self._bus.scores_kept(), place):
                raise Unavailable(NOT_KEPT)
            sent = False
            for announcement in announcements:
                if announcement.place >= until:
                    return
                changes = wanted.select(announcement, place)
                for change in seen.newer(changes) if seen else changes:
                    sent = True
                    yield change.message
            if not announcements:
                return
            place = announcements[-1].behind
            if not sent:
                yield message_to_watcher(place)

    async def _read_kept(self, tenant_id: str, place: Place) -> list[Announcement]:
        """The next announcements of a tenant that are kept; none if there are no more."""
        messages: list[StreamMessage] = []
        try:
            async with (
                self._kept_readers,
                self._bus.read_scores(place.sequence - 1, tenant_id, ahead=KEPT_MESSAGES_MAX) as reader,
            ):
                while len(messages) < min(reader.waiting_at_start, KEPT_MESSAGES_MAX):
                    more = await reader.read(READ_TIMEOUT_S)
                    if not more:
                        raise Unavailable("the stream does not answer; watch again with the last resume token")
                    messages += more
        except StreamInterrupted as error:
            raise Unavailable("the stream is away; watch again with the last resume token") from error
        return [Announcement(message, place.made_us) for message in messages]

    async def _follow(self) -> None:
        kept = await self._bus.scores_kept()
        if not holds(kept, self._live):
            self._begin_anew(Place(kept.made_us, kept.last + 1))
        async with self._bus.read_scores(self._live.sequence - 1) as reader:
            while True:
                for message in await reader.read(READ_TIMEOUT_S):
                    self._pass_on(message)
                    # After a bulk load many come at once: watchers and calls get their turn in between.
                    await asyncio.sleep(0)

    def _pass_on(self, message: StreamMessage) -> None:
        if message.sequence > self._live.sequence:  # Sequences have no gaps: what was between is not kept any more.
            self._begin_anew(self._live._replace(sequence=message.sequence))
        self._live = self._live._replace(sequence=message.sequence + 1)
        audience = self._audiences.get(message.tenant_id)
        boards = self.leaderboards.of(message.tenant_id)
        if audience or boards:
            announcement = Announcement(message, self._live.made_us)
            for each in (*(audience.of(announcement) if audience else ()), *boards):
                each.offer(announcement)

    def _begin_anew(self, live: Place) -> None:
        logger.warning("the stream does not hold all announcements behind %s; all watchers begin anew", self._live)
        self._end_all(Unavailable(NOT_KEPT))
        self.leaderboards.look_again()
        self._live = live

    def _end_all(self, error: CallerError) -> None:
        for audience in self._audiences.values():
            for watcher in audience:
                watcher.end(error)

    def _leave(self, tenant_id: str, watcher: Watcher) -> None:
        watcher.end(Unavailable("the watch is over"))
        self._audiences[tenant_id].discard(watcher)
        if not self._audiences[tenant_id]:
            del self._audiences[tenant_id]


def holds(kept: Kept, place: Place) -> bool:
    """Whether everything from `place` on is in the stream, or still to come."""
    return kept.made_us == place.made_us and kept.first <= place.sequence <= kept.last + 1
