"""The parts of the benchmark by name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part: the module that measures it (one may measure several at a time), and the ratio that is wanted of it."""

    module: str
    wanted: float | None = None
    quick: bool = False
    """Whether it belongs to the short run that guards against getting slower."""


PARTS = {
    # First: a disk that still writes what others have left behind is slow to sync.
    "latency_p50": Part("latency", 2, quick=True),
    "latency_p99": Part("latency", 4),
    "throughput": Part("throughput", 0.5, quick=True),
    "bullmq": Part("bullmq", 10),
    "rest": Part("rest", 0.6, quick=True),
    "reads": Part("reads", 2),
    "watchers": Part("watchers", 0.5),
    "watchers_p99": Part("watchers"),
    "watchers_memory": Part("watchers"),
    "watchers_stuck": Part("watchers", 1),
    "rescore": Part("rescore", 5, quick=True),
    "growth": Part("growth", 0.8),
    "memory": Part("memory", 1),
    "start": Part("start", quick=True),
}
