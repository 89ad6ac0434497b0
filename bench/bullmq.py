"""Events a second against what people build instead: BullMQ workers on Redis, one transaction for each event.

The other side is bullmq/: jobs on a real redis-server, added in bulk; workers that do the same for an event, the plain
way: is its id known, lock the lead, score it, write event, lead and ledger, commit. The events are the same, PostgreSQL
has the same settings, all is on one machine. Its time, too, is from the first event added until the last is done; it
has had a warm-up.

It is held against its best: connections to the database and jobs at a time, one process of workers or two, statements
in turn or pipelined. Redis writes its append-only file once a second (`appendfsync everysec`, as it is usual): what was
added within the last second may be lost, where leadscore has acknowledged what is on disk. `always` is a detail.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psycopg

from bench.load import events
from bench.node import NodeProcess, install
from bench.outcome import Outcome
from bench.redis import Redis
from bench.suite import running_suite
from bench.throughput import events_per_s
from embedded.postgres import Postgres

PROJECT = Path(__file__).with_name("bullmq")
SCHEMA = (PROJECT / "schema.sql").read_text()
EVENTS = 200_000
QUICK_EVENTS = 20_000
JOBS = 10_000
QUICK_JOBS = 1_500
WARM_UP_JOBS = 500
"""Enough for the compiler of node to have seen everything."""
BATCH = 1_000
"""Jobs that are added at a time; more at a time are not faster."""
TRIAL_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Setting:
    """How the workers run; `concurrency` is jobs at a time and connections of each process."""

    concurrency: int
    processes: int = 1
    pipeline: bool = True

    def __str__(self) -> str:
        ways = "pipelined" if self.pipeline else "in turn"
        return f"{self.processes} x {self.concurrency:2} {ways}"


SETTINGS = [
    *(Setting(concurrency, 1, pipeline) for concurrency, pipeline in product((1, 2, 4, 8, 16, 32, 64), (False, True))),
    *(Setting(concurrency, 2, pipeline) for concurrency, pipeline in product((4, 8, 16, 32), (False, True))),
]
QUICK_SETTINGS = [Setting(8, pipeline=False), Setting(8), Setting(16)]
"""Those that were among the best."""


async def measure(quick: bool) -> dict[str, Outcome]:
    """Events a second of the suite, and of BullMQ at its best."""
    await install(PROJECT)
    async with running_suite() as suite:
        value = await events_per_s(suite, QUICK_EVENTS if quick else EVENTS)
    settings, jobs = (QUICK_SETTINGS, QUICK_JOBS) if quick else (SETTINGS, JOBS)
    async with _servers() as (plain, careful):
        found = {setting: await plain.events_per_s(setting, jobs) for setting in settings}
        best = max(found, key=lambda setting: found[setting])
        always = await careful.events_per_s(best, jobs)
    details = {f"BullMQ, {setting}": round(rate) for setting, rate in found.items()}
    details[f"BullMQ, {best}, appendfsync always"] = round(always)
    return {"bullmq": Outcome(value, found[best], "events/s", more_is_better=True, details=details)}


class Plain:
    """Redis and PostgreSQL, ready for trials."""

    def __init__(self, folder: Path, redis: Redis, postgres: Postgres) -> None:
        self._folder = folder
        self._redis = redis
        self._postgres = postgres
        self._trials = 0

    async def events_per_s(self, setting: Setting, jobs: int) -> float:
        """One trial, with tables of its own."""
        self._trials += 1
        url = await self._database(f"trial_{self._redis.port}_{self._trials}")
        file = self._folder / "events.ndjson"
        await asyncio.to_thread(_write_events, file, jobs + WARM_UP_JOBS, seed=self._trials)
        workers = {
            "redisPort": self._redis.port,
            "databaseUrl": url,
            "concurrency": setting.concurrency,
            "pipeline": setting.pipeline,
        }
        producer = {"redisPort": self._redis.port, "file": str(file), "batch": BATCH}
        async with AsyncExitStack() as stack, asyncio.timeout(TRIAL_DEADLINE_S):
            done = Done()
            for _ in range(setting.processes):
                await stack.enter_async_context(NodeProcess(PROJECT / "worker.mjs", workers, done.counter()))
            adding = await stack.enter_async_context(NodeProcess(PROJECT / "producer.mjs", producer))
            adding.send(str(WARM_UP_JOBS))
            await done.reaches(WARM_UP_JOBS)
            loop = asyncio.get_running_loop()
            started = loop.time()
            adding.send(str(jobs))
            await done.reaches(jobs + WARM_UP_JOBS)
            taken = loop.time() - started
        await self._check(url, jobs + WARM_UP_JOBS)
        return jobs / taken

    async def _database(self, name: str) -> str:
        async with await psycopg.AsyncConnection.connect(self._postgres.url, autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {name}".encode())
        url = self._postgres.url_of(name)
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(SCHEMA.encode())
        return url

    async def _check(self, url: str, number: int) -> None:
        """It has to be right, too: a figure for work that was not done would say nothing."""
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(
                "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM ledger), (SELECT sum(score) FROM leads), "
                "(SELECT sum(score_after - score_before) FROM ledger)"
            )
            events, changes, scores, deltas = await cursor.fetchone() or (0, 0, 0, 0)
        assert (events, changes, scores) == (number, number, deltas), (events, changes, scores, deltas)


class Done:
    """How many jobs are done, over all workers."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._changed = asyncio.Event()

    def counter(self) -> Callable[[str], None]:
        """What is told of one more worker."""
        self._counts.append(0)
        number = len(self._counts) - 1

        def count(line: str) -> None:
            self._counts[number] = int(line)
            self._changed.set()

        return count

    async def reaches(self, number: int) -> None:
        """Waits until so many are done."""
        while sum(self._counts) < number:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def _servers() -> AsyncIterator[tuple[Plain, Plain]]:
    """The same with a Redis that is durable every second, and with one that always is."""
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL's own account passes through
        plain, careful = (Redis(folder / each, appendfsync=each) for each in ("everysec", "always"))
        postgres = Postgres(folder / "postgres")
        await asyncio.gather(plain.start(), careful.start(), postgres.start())
        try:
            yield Plain(folder, plain, postgres), Plain(folder, careful, postgres)
        finally:
            await asyncio.gather(plain.stop(), careful.stop(), postgres.stop())


def _write_events(file: Path, number: int, seed: int) -> None:
    with file.open("w") as lines:
        for event in events(number, seed):
            shown = {
                "eventId": event.event_id,
                "leadId": event.lead_id,
                "type": event.type,
                "source": event.source,
                "occurredAt": event.occurred_at.ToJsonString(),
            }
            lines.write(json.dumps(shown) + "\n")
