"""The ratios that are kept with the project, and which of today's have moved away from them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

KEPT = Path(__file__).parent / "kept.json"
MOVED = 0.3
"""Ratios of short runs on shared machines differ by a quarter from one run to the next; more than this is news."""


def keep(ratios: Mapping[str, float]) -> None:
    """Keeps ratios, beside those of other parts."""
    KEPT.write_text(json.dumps({**_kept(), **ratios}, indent=2, sort_keys=True) + "\n")


def compare(ratios: Mapping[str, float], more_is_better: Iterable[str]) -> tuple[list[str], bool]:
    """A line for each ratio beside the one that is kept, and whether any is clearly worse."""
    kept, better_up = _kept(), set(more_is_better)
    lines, any_worse = [], False
    for name, ratio in ratios.items():
        if not (before := kept.get(name)):
            lines.append(f"{name:15} {ratio:6.2f}, none is kept")
            continue
        change = ratio / before - 1
        worse = change < -MOVED if name in better_up else change > MOVED
        any_worse = any_worse or worse
        verdict = "WORSE" if worse else "better" if abs(change) > MOVED else "as it was"
        lines.append(f"{name:15} {ratio:6.2f}, kept {before:6.2f}, {change:+4.0%}: {verdict}")
    return lines, any_worse


def _kept() -> dict[str, float]:
    return dict(json.loads(KEPT.read_text())) if KEPT.exists() else {}
