"""Runs the parts that are named, or all of them; `--quick` in a short version."""

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from bench.outcome import NotMeasured, Outcome

PARTS = {
    "throughput": "throughput",
    "rest": "rest",
    "latency_p50": "latency",
    "latency_p99": "latency",
    "rescore": "rescore",
    "growth": "growth",
    "memory": "memory",
    "start": "start",
    "bullmq": "bullmq",
    "watchers": "watchers",
    "watchers_p99": "watchers",
    "watchers_memory": "watchers",
    "watchers_stuck": "watchers",
    "reads": "reads",
}
"""Each part, and the module that measures it; one module may measure several at a time."""
RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    """Measures, prints, and writes down."""
    quick = "--quick" in sys.argv
    wanted = [each for each in sys.argv[1:] if each != "--quick"] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for module in dict.fromkeys(PARTS[part] for part in wanted):
        try:
            outcomes = asyncio.run(importlib.import_module(f"bench.{module}").measure(quick))
        except NotMeasured as missing:
            print(f"{module:14} not measured: {missing}")
            continue
        for name, outcome in outcomes.items():
            results[name] = _shown(outcome)
            _print(name, outcome)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def _shown(outcome: Outcome) -> dict[str, Any]:
    figures = {"value": outcome.value, "against": outcome.against, "ratio": outcome.ratio}
    return {**{name: float(f"{value:.4g}") for name, value in figures.items()}, "unit": outcome.unit, **outcome.details}


def _print(name: str, outcome: Outcome) -> None:
    print(
        f"{name:15} {outcome.value:>10,.4g} against {outcome.against:>10,.4g} {outcome.unit:10} = {outcome.ratio:.2f}"
    )
    for detail, value in outcome.details.items():
        print(f"{'':15}   {detail}: {value}")


if __name__ == "__main__":
    main()
