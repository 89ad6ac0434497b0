"""The memory of each process through a long load, against what it has after a warm-up."""

from bench.outcome import Outcome
from bench.suite import running_suite
from bench.throughput import events_per_s

WARM_UP = 200_000
EVENTS = 2_000_000
QUICK_WARM_UP = 60_000
QUICK_EVENTS = 120_000
ROUND = 100_000
LEADS_MB_MAX = 200
"""What each process is meant to stay under."""
OURS = ("ingest", "scorer", "query", "gateway")


async def measure(quick: bool) -> dict[str, Outcome]:
    """The largest of the suite's own processes at the end, against the same after the warm-up."""
    number, warm_up = (QUICK_EVENTS, QUICK_WARM_UP) if quick else (EVENTS, WARM_UP)
    async with running_suite() as suite:
        await events_per_s(suite, warm_up, seed=0)
        start = {name: mb for name, mb in suite.rss_mb().items() if name in OURS}
        most = dict(start)
        for round in range(number // ROUND or 1):
            await events_per_s(suite, min(ROUND, number), seed=round + 1)
            most = {name: max(mb, most[name]) for name, mb in suite.rss_mb().items() if name in OURS}
    largest = max(most, key=lambda name: most[name])
    details = {f"{name}, MB": f"{start[name]:.0f} -> {most[name]:.0f}" for name in sorted(most)}
    return {"memory": Outcome(most[largest], start[largest], "MB", more_is_better=False, details=details)}
