"""Reads at a million leads: how long each takes at a steady rate, while events come in.

A mix of all reads over gRPC, begun on time whether the ones before have ended or not. Against the best plain SQL for
the same answers, each on a connection of its own, in the same run under the same load: in turns, a few seconds each.
And how each read grows from ten thousand leads.

LEADSCORE_BENCH_FOLDER names a folder that keeps the filled databases for the next run of the day.
"""

import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from grpc import aio
from leadscore.query.v1 import query_service_pb2_grpc

from bench.filled import filled_database
from bench.histories import TENANT, lead_id_of
from bench.outcome import Outcome
from bench.pace import steadily
from bench.plain_sql import PAGE
from bench.read_mix import Place, Read, reads
from bench.steady_load import steady_load
from bench.suite import Suite, suite_on
from embedded.postgres import Postgres

KINDS, QUICK_KINDS = 10_000, 1_000
"""Different leads; the others are copies of them."""
COPIES, QUICK_COPIES = (1, 100), (10, 50)
SECONDS, QUICK_SECONDS = 60, 4
"""For gRPC and for plain SQL each."""
TURN_S = 4.0
RATE = 50
EVENTS_PER_S = 2_000
WARM_UP_S = 3.0
TIMEOUT_S = 30.0
DEEP_PAGE = 5_000
DEAR = "movers"
"""It grows with the number of leads, to seconds on both cores: asked one by one after all others, both sides anew each
time, and beginning in turns: after many changes whoever comes first takes several times as long as the next."""
DEAR_ASKED = 6
PLACE = "SELECT lead_id, score FROM leads WHERE tenant_id = %s ORDER BY score DESC, lead_id LIMIT 1 OFFSET %s"

Reader = Callable[[Read], Awaitable[Any]]
Times = dict[str, list[float]]
"""Milliseconds, by read."""


async def measure(quick: bool) -> dict[str, Outcome]:
    """The 99th percentile of the mix with the most leads, of the reads that do not grow."""
    kinds, seconds = (QUICK_KINDS, QUICK_SECONDS) if quick else (KINDS, SECONDS)
    few, many = QUICK_COPIES if quick else COPIES
    async with _postgres() as postgres:
        before, _ = await _measured(postgres, kinds, few, seconds)
        ours, plain = await _measured(postgres, kinds, many, seconds)
    details = {
        f"{name} (beside)" if name == DEAR else name: _shown(ours[name], plain[name], before[name]) for name in ours
    }
    all_ours, all_plain = (
        _p99([each for name, found in times.items() if name != DEAR for each in found]) for times in (ours, plain)
    )
    return {"reads": Outcome(all_ours, all_plain, "ms", more_is_better=False, details=details)}


def _shown(ours: Sequence[float], plain: Sequence[float], before: Sequence[float]) -> str:
    p50, p99, growth = statistics.median(ours), _p99(ours), statistics.median(ours) / statistics.median(before)
    against = f"plain SQL {statistics.median(plain):.1f} and {_p99(plain):.1f}"
    return f"p50 {p50:.1f}, p99 {p99:.1f} ms; {against}; p99 x{p99 / _p99(plain):.2f}; p50 grew x{growth:.2f}"


@asynccontextmanager
async def _postgres() -> AsyncIterator[Postgres]:
    """A server of our own, whose databases are kept if a folder is named."""
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        Path(name).chmod(0o755)  # noqa: ASYNC240 - PostgreSQL's own account passes through
        postgres = Postgres(Path(os.environ.get("LEADSCORE_BENCH_FOLDER") or name) / "postgres")
        await postgres.start()
        try:
            yield postgres
        finally:
            await postgres.stop()


async def _measured(postgres: Postgres, kinds: int, copies: int, seconds: float) -> tuple[Times, Times]:
    """Over gRPC, and by plain SQL."""
    url = postgres.url_of(await filled_database(postgres, kinds, copies))
    async with suite_on(postgres, url) as suite, _readers(suite, url) as (ask, query):
        chance = random.Random(kinds)

        def draw_lead() -> str:
            return lead_id_of(chance.randrange(kinds), chance.randrange(copies))

        mix = reads(draw_lead, await _middle(url, kinds * copies))
        for draw in mix.values():
            await _compare(draw(), ask, query)
        async with steady_load(suite, EVENTS_PER_S, draw_lead):
            for reader in (ask, query):
                await _turn(mix, reader, WARM_UP_S, defaultdict(list), chance)
            ours: Times = defaultdict(list)
            plain: Times = defaultdict(list)
            gc.collect()
            gc.freeze()  # What is here already took the collector 60 ms of this process, in the middle of a turn.
            for _ in range(int(seconds / TURN_S)):
                await _turn(mix, ask, TURN_S, ours, chance)
                await _turn(mix, query, TURN_S, plain, chance)
            sides = [(ask, ours), (query, plain)]
            for _ in range(DEAR_ASKED):
                sides.reverse()
                for reader, times in sides:
                    await _timed(reader, mix[DEAR](), time.perf_counter(), times[DEAR])
    return ours, plain


@asynccontextmanager
async def _readers(suite: Suite, url: str) -> AsyncIterator[tuple[Reader, Reader]]:
    connections: dict[str, psycopg.AsyncConnection[Any]] = {}
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(aio.insecure_channel(suite.doors["query"]))
        stub = query_service_pb2_grpc.QueryServiceStub(channel)

        async def ask(read: Read) -> Any:
            return await getattr(stub, read.rpc)(read.request, timeout=TIMEOUT_S)

        async def query(read: Read) -> Any:
            if read.statement not in connections:
                connecting = psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
                connections[read.statement] = await stack.enter_async_context(await connecting)
            cursor = connections[read.statement].cursor(binary=True)
            await cursor.execute(read.statement.encode(), read.parameters)
            return await cursor.fetchall()

        yield ask, query


async def _middle(url: str, leads: int) -> Place:
    """The last place before page 5 000, or before the middle where there are not so many."""
    places = min(PAGE * (DEEP_PAGE - 1), leads // 2)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(PLACE, [TENANT, places - 1])).fetchone()
    assert row is not None
    return Place(*row)


async def _compare(read: Read, ask: Reader, query: Reader) -> None:
    """Makes sure that both answers are of one length, where they consist of the same rows."""
    answer, rows = await ask(read), await query(read)
    if read.rows:
        assert len(getattr(answer, read.rows)) == len(rows) > 0, f"{read.rpc}: {len(rows)} rows for {answer}"


async def _turn(
    mix: Mapping[str, Callable[[], Read]], reader: Reader, seconds: float, times: Times, chance: random.Random
) -> None:
    """All reads in turns, in an order by chance, each at its time."""
    reading: list[asyncio.Task[None]] = []
    in_turns, names = [name for name in mix if name != DEAR], list[str]()
    async for moment in steadily(RATE, int(RATE * seconds)):
        names = names or chance.sample(in_turns, len(in_turns))
        name = names.pop()
        reading.append(asyncio.create_task(_timed(reader, mix[name](), moment, times[name])))
    await asyncio.gather(*reading)


async def _timed(reader: Reader, read: Read, begun: float, times: list[float]) -> None:
    await reader(read)
    times.append((time.perf_counter() - begun) * 1e3)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
