"""Runs the parts that are named, or all of them."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

PARTS = ("latency", "throughput")
RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    """Measures, prints, and writes down."""
    wanted = sys.argv[1:] or PARTS
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in wanted:
        results[part] = importlib.import_module(f"bench.{part}").measure()
        for name, value in results[part].items():
            print(f"{part:12} {name:28} {value}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
