"""The results as pictures, beside the table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt


def draw(results: Mapping[str, Mapping[str, Any]], aims: Mapping[str, float], folder: Path) -> list[Path]:
    """Draws what is there: every ratio beside what is wanted, and what an event costs each process."""
    drawn = [_ratios(results, aims, folder / "ratios.svg")]
    if costs := _costs(results.get("throughput", {})):
        drawn.append(_budget(costs, folder / "budget.svg"))
    return drawn


def _ratios(results: Mapping[str, Mapping[str, Any]], aims: Mapping[str, float], path: Path) -> Path:
    names = [name for name in results if name in aims]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1.2), layout="constrained")
    axes.barh(names, [results[name]["ratio"] for name in names], color="#4878a8")
    for number, name in enumerate(names):
        axes.plot([aims[name]] * 2, [number - 0.4, number + 0.4], color="#c44e52", linewidth=2)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("ratio to what it is held against (red: what is wanted)")
    return _save(figure, path)


def _costs(throughput: Mapping[str, Any]) -> dict[str, float]:
    ending = ", processor us/event"
    return {name.removesuffix(ending): value for name, value in throughput.items() if name.endswith(ending)}


def _budget(costs: Mapping[str, float], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.bar(list(costs), list(costs.values()), color="#4878a8")
    axes.set_ylabel("processor time, us/event")
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path)
    plt.close(figure)
    return path
