"""A scoring model: the rules of one tenant in one version, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

DEFAULT_GROUP = "engagement"
DEFAULT_FIT_GROUP = "fit"
ANY = "*"
"""At the end of a rule's event type: every type that starts with what is before it."""


class Decay(StrEnum):
    """How an event loses weight with its age in whole UTC days."""

    HALF_LIFE = "half_life"
    """Half of it every `days`: 0.5 ** (age / days)."""
    LINEAR = "linear"
    """Evenly, down to nothing after `days`: max(0, 1 - age / days)."""
    FRAME = "frame"
    """All of it until it is `days` old, then nothing."""


@dataclass(frozen=True)
class Weight:
    """What an event counts for as it gets older."""

    decay: Decay
    days: int


@dataclass(frozen=True)
class Frequency:
    """How many events may count: in all (`count_max`), and of one UTC day (`count_max_per_day`); None: any number.

    With `per` ("source" or "properties.<key>") that is so for each value of it: opening one e-mail five times counts
    once. If more match than may count in all, the newest do, so that it does not matter in which order they came.
    """

    count_max: int | None = None
    count_max_per_day: int | None = None
    per: str = ""


@dataclass(frozen=True)
class Rule:
    """Gives points for each event of a type that fulfils a condition.

    `points` of either sign for one event at full weight; the sum over all events that count is held between `minimum`
    and `maximum` (None: no bound), and then belongs to `group`. An `event_type` that ends in `*` stands for all that
    start so. `condition` is a CEL expression over `event.type`, `event.source` and `event.properties`; empty: always.
    """

    name: str
    event_type: str
    points: float
    group: str = DEFAULT_GROUP
    minimum: int | None = None
    maximum: int | None = None
    condition: str = ""
    frequency: Frequency | None = None
    weight: Weight | None = None

    @property
    def by_day(self) -> bool:
        """Whether the day of an event matters for what it counts."""
        return self.weight is not None or (self.frequency is not None and self.frequency.count_max_per_day is not None)

    @property
    def per(self) -> str:
        """What events are counted apart by; empty: all together."""
        return self.frequency.per if self.frequency else ""

    @property
    def needs_the_event(self) -> bool:
        """Whether more of an event than its type and day decides what it counts."""
        return bool(self.condition or self.per)

    def sees(self, event_type: str) -> bool:
        """Whether the rule is about events of a type."""
        if self.event_type.endswith(ANY):
            return event_type.startswith(self.event_type.removesuffix(ANY))
        return event_type == self.event_type


@dataclass(frozen=True)
class Group:
    """Holds the sum of its rules or criteria between `minimum` and `maximum` (None: no bound)."""

    name: str
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Band:
    """Points for a number of at least `at_least`, or, with `exclusive`, of more than that."""

    at_least: float
    points: float
    exclusive: bool = False


@dataclass(frozen=True)
class Criterion:
    """Gives points for the profile: by one key of it, or by a condition over all of it.

    By number: the points of the highest band reached. By word: the points of the word (case and outer spaces do not
    matter), `otherwise` for a word that is not listed. A key that is not known gives 0. By `condition`, a CEL
    expression over `profile`: `points` if it is fulfilled.
    """

    name: str
    key: str = ""
    bands: tuple[Band, ...] = ()
    words: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 0
    condition: str = ""
    points: float = 0
    group: str = DEFAULT_FIT_GROUP

    def points_of(self, value: Any) -> float:
        """The points for a value of the key; None stands for unknown."""
        if isinstance(value, bool) or value is None:
            return 0
        if isinstance(value, int | float):
            reached = [band for band in self.bands if _reaches(value, band)]
            return max(reached, key=lambda band: (band.at_least, band.exclusive)).points if reached else 0
        if isinstance(value, str) and self.words:
            return self.words.get(value.strip().lower(), self.otherwise)
        return 0


@dataclass(frozen=True)
class Grades:
    """Fit letter and engagement digit: the first letter or digit whose threshold is reached, else the last.

    A grade is what the points say. A change of grade is announced upwards at the threshold, and downwards only when the
    points are below it by more than `hysteresis`.
    """

    letters: tuple[tuple[str, int], ...] = (("A", 75), ("B", 50), ("C", 25))
    last_letter: str = "D"
    digits: tuple[tuple[str, int], ...] = (("1", 200), ("2", 50))
    last_digit: str = "3"
    hysteresis: int = 0

    def grade(self, engagement: int, fit: int) -> str:
        """The grade for the two parts of a score."""
        return _first_reached(self.letters, fit, self.last_letter) + _first_reached(
            self.digits, engagement, self.last_digit
        )


class Measured(StrEnum):
    """What a threshold is about."""

    SCORE = "score"
    ENGAGEMENT = "engagement"
    FIT = "fit"


@dataclass(frozen=True)
class Threshold:
    """Fires once when the points reach `at`, and once when they fall below `at - hysteresis` again."""

    name: str
    at: int
    hysteresis: int = 0
    of: Measured = Measured.SCORE


@dataclass(frozen=True)
class Model:
    """The rules of one tenant in one version. Published, it never changes again."""

    version: int
    rules: tuple[Rule, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    groups: tuple[Group, ...] = ()
    fit_groups: tuple[Group, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    engagement_max: int = 1000
    fit_max: int = 100
    score_max: int = 1000
    grades: Grades = Grades()
    thresholds: tuple[Threshold, ...] = ()

    def canonical_type(self, event_type: str) -> str:
        """The type that rules name for a type as it was sent."""
        return self.aliases.get(event_type, event_type)


def _reaches(value: float, band: Band) -> bool:
    return value > band.at_least if band.exclusive else value >= band.at_least


def _first_reached(thresholds: tuple[tuple[str, int], ...], points: int, last: str) -> str:
    for name, threshold in thresholds:
        if points >= threshold:
            return name
    return last
