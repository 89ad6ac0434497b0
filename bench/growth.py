"""Throughput as things grow: more rows stored, more scorers, more partitions; against the empty, single case.

Each figure is the middle of some runs: one by itself says more about the minute than about the case.
"""

import asyncio
import statistics

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


async def measure(quick: bool) -> dict[str, Outcome]:
    """The worst of the cases is the figure."""
    number, rows = (QUICK_EVENTS, QUICK_ROWS) if quick else (EVENTS, ROWS)
    found: dict[str, float] = {}
    async with running_suite() as suite:
        alone = await _middle(suite, number, 1)
        stored = 0
        for goal in rows:
            await asyncio.to_thread(_fill, suite, stored, goal)
            stored = goal
            found[f"{goal / 1e6:g} million rows"] = await _middle(suite, number, goal)
        by_time = await _middle(suite, number, 1, by_time=True)
    async with running_suite() as suite:
        for scorers in (2, 4):
            while len(suite.more) + 1 < scorers:
                suite.add_scorer()
            await _shared_out(suite, scorers)
            found[f"{scorers} scorers"] = await _middle(suite, number, scorers * RUNS)
    async with running_suite(LEADSCORE_PARTITIONS=str(PARTITIONS)) as suite:
        found[f"{PARTITIONS} partitions"] = await _middle(suite, number, 1)
    beside = {"alone": alone, **found, f"{stored / 1e6:g} million rows, ids by time (beside)": by_time}
    details = {f"{name}, events/s": round(each) for name, each in beside.items()}
    return {"growth": Outcome(min(found.values()), alone, "events/s", more_is_better=True, details=details)}


async def _middle(suite: Suite, number: int, seed: int, *, by_time: bool = False) -> float:
    """Events a second, from seed on: no two runs send the same events."""
    return statistics.median([await events_per_s(suite, number, seed + run, by_time=by_time) for run in range(RUNS)])


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
