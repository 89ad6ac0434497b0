"""The tops of leaderboards that are watched: read when they can have changed, once for all who watch."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from leadscore.query.v1 import query_service_pb2 as query

from services.query import leaderboard_watch
from services.query.announcements import Announcement
from services.query.leaderboard_watch import HEARTBEAT, Leaderboards
from services.shared.errors import Unavailable
from tests.announced import Leads


class Table:
    """Leaderboards in memory, which count how often they are read."""

    def __init__(self) -> None:
        self.scores: dict[str, int] = {}
        self.reads = 0
        self.at_once = 0
        self.error: Exception | None = None
        self.read_again = asyncio.Condition()
        self.begun = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()

    async def read(self, tenant_id: str, size: int) -> query.LeaderboardTop:
        self.at_once += 1
        assert self.at_once == 1, "one reading at a time"
        self.begun.set()
        await self.held.wait()
        self.at_once -= 1
        async with self.read_again:
            self.reads += 1
            self.read_again.notify_all()
        if self.error:
            raise self.error
        first = sorted(self.scores, key=lambda lead_id: (-self.scores[lead_id], lead_id))[:size]
        entries = [query.LeaderboardEntry(lead_id=each, score=self.scores[each]) for each in first]
        return query.LeaderboardTop(entries=entries, total_leads=len(self.scores))

    async def was_read(self, times: int) -> None:
        async with asyncio.timeout(10), self.read_again:
            await self.read_again.wait_for(lambda: self.reads >= times)


@pytest.fixture
async def table() -> Table:
    return Table()


@pytest.fixture
async def boards(table: Table, monkeypatch: pytest.MonkeyPatch) -> Leaderboards:
    monkeypatch.setattr(leaderboard_watch, "INTERVAL_S", 0.001)
    monkeypatch.setattr(leaderboard_watch, "RETRY_S", 0.001)
    return Leaderboards(table.read)


def announce(boards: Leaderboards, *lead_ids: str, score_max: int = 0) -> None:
    announcement: Announcement = Leads().announcement(1, lead_ids)
    announcement.score_max = score_max
    for board in boards.of("demo"):
        board.offer(announcement)


async def shown(messages: AsyncGenerator[bytes, None]) -> list[tuple[str, int]]:
    """The next top."""
    async with asyncio.timeout(10):
        while (message := await anext(messages)) == HEARTBEAT:
            pass
    return [(each.lead_id, each.score) for each in query.WatchLeaderboardResponse.FromString(message).top.entries]


async def test_the_top_comes_as_it_is_and_then_as_it_becomes(table: Table, boards: Leaderboards) -> None:
    table.scores = {"ada": 50, "grace": 40, "linus": 30}
    watching = boards.watch("demo", 2)
    assert await shown(watching) == [("ada", 50), ("grace", 40)]
    table.scores["linus"] = 60
    announce(boards, "linus", score_max=60)
    assert await shown(watching) == [("linus", 60), ("ada", 50)]
    table.scores["linus"] = 10
    announce(boards, "linus", score_max=0)
    assert await shown(watching) == [("ada", 50), ("grace", 40)], "a lead of the top fell"


async def test_what_cannot_concern_the_top_has_nothing_read(table: Table, boards: Leaderboards) -> None:
    table.scores = {"ada": 50, "grace": 40, "linus": 30}
    watching = boards.watch("demo", 2)
    await shown(watching)
    announce(boards, "linus", score_max=39)
    (board,) = boards.of("demo")
    assert not board._look.is_set()
    announce(boards, "linus", score_max=40)
    assert board._look.is_set(), "a lead with the score of the last one may be before it"


async def test_a_top_that_is_not_full_is_concerned_by_everything(table: Table, boards: Leaderboards) -> None:
    table.scores = {"ada": 50}
    watching = boards.watch("demo", 2)
    await shown(watching)
    table.scores["zoe"] = 0
    announce(boards, "zoe")
    assert await shown(watching) == [("ada", 50), ("zoe", 0)]


async def test_a_change_while_the_top_is_read_has_it_read_again(table: Table, boards: Leaderboards) -> None:
    table.held.clear()
    watching = boards.watch("demo", 1)
    first = asyncio.create_task(shown(watching))
    await table.begun.wait()
    announce(boards, "ada", score_max=1)
    table.held.set()
    await first
    await table.was_read(2)


async def test_all_who_watch_get_the_same_bytes_of_one_reading(table: Table, boards: Leaderboards) -> None:
    table.scores = {"ada": 1}
    watching = [boards.watch("demo", size) for size in (10, 0, 10) * 100]
    first, *others = await asyncio.gather(*(anext(each) for each in watching))
    assert table.reads == 1 and all(each is first for each in others)
    table.scores["ada"] = 2
    announce(boards, "ada", score_max=2)
    first, *others = await asyncio.gather(*(anext(each) for each in watching))
    assert table.reads == 2 and all(each is first for each in others)


async def test_a_slow_watcher_gets_the_newest_top_and_none_in_between(table: Table, boards: Leaderboards) -> None:
    slow, quick = boards.watch("demo", 1), boards.watch("demo", 1)
    await shown(slow)
    await shown(quick)
    for score in range(1, 6):
        table.scores["ada"] = score
        announce(boards, "ada", score_max=score)
        assert await shown(quick) == [("ada", score)]
    assert await shown(slow) == [("ada", 5)]


async def test_a_change_that_leaves_the_top_as_it_was_is_not_shown(
    table: Table, boards: Leaderboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard_watch, "HEARTBEAT_S", 0.05)
    table.scores = {"ada": 1}
    watching = boards.watch("demo", 1)
    await shown(watching)
    announce(boards, "ada", score_max=1)
    await table.was_read(2)
    assert await anext(watching) == HEARTBEAT


async def test_what_is_not_announced_is_seen_all_the_same(
    table: Table, boards: Leaderboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard_watch, "REFRESH_S", 0.01)
    table.scores = {"ada": 1}
    watching = boards.watch("demo", 1)
    await shown(watching)
    table.scores["ada"] = 2
    assert await shown(watching) == [("ada", 2)]


async def test_a_database_that_is_away_is_waited_for(table: Table, boards: Leaderboards) -> None:
    table.error = Unavailable("the database is away")
    watching = boards.watch("demo", 1)
    first = asyncio.create_task(shown(watching))
    await table.was_read(3)
    table.error, table.scores = None, {"ada": 1}
    assert await first == [("ada", 1)]


async def test_a_failure_of_ours_is_told_to_all_who_watch(table: Table, boards: Leaderboards) -> None:
    table.error = ZeroDivisionError()
    watching = [boards.watch("demo", 1) for _ in range(2)]
    results = await asyncio.gather(*(anext(each) for each in watching), return_exceptions=True)
    assert results == [table.error] * 2
    assert list(boards.of("demo")) == []
    table.error = None
    assert await shown(boards.watch("demo", 1)) == []


async def test_nothing_is_read_when_nobody_watches_any_more(table: Table, boards: Leaderboards) -> None:
    one, other = boards.watch("demo", 1), boards.watch("demo", 1)
    await shown(one)
    await shown(other)
    (board,) = boards.of("demo")
    await one.aclose()
    assert list(boards.of("demo")) == [board]
    await other.aclose()
    assert list(boards.of("demo")) == [] and board._task is not None
    await asyncio.wait([board._task])
    assert board._task.cancelled()


async def test_watches_end_when_the_service_stops_and_none_begins(boards: Leaderboards) -> None:
    watching = boards.watch("demo", 1)
    await shown(watching)
    boards.stop()
    with pytest.raises(Unavailable):
        await anext(watching)
    with pytest.raises(Unavailable):
        await anext(boards.watch("demo", 1))
