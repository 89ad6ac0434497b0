"""Throughput as things grow: more rows stored, more scorers, more partitions; against the empty, single case.

Each figure is the middle of some runs, with runs of the empty case between them: one by itself says more about the
minute than about the case.
"""

import asyncio
import statistics
from typing import NamedTuple

import psycopg

from bench.outcome import Outcome
from bench.suite import Suite, running_suite
from bench.throughput import events_per_s

EVENTS = 100_000
QUICK_EVENTS = 30_000
RUNS = 3
ROWS = (5_000_000, 20_000_000)
QUICK_ROWS = (500_000,)
PARTITIONS = 64
LOOK_S = 0.1
"""Scorers tell nobody that they have shared the partitions; the database shows it."""

FILL_LEDGER = """
INSERT INTO ledger
SELECT 'demo', 'old-' || (n / 20), n %% 20 + 1, 5, 0, 5, 1, md5(n::text), 'page_view', now(), now(), 1,
    '[{"rule": "page_view", "count": 1, "points": 5.0}]', NULL
FROM generate_series(%s::int8, %s::int8) AS n
"""
FILL_EVENTS = """
INSERT INTO events
SELECT 'demo', md5(n::text), 'old-' || (n / 20), 'page_view', now(), now(), 'bench', NULL, decode(md5(n::text), 'hex')
FROM generate_series(%s::int8, %s::int8) AS n
"""
STEP = 500_000


class Pair(NamedTuple):
    """Events a second."""

    case: float
    alone: float


async def measure(quick: bool) -> dict[str, Outcome]:
    """The worst of the cases is the figure."""
    number, rows = (QUICK_EVENTS, QUICK_ROWS) if quick else (EVENTS, ROWS)
    found: dict[str, Pair] = {}
    async with running_suite() as suite:
        stored = 0
        for goal in rows:
            await asyncio.to_thread(_fill, suite, stored, goal)
            stored = goal
            found[f"{goal / 1e6:g} million rows"] = await _in_turns(suite, number, goal)
        by_time = await _in_turns(suite, number, 1, by_time=True)
    async with running_suite() as suite:
        for scorers in (2, 4):
            while len(suite.more) + 1 < scorers:
                suite.add_scorer()
            await _shared_out(suite, scorers)
            found[f"{scorers} scorers"] = await _in_turns(suite, number, scorers * RUNS)
    async with running_suite(LEADSCORE_PARTITIONS=str(PARTITIONS)) as suite:
        found[f"{PARTITIONS} partitions"] = await _in_turns(suite, number, 1)
    worst = min(found.values(), key=lambda pair: pair.case / pair.alone)
    beside = {**found, f"{stored / 1e6:g} million rows, ids by time (beside)": by_time}
    details = {f"{name}, events/s": f"{pair.case:.0f} of {pair.alone:.0f}" for name, pair in beside.items()}
    return {"growth": Outcome(worst.case, worst.alone, "events/s", more_is_better=True, details=details)}


async def _in_turns(suite: Suite, number: int, seed: int, *, by_time: bool = False) -> Pair:
    """Events a second of a suite and of an empty one that rests meanwhile, the same events in turns. From seed on: no
    two runs of a suite send the same.
    """
    case, alone = [], []
    async with running_suite() as empty:
        for run in range(seed, seed + RUNS):
            alone.append(await events_per_s(empty, number, run, by_time=by_time))
            case.append(await events_per_s(suite, number, run, by_time=by_time))
    return Pair(statistics.median(case), statistics.median(alone))


def _fill(suite: Suite, from_row: int, to_row: int) -> None:
    with psycopg.connect(suite.postgres.url, autocommit=True) as connection:
        for start in range(from_row, to_row, STEP):
            rows = [start, min(start + STEP, to_row) - 1]
            connection.execute(FILL_EVENTS, rows)
            connection.execute(FILL_LEDGER, rows)
        connection.execute("VACUUM ANALYZE")


async def _shared_out(suite: Suite, scorers: int) -> None:
    """Waits until so many scorers hold partitions."""
    with psycopg.connect(suite.postgres.url, autocommit=True) as connection:
        owners = "SELECT count(DISTINCT owner) FROM partitions, scorers WHERE scorer_id = owner AND alive_until > now()"
        while (found := connection.execute(owners).fetchone()) and found[0] < scorers:
            await asyncio.sleep(LOOK_S)
