"""Passes announced changes on to watchers: one reader of the stream, any number of watchers, each at its own pace."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from leadscore.query.v1 import query_service_pb2 as contract
from leadscore.score.v1 import score_pb2

from services.query.feed import WHOLE, Entry, Feed, Position, entries_of, latest_by_lead
from services.shared.bus import Bus, Reader, StreamMessage
from services.shared.errors import (
    FieldViolation,
    InvalidRequest,
    RetriableError,
    StreamInterrupted,
    TokenExpired,
    Unavailable,
)

HEARTBEAT_S = 15.0
"""A watcher hears something at least this often, so that both ends and all between know that the line is alive."""
BEHIND_UPDATES_MAX = 1_000
"""A watcher that has more than this before it gets the latest state of each lead instead of every change."""
READ_TIMEOUT_S = 5.0
RETRY_S = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filter:
    """Which updates a watcher wants."""

    lead_ids: frozenset[str] = frozenset()
    min_score: int = 0
    grade_changes_only: bool = False

    def wants(self, update: score_pb2.ScoreUpdate) -> bool:
        """Whether an update passes."""
        if self.lead_ids and update.lead_id not in self.lead_ids:
            return False
        if max(update.score, update.previous_score) < self.min_score:
            return False
        return not self.grade_changes_only or update.grade != update.previous_grade


class Hub:
    """Keeps a log for each tenant that is watched, filled from the stream of announcements."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._feeds: dict[str, Feed] = {}
        self._watchers: dict[str, int] = {}
        self._last = 0
        self._stopping = False

    async def open(self) -> None:
        """Begins behind the newest announcement."""
        _, self._last = await self._bus.scores_range()

    async def run(self) -> None:
        """Reads announcements, for ever; after any doubt again from behind the last one that was passed on."""
        while True:
            try:
                async with self._bus.read_scores(self._last) as reader:
                    while True:
                        await self._pass_on(reader)
            except (StreamInterrupted, RetriableError) as error:
                logger.warning("reads announcements again: %s", error)
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        """Ends all watches; their clients come back with their tokens."""
        self._stopping = True
        for feed in self._feeds.values():
            feed.wake()

    async def watch(self, tenant_id: str, since: Position | None, wanted: Filter) -> AsyncIterator[bytes]:
        """The messages for a watcher: all after `since`, or from now on. Raises TokenExpired, InvalidRequest."""
        feed = self._feeds.setdefault(tenant_id, Feed())
        self._watchers[tenant_id] = self._watchers.get(tenant_id, 0) + 1
        try:
            async for message in self._watch(tenant_id, feed, since, wanted):
                yield message
        finally:
            self._watchers[tenant_id] -= 1
            if not self._watchers[tenant_id]:
                del self._watchers[tenant_id], self._feeds[tenant_id]

    async def _watch(self, tenant_id: str, feed: Feed, since: Position | None, wanted: Filter) -> AsyncIterator[bytes]:
        # From here on the feed has everything behind this position, so that what is kept and what comes meet exactly.
        place, position = feed.end, Position(self._last, WHOLE)
        if since is not None:
            async for message in self._kept(tenant_id, since, position, wanted):
                yield message
        yield _heartbeat(position)
        while not self._stopping:
            entries = feed.since(place)
            if entries is None:
                reached, place = Position(self._last, WHOLE), feed.end
                async for message in self._kept(tenant_id, position, reached, wanted):
                    yield message
                position = reached
            elif entries:
                place += len(entries)
                for entry in _paced(entries, position, wanted):
                    yield entry.message
                position = entries[-1].position
            else:
                position = Position(self._last, WHOLE)
                await feed.news(HEARTBEAT_S)
                if feed.end == place and not self._stopping:
                    yield _heartbeat(position)
        raise Unavailable("the service stops; watch again with the last resume token")

    async def _kept(self, tenant_id: str, since: Position, until: Position, wanted: Filter) -> AsyncIterator[bytes]:
        """The messages for what the stream keeps behind `since`, up to `until`."""
        first, last = await self._bus.scores_range()
        if since.sequence > last:
            raise InvalidRequest([FieldViolation("resume_token", "is not a token of this stream")])
        if since.covers(until):
            return
        if since.sequence + 1 < first:
            raise TokenExpired("the updates after this token are no longer kept; read the leaderboard and watch anew")
        try:
            async with self._bus.read_scores(since.sequence - 1, tenant_id) as reader:
                left = reader.waiting_at_start
                while left > 0:
                    messages = await reader.read(READ_TIMEOUT_S)
                    left -= len(messages)
                    entries = _between(since, until, messages)
                    for entry in _paced(entries, since, wanted):
                        yield entry.message
                    if entries:
                        since = entries[-1].position
        except StreamInterrupted as error:
            raise Unavailable("the stream is away; watch again with the last resume token") from error

    async def _pass_on(self, reader: Reader) -> None:
        for message in await reader.read(READ_TIMEOUT_S):
            self._last = message.sequence
            if feed := self._feeds.get(message.tenant_id):
                feed.append(entries_of(message))


def _between(since: Position, until: Position, messages: Sequence[StreamMessage]) -> list[Entry]:
    """The updates in some announcements that are behind `since`, up to `until`."""
    return [
        entry
        for message in messages
        for entry in entries_of(message)
        if until.covers(entry.position) and not since.covers(entry.position)
    ]


def _paced(entries: Sequence[Entry], before: Position, wanted: Filter) -> list[Entry]:
    """The entries that pass; if there are more than a watcher can be expected to follow, the latest of each lead."""
    passed = [entry for entry in entries if wanted.wants(entry.update)]
    return latest_by_lead(passed, before) if len(passed) > BEHIND_UPDATES_MAX else passed


def _heartbeat(position: Position) -> bytes:
    return contract.WatchScoresResponse(resume_token=position.token).SerializeToString()
