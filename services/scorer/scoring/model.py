"""A scoring model: the rules of one tenant in one version, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

DEFAULT_GROUP = "engagement"


@dataclass(frozen=True)
class Rule:
    """Gives points for each event of a type.

    `points` of either sign for one event; the sum over all events is held between `minimum` and `maximum` (None: no
    bound), and then belongs to `group`.
    """

    name: str
    event_type: str
    points: float
    group: str = DEFAULT_GROUP
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Group:
    """Holds the sum of its rules between `minimum` and `maximum` (None: no bound)."""

    name: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Band:
    """Points for a number of at least `at_least`, or, with `exclusive`, of more than that."""

    at_least: float
    points: float
    exclusive: bool = False


@dataclass(frozen=True)
class Criterion:
    """Gives points for one key of the profile.

    By number: the points of the highest band reached. By word: the points of the word (case and outer spaces do not
    matter), `otherwise` for a word that is not listed. A key that is not known gives 0.
    """

    name: str
    key: str
    bands: tuple[Band, ...] = ()
    words: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 0

    def points(self, value: Any) -> float:
        """The points for a value of the key; None stands for unknown."""
        if isinstance(value, bool) or value is None:
            return 0
        if isinstance(value, int | float):
            reached = [band for band in self.bands if _reaches(value, band)]
            return max(reached, key=lambda band: band.at_least).points if reached else 0
        if isinstance(value, str) and self.words:
            return self.words.get(value.strip().lower(), self.otherwise)
        return 0


@dataclass(frozen=True)
class Grades:
    """Fit letter and engagement digit: the first letter or digit whose threshold is reached, else the last."""

    letters: tuple[tuple[str, int], ...] = (("A", 75), ("B", 50), ("C", 25))
    last_letter: str = "D"
    digits: tuple[tuple[str, int], ...] = (("1", 200), ("2", 50))
    last_digit: str = "3"

    def grade(self, engagement: int, fit: int) -> str:
        """The grade for the two parts of a score."""
        return _first_reached(self.letters, fit, self.last_letter) + _first_reached(
            self.digits, engagement, self.last_digit
        )


@dataclass(frozen=True)
class Model:
    """The rules of one tenant in one version. Published, it never changes again."""

    version: int
    rules: tuple[Rule, ...]
    criteria: tuple[Criterion, ...]
    groups: tuple[Group, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    engagement_max: int = 1000
    fit_max: int = 100
    score_max: int = 1000
    grades: Grades = Grades()

    @cached_property
    def rules_by_type(self) -> Mapping[str, tuple[Rule, ...]]:
        """The rules that see events of a type, in the model's order."""
        by_type: dict[str, tuple[Rule, ...]] = {}
        for rule in self.rules:
            by_type[rule.event_type] = (*by_type.get(rule.event_type, ()), rule)
        return by_type

    @cached_property
    def rules_by_name(self) -> Mapping[str, Rule]:
        """The rules by their names."""
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def groups_by_name(self) -> Mapping[str, Group]:
        """The groups by name, with one without bounds for each that only a rule names."""
        named = {rule.group: Group(rule.group) for rule in self.rules}
        return {**named, **{group.name: group for group in self.groups}}

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
