"""The formula: from a lead's counts and profile to its score at a time, with every point accounted for.

    rule       = points * weight of the events that count, held between the rule's bounds
    group      = sum of its rules, held between the group's bounds
    engagement = sum of the groups, held between 0 and engagement_max, in whole points (half a point rounds up)
    fit        = the same over the criteria, held between 0 and fit_max
    score      = engagement + fit, at most score_max; or what was set by hand

Each rule, each criterion, each bound that took or gave points, each rounding and a score set by hand is a line; the
lines add up to the score exactly. For that, a rule's points are rounded to 1/1024 of a point: sums of such numbers are
exact, so neither the order of summing nor the machine can show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import DAY_US, Lead
from services.scorer.scoring.model import Group, Rule
from services.scorer.scoring.tally import Measure, changes_on, measure
from services.scorer.scoring.weights import FULL

PARTS_OF_A_POINT = 1024
RULE_POINTS_MAX = 2.0**30
"""A rule is held within this whatever its bounds, so that the sum of all rules of a model stays exact in a double."""

BOUND = "bound:"
ROUNDING = "rounding:"
BY_HAND = "override"

Lines = dict[str, float]
NOTHING = Measure()


@dataclass(slots=True, init=False)
class Evaluation:
    """A score at a time and what it is made of; `machine_score` is what it would be without an override."""

    score: int
    machine_score: int
    engagement: int
    fit: int
    grade: str
    lines: Lines

    def __init__(self, score: int, machine_score: int, engagement: int, fit: int, grade: str, lines: Lines) -> None:
        self.score = score
        self.machine_score = machine_score
        self.engagement = engagement
        self.fit = fit
        self.grade = grade
        self.lines = lines


class Sheet:
    """The lines of one lead by one model, brought up to date piece by piece."""

    __slots__ = ("_criteria", "_lead", "_model", "_rules")

    def __init__(self, model: CompiledModel, lead: Lead) -> None:
        self._model = model
        self._lead = lead
        self._rules: Lines = {}
        self._criteria: Lines = {}
        if lead.model_version == model.version:
            for name, points in lead.lines.items():
                if name in model.rules:
                    self._rules[name] = points
                elif name in model.criteria:
                    self._criteria[name] = points

    def refresh(self, today: int) -> None:
        """Works out everything."""
        tallies, rules = self._lead.tallies, self._model.rules
        self._rules.clear()
        self.count([rules[name] for name in tallies if name in rules], today)
        self.count(self._model.unasked, today)
        self.fit()

    def count(self, rules: Iterable[Rule], today: int) -> None:
        """Works out the points of some rules, on a day."""
        for rule in rules:
            tally = self._lead.tallies.get(rule.name)
            found = NOTHING if tally is None else measure(rule, tally, today)
            self._rules[rule.name] = rule_points(rule, found)

    def age(self, today: int) -> None:
        """Works out the points of the rules that change with time alone."""
        self.count([rule for rule in self._model.aging if rule.name in self._lead.tallies], today)

    def fit(self) -> None:
        """Works out the points of the criteria."""
        profile, self._criteria = self._lead.profile, {}
        for criterion in self._model.model.criteria:
            if criterion.condition:
                fulfilled = self._model.profile_conditions[criterion.name](profile)
                points = criterion.points if fulfilled else 0
            else:
                points = criterion.points_of(profile.get(criterion.key))
            if points:
                self._criteria[criterion.name] = exact(points)

    def total(self, at_us: int) -> Evaluation:
        """The score at a time."""
        model, lines = self._model.model, {**self._rules, **self._criteria}
        given = _grouped(lines, self._rules, self._model.rule_groups, self._model.bounded_groups, "group:")
        engagement = _whole(lines, given, model.engagement_max, "engagement")
        given = _grouped(lines, self._criteria, self._model.fit_groups, self._model.bounded_fit_groups, "fit_group:")
        fit = _whole(lines, given, model.fit_max, "fit")
        score = machine_score = min(engagement + fit, model.score_max)
        if machine_score != engagement + fit:
            lines[f"{BOUND}score"] = float(machine_score - engagement - fit)
        if (override := self._lead.override) is not None and override.holds(at_us):
            score = override.score
            lines[BY_HAND] = float(score - machine_score)
        return Evaluation(score, machine_score, engagement, fit, model.grades.grade(engagement, fit), lines)


def evaluate(model: CompiledModel, lead: Lead, at_us: int) -> Evaluation:
    """The score of a lead at a time, worked out from its counts and profile alone."""
    sheet = Sheet(model, lead)
    sheet.refresh(at_us // DAY_US)
    return sheet.total(at_us)


def rule_points(rule: Rule, found: Measure) -> float:
    """The points of a rule after its own bounds."""
    points = max(-RULE_POINTS_MAX, min(RULE_POINTS_MAX, raw_points(rule, found)))
    return exact(_held(points, rule.minimum, rule.maximum))


def raw_points(rule: Rule, found: Measure) -> float:
    """The points of a rule before its own bounds."""
    return rule.points * (found.weight / FULL)


def exact(points: float) -> float:
    """Points rounded to 1/1024: multiples of it add up without error."""
    return round(points * PARTS_OF_A_POINT) / PARTS_OF_A_POINT


def changes_at_us(model: CompiledModel, lead: Lead, at_us: int) -> int | None:
    """The next time at which time alone may change the score; None if there is none."""
    if not model.aging and lead.override is None:
        return None
    today = at_us // DAY_US
    days = [
        changes_on(rule, tally, today) for rule in model.aging if (tally := lead.tallies.get(rule.name)) is not None
    ]
    times = [day * DAY_US for day in days if day is not None]
    if lead.override is not None and lead.override.until_us is not None and lead.override.holds(at_us):
        times.append(lead.override.until_us)
    return min(times, default=None)


def _grouped(
    lines: Lines, points: Mapping[str, float], group_of: Mapping[str, str], bounded: tuple[Group, ...], what: str
) -> float:
    """The sum of the groups; what their bounds took or gave becomes lines."""
    total = sum(points.values())
    for group in bounded:
        raw = sum(given for name, given in points.items() if group_of[name] == group.name)
        held = _held(raw, group.minimum, group.maximum)
        if held != raw:
            lines[f"{BOUND}{what}{group.name}"] = held - raw
            total += held - raw
    return total


def _whole(lines: Lines, raw: float, maximum: int, name: str) -> int:
    if 0 <= raw <= maximum and raw == (whole := int(raw)):
        return whole
    held = _held(raw, 0, maximum)
    points = floor(held + 0.5)
    if held != raw:
        lines[f"{BOUND}{name}"] = held - raw
    if points != held:
        lines[f"{ROUNDING}{name}"] = points - held
    return points


def _held(points: float, minimum: float | None, maximum: float | None) -> float:
    if minimum is not None and points < minimum:
        return float(minimum)
    if maximum is not None and points > maximum:
        return float(maximum)
    return points
