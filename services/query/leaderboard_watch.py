"""The top of the leaderboard for those who watch it: read when a change can concern it, whatever their number."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.announcements import Announcement
from services.query.leaderboard import list_leaderboard
from services.shared.errors import Unavailable

SIZE_DEFAULT = 10
"""For a size of 0."""
INTERVAL_S = 0.2
"""A top is read at most this often, however fast scores change."""
HEARTBEAT_S = 10.0
"""A watcher hears something this often, so that all on the way know that the line is alive; 15 are promised."""
REFRESH_S = 10.0
"""A top is read this often in any case: a name or a status is not announced."""
RETRY_S = 1.0
READERS_MAX = 3
"""Tops that are read at the same time: other reads want the database too."""
HEARTBEAT = contract.WatchLeaderboardResponse().SerializeToString()

ReadTop = Callable[[str, int], Awaitable[contract.LeaderboardTop]]
"""Reads the first so many places of a tenant's leaderboard. Raises Unavailable."""

logger = logging.getLogger(__name__)


async def read_top(engine: AsyncEngine, tenant_id: str, size: int) -> contract.LeaderboardTop:
    """The first so many places of a tenant's leaderboard. Raises Unavailable."""
    page = await list_leaderboard(engine, tenant_id, size, "")
    return contract.LeaderboardTop(entries=page.entries, total_leads=page.total_leads)


class Board:
    """The top of a leaderboard for all who watch that many places. Whoever is slow gets the newest one, and misses
    those in between.
    """

    def __init__(self, read: Callable[[], Awaitable[contract.LeaderboardTop]], size: int) -> None:
        self._read = read
        self._size = size
        self._lead_ids: frozenset[str] = frozenset()
        self._lowest: int | None = None
        self._look = asyncio.Event()
        self._shown = asyncio.Event()
        self._message = b""
        self._ended: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self.watchers = 0

    def offer(self, announcement: Announcement) -> None:
        """Has the top read again if an announcement can concern it."""
        if self._concerns(announcement):
            self._look.set()

    def look_again(self) -> None:
        """Has the top read again."""
        self._look.set()

    def join(self) -> None:
        """Somebody watches; the first one has the top read from now on."""
        self.watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
            self._task.add_done_callback(self._failed)

    def leave(self) -> None:
        """Somebody does not watch any more; after the last one the top is not read any more."""
        self.watchers -= 1
        if not self.watchers and self._task is not None:
            self._task.cancel()

    def end(self, error: BaseException) -> None:
        """Ends all watches with an error."""
        self._ended = error
        self._shown.set()

    async def next(self, seen: bytes) -> bytes:
        """The top as a serialized message, as soon as it is another one than was `seen`, or a heartbeat. Raises the
        error that ended the watch.
        """
        if seen == self._message and not self._ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._shown.wait()
        if self._ended:
            raise self._ended
        return self._message if seen != self._message else HEARTBEAT

    async def _keep(self) -> None:
        while True:
            self._look.clear()
            try:
                self._show(await self._read())
            except Unavailable as error:
                logger.warning("a top of the leaderboard is read again: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            await asyncio.sleep(INTERVAL_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._look.wait()

    def _show(self, top: contract.LeaderboardTop) -> None:
        self._lead_ids = frozenset(entry.lead_id for entry in top.entries)
        self._lowest = top.entries[-1].score if len(top.entries) == self._size else None
        message = contract.WatchLeaderboardResponse(top=top).SerializeToString()
        if message != self._message:
            self._message = message
            self._shown.set()
            self._shown = asyncio.Event()

    def _concerns(self, announcement: Announcement) -> bool:
        return (
            self._lowest is None
            or announcement.score_max >= self._lowest
            or not announcement.by_lead.keys().isdisjoint(self._lead_ids)
        )

    def _failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.end(error)


class Leaderboards:
    """The tops that are watched: one for each tenant and size."""

    def __init__(self, read: ReadTop) -> None:
        self._read = read
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._boards: defaultdict[str, dict[int, Board]] = defaultdict(dict)
        self._stopping = False

    def of(self, tenant_id: str) -> Iterable[Board]:
        """The tops of a tenant that are watched."""
        return self._boards[tenant_id].values() if tenant_id in self._boards else ()

    def look_again(self) -> None:
        """Has all tops read again: announcements may have been missed."""
        for boards in self._boards.values():
            for board in boards.values():
                board.look_again()

    def stop(self) -> None:
        """Ends all watches; their clients come back."""
        self._stopping = True
        for boards in self._boards.values():
            for board in boards.values():
                board.end(Unavailable("the service stops; watch again"))

    async def watch(self, tenant_id: str, size: int) -> AsyncGenerator[bytes, None]:
        """The messages for a watcher: the top as it is, and as it becomes. Raises Unavailable when the client is to
        come back.
        """
        if self._stopping:
            raise Unavailable("the service stops; watch again")
        board = self._board(tenant_id, size or SIZE_DEFAULT)
        board.join()
        seen = b""
        try:
            while True:
                message = await board.next(seen)
                seen = message or seen
                yield message
        finally:
            self._leave(tenant_id, size or SIZE_DEFAULT, board)

    def _board(self, tenant_id: str, size: int) -> Board:
        boards = self._boards[tenant_id]
        if size not in boards:
            boards[size] = Board(lambda: self._read_top(tenant_id, size), size)
        return boards[size]

    def _leave(self, tenant_id: str, size: int, board: Board) -> None:
        board.leave()
        if not board.watchers and self._boards[tenant_id].get(size) is board:
            del self._boards[tenant_id][size]
            if not self._boards[tenant_id]:
                del self._boards[tenant_id]

    async def _read_top(self, tenant_id: str, size: int) -> contract.LeaderboardTop:
        async with self._readers:
            return await self._read(tenant_id, size)
