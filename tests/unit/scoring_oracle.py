"""What a score ought to be, worked out the slow way from all the facts about a lead.

Written from the specification alone, with exact fractions and plain loops over facts: no counts, no tallies, nothing
kept from one moment to the next but what was announced. Of the core it knows only the model and the facts. Where the
specification leaves open how a number is rounded, both sides share this: an event's weight is rounded to 1/2**30, a
rule's and a criterion's points to 1/1024 after the rule's bounds (to even, if in the middle), a part's points to whole
ones (up, if in the middle).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from math import floor
from typing import Any

from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import Model, Rule, Threshold, Weight

DAY_US = 24 * 60 * 60 * 1_000_000
HALF = Fraction(1, 2)
Conditions = Mapping[str, Callable[[Any], bool]]


@dataclass
class Expected:
    """A score and all that is seen of it."""

    score: int
    machine_score: int
    is_by_hand: bool
    engagement: int
    fit: int
    grade: str
    profile: dict[str, Any]
    status: str
    owner: str
    statuses: list[tuple[int, str, str]]
    known_since_us: int
    source: str
    days: set[int]
    rules: dict[str, Fraction]
    criteria: dict[str, Fraction]


@dataclass
class Announced:
    """What was said of a lead last: each letter, each digit and each threshold that it is above, by itself."""

    above: set[str] = field(default_factory=set)

    def after(self, model: Model, expected: Expected) -> list[tuple[str, str, str]]:
        """The crossings there must be, the grade's first."""
        levels = [(f"letter {name}", at, expected.fit) for name, at in model.grades.letters]
        levels += [(f"digit {name}", at, expected.engagement) for name, at in model.grades.digits]
        limits = [(name, at, points, model.grades.hysteresis) for name, at, points in levels]
        limits += [(each.name, each.at, _measured(each, expected), each.hysteresis) for each in model.thresholds]
        now = {
            name
            for name, at, points, hysteresis in limits
            if points >= at or (name in self.above and points >= at - hysteresis)
        }
        crossed = [each.name for each in model.thresholds if (each.name in now) != (each.name in self.above)]
        self.above = now
        return [(name, *(("below", "above") if name in now else ("above", "below"))) for name in crossed]

    def grade(self, model: Model) -> str:
        """The grade that was announced."""
        letter = next((name for name, _ in model.grades.letters if f"letter {name}" in self.above), None)
        digit = next((name for name, _ in model.grades.digits if f"digit {name}" in self.above), None)
        return (letter or model.grades.last_letter) + (digit or model.grades.last_digit)

    def by_another_model(self, model: Model) -> None:
        """A letter counts for all of those below it; so it does when other points stand for it."""
        for kind, levels in (("letter", model.grades.letters), ("digit", model.grades.digits)):
            names = [f"{kind} {name}" for name, _ in levels]
            held = [each for each in self.above if each.startswith(kind)]
            best = min(held, default=None)
            self.above -= set(held)
            if best in names:
                self.above |= set(names[names.index(best) :])


def expected_of(model: Model, conditions: Conditions, facts: Sequence[Fact], at_us: int) -> Expected:
    """The score of one lead at a time, by all facts about it, each of them once."""
    events = [fact for fact in facts if not fact.type.startswith("$")]
    profile = _profile(facts)
    rules = {rule.name: _rule(model, rule, conditions, events, at_us // DAY_US) for rule in model.rules}
    criteria = {each.name: _to_1024(_criterion(each, conditions, profile)) for each in model.criteria}
    engagement = _sum(rules, {rule.name: rule.group for rule in model.rules}, model.groups, model.engagement_max)
    fit = _sum(criteria, {each.name: each.group for each in model.criteria}, model.fit_groups, model.fit_max)
    machine_score = min(engagement + fit, model.score_max)
    by_hand = _last(facts, "$override")
    score, is_by_hand = machine_score, False
    if by_hand is not None and "score" in by_hand:
        until_us = by_hand["until_us"]
        if until_us is None or at_us < until_us:
            score, is_by_hand = by_hand["score"], True
    status, owner = _last(facts, "$status"), _last(facts, "$owner")
    return Expected(
        score,
        machine_score,
        is_by_hand,
        engagement,
        fit,
        _grade(model, engagement, fit),
        profile,
        status["status"] if status else "new",
        owner["owner"] if owner else "",
        sorted(
            (fact.occurred_us, fact.event_id, (fact.properties or {})["status"])
            for fact in facts
            if fact.type == "$status"
        ),
        min(fact.occurred_us for fact in facts),
        min(events, key=lambda event: (event.occurred_us, event.event_id)).source if events else "",
        {event.occurred_us // DAY_US for event in events},
        rules,
        criteria,
    )


def _profile(facts: Sequence[Fact]) -> dict[str, Any]:
    said = sorted((fact.occurred_us, fact.event_id, index) for index, fact in enumerate(facts))
    profile: dict[str, Any] = {}
    for _, _, index in said:
        if facts[index].type == "$profile":
            profile.update(facts[index].properties or {})
    return {key: value for key, value in profile.items() if value is not None}


def _last(facts: Sequence[Fact], fact_type: str) -> Mapping[str, Any] | None:
    of_type = [fact for fact in facts if fact.type == fact_type]
    if not of_type:
        return None
    return max(of_type, key=lambda fact: (fact.occurred_us, fact.event_id)).properties or {}


def _rule(model: Model, rule: Rule, conditions: Conditions, events: Sequence[Fact], today: int) -> Fraction:
    apart: defaultdict[object, list[Fact]] = defaultdict(list)
    for event in events:
        if _sees(rule, model.aliases.get(event.type, event.type)):
            if rule.condition and not conditions[rule.condition](event):
                continue
            apart[_value(event, rule.frequency.per) if rule.frequency else None].append(event)
    weight = sum(_weight_of_those_that_count(rule, alike, today) for alike in apart.values())
    points = Fraction(rule.points) * weight / 2**30
    return _to_1024(_clamp(points, rule.minimum, rule.maximum))


def _sees(rule: Rule, event_type: str) -> bool:
    if rule.event_type[-1] == "*":
        start = rule.event_type[:-1]
        return event_type[: len(start)] == start
    return rule.event_type == event_type


def _weight_of_those_that_count(rule: Rule, events: list[Fact], today: int) -> int:
    counted, of_day, weight = 0, defaultdict[int, int](int), 0
    for event in sorted(events, key=lambda each: -each.occurred_us):
        day = event.occurred_us // DAY_US
        if rule.frequency and rule.frequency.count_max is not None and counted >= rule.frequency.count_max:
            break
        of_a_day = rule.frequency.count_max_per_day if rule.frequency else None
        if of_a_day is not None and of_day[day] >= of_a_day:
            continue
        counted += 1
        of_day[day] += 1
        weight += 2**30 if rule.weight is None else _weight(rule.weight, max(0, today - day))
    return weight


@cache
def _weight(weight: Weight, age: int) -> int:
    match str(weight.decay):
        case "half_life":
            with localcontext() as context:
                context.prec = 60
                return round(2**30 * Decimal(2) ** (-Decimal(age) / weight.days))
        case "linear":
            return floor(max(Fraction(0), 1 - Fraction(age, weight.days)) * 2**30 + HALF)
        case "frame":
            return 2**30 if age < weight.days else 0
    raise AssertionError(weight)


def _value(event: Fact, path: str) -> object:
    if not path:
        return None
    if path == "source":
        return event.source or None
    value: Any = event.properties or {}
    for part in path[len("properties.") :].split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return _frozen(value)


def _frozen(value: Any) -> object:
    """A value of JSON that can be told from others: 1 is 1.0, but not true."""
    if isinstance(value, dict):
        return "object", frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return "array", tuple(_frozen(item) for item in value)
    if isinstance(value, bool):
        return "bool", value
    return value


def _criterion(criterion: Any, conditions: Conditions, profile: Mapping[str, Any]) -> Fraction:
    if criterion.condition:
        return Fraction(criterion.points if conditions[criterion.condition](profile) else 0)
    value = profile.get(criterion.key)
    if isinstance(value, str) and criterion.words:
        word = value.strip().lower()
        return Fraction(criterion.words.get(word, criterion.otherwise))
    if value is True or value is False or value is None or isinstance(value, str):
        return Fraction(0)
    # From the lowest start up, "more than" after "at least": the last that is reached holds.
    points = Fraction(0)
    for band in sorted(criterion.bands, key=lambda each: (each.at_least, each.exclusive)):
        if value > band.at_least or (value == band.at_least and not band.exclusive):
            points = Fraction(band.points)
    return points


def _sum(points: Mapping[str, Fraction], group_of: Mapping[str, str], groups: Any, maximum: int) -> int:
    sums: defaultdict[str, Fraction] = defaultdict(Fraction)
    for name, given in points.items():
        sums[group_of[name]] += given
    for group in groups:
        sums[group.name] = _clamp(sums[group.name], group.minimum, group.maximum)
    return floor(_clamp(sum(sums.values(), Fraction(0)), 0, maximum) + HALF)


def _grade(model: Model, engagement: int, fit: int) -> str:
    letters = [name for name, at in model.grades.letters if fit >= at]
    digits = [name for name, at in model.grades.digits if engagement >= at]
    return [*letters, model.grades.last_letter][0] + [*digits, model.grades.last_digit][0]


def _measured(threshold: Threshold, expected: Expected) -> int:
    return {"score": expected.score, "engagement": expected.engagement, "fit": expected.fit}[str(threshold.of)]


def _clamp(points: Fraction, minimum: int | None, maximum: int | None) -> Fraction:
    if minimum is not None:
        points = max(points, Fraction(minimum))
    if maximum is not None:
        points = min(points, Fraction(maximum))
    return points


def _to_1024(points: Fraction) -> Fraction:
    return Fraction(round(points * 1024), 1024)
