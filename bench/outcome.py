"""What a part of the benchmark has found."""

from dataclasses import dataclass, field
from typing import Any


class NotMeasured(Exception):
    """A part needs something that this machine does not have; the message says what."""


@dataclass(frozen=True)
class Outcome:
    """A figure, the one that it is measured against in the same run, and what may help to understand it."""

    value: float
    against: float
    unit: str
    more_is_better: bool
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The figure in terms of the other one."""
        return self.value / self.against if self.against else 0.0
