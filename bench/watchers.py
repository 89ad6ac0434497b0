"""5 000 watchers of one query process while 1 000 changes a second are announced, against plain streams of grpc.aio.

Each watcher follows five leads of 250, so every change of one of these goes to a hundred watchers; how many of the
thousand changes a second are of such leads sets how many messages all watchers get together: the pace. It is stepped up
until neither side keeps it. At each pace first the plain streams (plain_streams.py: fed from memory, with the same
bytes) are measured, then the query process (changes are announced to JetStream, ten at a time, every 10 ms). The
watchers of each are a process of hand-written clients (crowd.py), which take more than either side sends: the details
have the processor time of both for a message.

- `watchers`: the most messages a second at any pace, from the first announced until the last is with its watcher.
- `watchers_p99`: how old a change is when its watcher has it, at the lowest pace; with announcing, fsync and all.
- `watchers_memory`: what the process has grown by when all watch, for each of them.
- `watchers_stuck`: p99 at the lowest pace with a hundred more watchers that want every change and read none, against
  without; the rate at the highest pace is a detail.

That each change is with each of its watchers once, and that no watch has ended, is checked at every pace.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

import psutil
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from bench.changes import TICK_S, WATCHERS, followed_by, messages_for, other_change, ticks
from bench.crowd import Crowd, Received
from bench.outcome import Outcome
from bench.plain_streams import PlainStreams
from bench.remote import Remote
from bench.suite import running_suite
from services.shared import bus as stream
from services.shared.settings import Settings

STUCK = 100
STUCK_WINDOW_BYTES = 1_000
"""Enough for the first messages, then nothing goes any more."""
STUCK_AT_ONCE = 500
STUCK_BEHIND = 5_000
"""Changes that a stuck watcher has missed before it is measured beside: more than wait for one in order."""
PACES = (5_000, 10_000, 15_000, 20_000, 30_000, 50_000)
QUICK_PACES = (5_000, 30_000)
SECONDS = 8.0
QUICK_SECONDS = 1.0
SETTLE_S = 0.2
DEADLINE_S = 60.0
"""How long it may take to deliver what one pace has left over."""


async def measure(quick: bool) -> dict[str, Outcome]:
    """Pace by pace, both sides, and then beside watchers that are stuck."""
    paces, seconds = (QUICK_PACES, QUICK_SECONDS) if quick else (PACES, SECONDS)
    async with _sides() as (plain, query, get_stuck):
        by_plain, by_query = {}, {}
        for pace in paces:
            by_plain[pace] = await plain.at(pace, seconds)
            by_query[pace] = await query.at(pace, seconds)
        await get_stuck()
        beside_stuck = {pace: await query.at(pace, seconds) for pace in (paces[0], paces[-1])}
    best, floor = (max(each.messages_per_s for each in by.values()) for by in (by_query, by_plain))
    details = {}
    for name, by in {"plain": by_plain, "query": by_query, "query, some stuck": beside_stuck}.items():
        for pace, each in by.items():
            details[f"{name}, {pace}/s"] = str(each)
    first = paces[0]
    return {
        "watchers": Outcome(best, floor, "messages/s", more_is_better=True, details=details),
        "watchers_p99": Outcome(by_query[first].p99_ms, by_plain[first].p99_ms, "ms", more_is_better=False),
        "watchers_memory": Outcome(query.watcher_kb, plain.watcher_kb, "kB", more_is_better=False),
        "watchers_stuck": Outcome(beside_stuck[first].p99_ms, by_query[first].p99_ms, "ms", more_is_better=False),
    }


class Delivered(NamedTuple):
    """What one side did at one pace."""

    messages_per_s: float
    p99_ms: float
    server_us: float
    """Processor time of the server for each message."""
    crowd_us: float
    """That of the watchers."""

    def __str__(self) -> str:
        return (
            f"{self.messages_per_s:.0f}/s, p99 {self.p99_ms:.0f} ms; "
            f"processor us/message: {self.server_us:.0f}, watchers {self.crowd_us:.0f}"
        )


class Feeder(Protocol):
    """What changes come from."""

    async def feed(self, messages_per_s: int, seconds: float) -> int:
        """Feeds all watchers at a pace. Answers how many messages that is."""


class Side:
    """One of the two servers, with its watchers."""

    def __init__(self, feeder: Feeder, crowd: Remote, pid: int) -> None:
        self._feeder = feeder
        self._crowd = crowd
        self._process = psutil.Process(pid)
        self._watching = psutil.Process(crowd.pid)
        self.watcher_kb = 0.0

    async def open(self, address: str) -> None:
        """Opens all watches, and sees what they weigh."""
        before = self._process.memory_info().rss
        await self._crowd.ask("open", address, [followed_by(watcher) for watcher in range(WATCHERS)])
        self.watcher_kb = (self._process.memory_info().rss - before) / WATCHERS / 1e3

    async def at(self, messages_per_s: int, seconds: float) -> Delivered:
        """Sends at a pace and waits until all is delivered."""
        started, server_s, crowd_s = time.monotonic(), _cpu_s(self._process), _cpu_s(self._watching)
        fed = await self._feeder.feed(messages_per_s, seconds)
        received: Received = await self._crowd.ask("received", fed, DEADLINE_S)
        assert (len(received.ages_s), received.ended) == (fed, 0), "every change is with every watcher, once"
        p99_ms = statistics.quantiles(received.ages_s, n=100)[98] * 1e3
        server_us, crowd_us = (
            (_cpu_s(process) - before) / fed * 1e6
            for process, before in ((self._process, server_s), (self._watching, crowd_s))
        )
        return Delivered(fed / (received.last_s - started), p99_ms, server_us, crowd_us)


class Plain:
    """Feeds the plain streams."""

    def __init__(self, streams: Remote) -> None:
        self._streams = streams

    async def feed(self, messages_per_s: int, seconds: float) -> int:
        """Has them fed from their own memory."""
        fed: int = await self._streams.ask("feed", messages_per_s, seconds)
        return fed


class Announcer:
    """Announces changes as scorers do."""

    def __init__(self, bus: stream.Bus) -> None:
        self._bus = bus
        self._numbers = itertools.count()

    async def feed(self, messages_per_s: int, seconds: float) -> int:
        """Announces changes at a pace."""
        loop = asyncio.get_running_loop()
        started, fed, announcing = loop.time(), 0, []
        for number, updates in enumerate(ticks(messages_per_s, seconds), 1):
            announcing.append(asyncio.create_task(self.announce(updates)))
            fed += messages_for(updates)
            await asyncio.sleep(max(0.0, started + number * TICK_S - loop.time()))
        await asyncio.gather(*announcing)
        return fed

    async def announce(self, updates: Iterable[score_pb2.ScoreUpdate]) -> None:
        """One announcement."""
        payload = stream_pb2.ScoreAnnouncement(updates=updates).SerializeToString()
        await self._bus.announce([("demo", payload, f"bench-{next(self._numbers)}")])


@asynccontextmanager
async def _sides() -> AsyncIterator[tuple[Side, Side, Callable[[], Awaitable[None]]]]:
    """The plain streams and the query process, each with its watchers, and what opens stuck watches beside."""
    async with AsyncExitStack() as stack:
        suite = await stack.enter_async_context(running_suite())
        settings = Settings(nats_url=suite.nats.url)
        announcer = Announcer(await stack.enter_async_context(stream.connect(settings, "bench", lambda: None)))
        streams, at_streams, at_query, stuck = [
            await stack.enter_async_context(Remote(kind)) for kind in (PlainStreams, Crowd, Crowd, Crowd)
        ]
        plain = Side(Plain(streams), at_streams, streams.pid)
        query = Side(announcer, at_query, suite.processes()["query"][0].pid)
        await plain.open(await streams.ask("start"))
        await query.open(suite.doors["query"])

        async def get_stuck() -> None:
            await stuck.ask("open", suite.doors["query"], [[]] * STUCK, STUCK_WINDOW_BYTES)
            for start in range(0, STUCK_BEHIND, STUCK_AT_ONCE):
                await announcer.announce(map(other_change, range(start, start + STUCK_AT_ONCE)))
            await query.at(PACES[0], SETTLE_S)  # What is delivered behind all that says that it has been taken in.

        yield plain, query, get_stuck


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
