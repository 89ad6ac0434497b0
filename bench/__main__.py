"""Runs the parts that are named, or all of them."""

import argparse
import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

from bench import kept, plots
from bench.outcome import NotMeasured, Outcome
from bench.parts import PARTS

RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "latest.json"


def main() -> None:
    """Measures, prints, writes down, draws; and compares with what is kept, if asked to."""
    asked = _arguments()
    outcomes = _measure(asked.parts, asked.quick)
    if asked.keep:
        kept.keep({name: _rounded(outcome.ratio) for name, outcome in outcomes.items()})
    if asked.compare:
        upwards = [name for name, outcome in outcomes.items() if outcome.more_is_better]
        lines, worse = kept.compare({name: outcome.ratio for name, outcome in outcomes.items()}, upwards)
        print("\nratios beside those that are kept:", *lines, sep="\n")
        raise SystemExit(worse)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the suite, part by part.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="a short version; of all parts only those that guard")
    parser.add_argument("--compare", action="store_true", help="compare with the ratios kept; exit code 1 if worse")
    parser.add_argument("--keep", action="store_true", help="keep today's ratios")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    asked.parts = asked.parts or [name for name, part in PARTS.items() if part.quick or not asked.quick]
    return asked


def _measure(wanted: list[str], quick: bool) -> dict[str, Outcome]:
    results: dict[str, Any] = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    found: dict[str, Outcome] = {}
    RESULTS.mkdir(exist_ok=True)
    for module in dict.fromkeys(PARTS[part].module for part in wanted):
        try:
            outcomes = asyncio.run(importlib.import_module(f"bench.{module}").measure(quick))
        except NotMeasured as missing:
            print(f"{module:15} not measured: {missing}")
            continue
        for name, outcome in outcomes.items():
            results[name] = _shown(outcome)
            _print(name, outcome)
        found |= outcomes
        LATEST.write_text(json.dumps(results, indent=2) + "\n")
    aims = {name: part.wanted for name, part in PARTS.items() if part.wanted is not None}
    print("drawn:", *plots.draw(results, aims, RESULTS))
    return found


def _rounded(figure: float) -> float:
    return float(f"{figure:.4g}")


def _shown(outcome: Outcome) -> dict[str, Any]:
    figures = {"value": outcome.value, "against": outcome.against, "ratio": outcome.ratio}
    return {**{name: _rounded(value) for name, value in figures.items()}, "unit": outcome.unit, **outcome.details}


def _print(name: str, outcome: Outcome) -> None:
    wanted = PARTS[name].wanted
    aim = "" if wanted is None else f" (wanted: {'at least' if outcome.more_is_better else 'at most'} {wanted:g})"
    figures = f"{outcome.value:>10,.4g} against {outcome.against:>10,.4g} {outcome.unit:10}"
    print(f"{name:15} {figures} = {outcome.ratio:.2f}{aim}", flush=True)
    for detail, value in outcome.details.items():
        print(f"{'':15}   {detail}: {value}")


if __name__ == "__main__":
    main()
