"""What is wrong with a model, before anybody's score depends on it. A model is taken as a whole or not at all.

Sizes and the shapes of names are checked by whoever builds the model; whether conditions compile, by whoever compiles
them. Here is what makes a model contradict itself.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

from services.scorer.scoring.evaluation import BOUND, BY_HAND, ROUNDING
from services.scorer.scoring.model import (
    ANY,
    DEFAULT_FIT_GROUP,
    DEFAULT_GROUP,
    Criterion,
    Group,
    Measured,
    Model,
    Rule,
    Threshold,
)
from services.scorer.scoring.thresholds import GRADE

POINTS_MAX = 1_000_000
"""Far above any real rule; below it, everything is exact in a double, also the sum of all rules."""
WEIGHT_DAYS_MAX = 3_650
"""Ten years: more is the same as no decay."""
RESERVED = (BOUND, ROUNDING)


@dataclass(frozen=True)
class Fault:
    """Something wrong with a model: where, and what, by name."""

    path: str
    description: str


def faults_of(model: Model) -> list[Fault]:
    """All that is wrong with a model; empty for a good one."""
    return [
        *_names(model),
        *_aliases(model),
        *(fault for index, rule in enumerate(model.rules) for fault in _rule(model, rule, f"rules[{index}]")),
        *(
            fault
            for index, criterion in enumerate(model.criteria)
            for fault in _criterion(criterion, f"criteria[{index}]")
        ),
        *_groups(model.groups, {rule.group for rule in model.rules} | {DEFAULT_GROUP}, "groups"),
        *_groups(model.fit_groups, {each.group for each in model.criteria} | {DEFAULT_FIT_GROUP}, "fit_groups"),
        *_totals(model),
        *_grades(model),
        *(
            fault
            for index, threshold in enumerate(model.thresholds)
            for fault in _threshold(model, threshold, f"thresholds[{index}]")
        ),
    ]


def _names(model: Model) -> Iterator[Fault]:
    lines = [(f"rules[{index}].name", rule.name) for index, rule in enumerate(model.rules)]
    lines += [(f"criteria[{index}].name", each.name) for index, each in enumerate(model.criteria)]
    yield from _twice(lines, "rule or criterion")
    for path, name in lines:
        if name == BY_HAND or name.startswith(RESERVED):
            yield Fault(path, f"{name!r} is the name of a line that the suite itself writes; use another")
    yield from _twice(((f"groups[{index}].name", each.name) for index, each in enumerate(model.groups)), "group")
    fit_groups = ((f"fit_groups[{index}].name", each.name) for index, each in enumerate(model.fit_groups))
    yield from _twice(fit_groups, "group of criteria")
    thresholds = ((f"thresholds[{index}].name", each.name) for index, each in enumerate(model.thresholds))
    yield from _twice(thresholds, "threshold")


def _twice(names: Iterable[tuple[str, str]], what: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for path, name in names:
        if name in seen:
            yield Fault(path, f"there is a {what} {name!r} already; each name stands once")
        seen.add(name)


def _aliases(model: Model) -> Iterator[Fault]:
    for alias, target in model.aliases.items():
        path = f"aliases[{alias}]"
        if target == alias:
            yield Fault(path, f"{alias!r} is an alias of itself")
        elif target in model.aliases:
            yield Fault(path, f"{alias!r} leads to {target!r}, which is an alias itself; name the type that rules name")


def _rule(model: Model, rule: Rule, path: str) -> Iterator[Fault]:
    yield from _points(rule.points, f"{path}.points", rule.name)
    yield from _bounds(rule.minimum, rule.maximum, path, f"rule {rule.name!r}")
    if rule.event_type in model.aliases:
        target = model.aliases[rule.event_type]
        yield Fault(
            f"{path}.event_type",
            f"rule {rule.name!r} can never match: {rule.event_type!r} is an alias of {target!r}; name that",
        )
    if ANY in rule.event_type[:-1]:
        yield Fault(f"{path}.event_type", f"rule {rule.name!r}: a * stands only at the end")
    yield from _frequency(rule, path)
    if rule.weight is not None and not 1 <= rule.weight.days <= WEIGHT_DAYS_MAX:
        days = rule.weight.days
        yield Fault(
            f"{path}.weight", f"rule {rule.name!r} decays over {days} days; 1 to {WEIGHT_DAYS_MAX} are possible"
        )
    group = next((each for each in model.groups if each.name == rule.group), None)
    if group is not None:
        yield from _within(rule, group, path)


def _frequency(rule: Rule, path: str) -> Iterator[Fault]:
    frequency = rule.frequency
    if frequency is None:
        return
    for name, limit in (("count_max", frequency.count_max), ("count_max_per_day", frequency.count_max_per_day)):
        if limit is not None and limit < 1:
            yield Fault(f"{path}.frequency.{name}", f"rule {rule.name!r} can never count: at most {limit} events may")
    if frequency.count_max is None and frequency.count_max_per_day is None:
        yield Fault(f"{path}.frequency", f"rule {rule.name!r} limits nothing: set count_max or count_max_per_day")
    if frequency.count_max is not None and (frequency.count_max_per_day or 0) > frequency.count_max:
        yield Fault(f"{path}.frequency", f"rule {rule.name!r} lets more events count in a day than in all")


def _within(rule: Rule, group: Group, path: str) -> Iterator[Fault]:
    if rule.minimum is not None and group.maximum is not None and rule.minimum > group.maximum:
        yield Fault(
            f"{path}.minimum",
            f"rule {rule.name!r} gives at least {rule.minimum}, but its group {group.name!r} at most {group.maximum}",
        )
    if rule.maximum is not None and group.minimum is not None and rule.maximum < group.minimum and rule.points < 0:
        yield Fault(
            f"{path}.maximum",
            f"rule {rule.name!r} gives at most {rule.maximum}, but its group {group.name!r} at least {group.minimum}",
        )


def _criterion(criterion: Criterion, path: str) -> Iterator[Fault]:
    name = criterion.name
    if criterion.condition:
        if criterion.key or criterion.bands or criterion.words or criterion.otherwise:
            yield Fault(path, f"criterion {name!r} has a condition and a key; it is one or the other")
        yield from _points(criterion.points, f"{path}.points", name)
        return
    if not criterion.key:
        yield Fault(f"{path}.key", f"criterion {name!r} needs a key or a condition")
    if not criterion.bands and not criterion.words:
        yield Fault(path, f"criterion {name!r} can never give points: it has neither bands nor words nor a condition")
    if criterion.points:
        yield Fault(
            f"{path}.points", f"criterion {name!r}: points of its own are for a condition; bands and words have theirs"
        )
    if criterion.otherwise and not criterion.words:
        yield Fault(f"{path}.otherwise", f"criterion {name!r} has points for other words, but lists no words")
    yield from _points(criterion.otherwise, f"{path}.otherwise", name)
    yield from _bands(criterion, path)
    for word, points in criterion.words.items():
        yield from _points(points, f"{path}.words[{word}]", name)
        if word != word.strip().lower():
            folded = word.strip().lower()
            yield Fault(
                f"{path}.words[{word}]", f"criterion {name!r} can never match {word!r}: words are {folded!r} and so on"
            )


def _bands(criterion: Criterion, path: str) -> Iterator[Fault]:
    for index, band in enumerate(criterion.bands):
        yield from _points(band.points, f"{path}.bands[{index}].points", criterion.name)
        if not isfinite(band.at_least):
            yield Fault(f"{path}.bands[{index}].at_least", f"criterion {criterion.name!r}: must be a finite number")
    starts = Counter((band.at_least, band.exclusive) for band in criterion.bands)
    for (at_least, _), number in starts.items():
        if number > 1:
            yield Fault(f"{path}.bands", f"criterion {criterion.name!r} has {number} bands from {at_least:g}")


def _groups(groups: tuple[Group, ...], used: set[str], path: str) -> Iterator[Fault]:
    for index, group in enumerate(groups):
        yield from _bounds(group.minimum, group.maximum, f"{path}[{index}]", f"group {group.name!r}")
        if group.name not in used:
            yield Fault(f"{path}[{index}].name", f"group {group.name!r} holds nothing")


def _totals(model: Model) -> Iterator[Fault]:
    for name in ("engagement_max", "fit_max", "score_max"):
        value = getattr(model, name)
        if not 0 <= value <= POINTS_MAX:
            yield Fault(name, f"must be 0 to {POINTS_MAX}")
    if model.engagement_max + model.fit_max == 0 or model.score_max == 0:
        yield Fault("score_max", "with these bounds every score is 0")


def _grades(model: Model) -> Iterator[Fault]:
    grades = model.grades
    yield from _levels(grades.letters, grades.last_letter, model.fit_max, "grades.letters", "fit_max")
    yield from _levels(grades.digits, grades.last_digit, model.engagement_max, "grades.digits", "engagement_max")
    lowest = min((at for _, at in (*grades.letters, *grades.digits)), default=None)
    if grades.hysteresis < 0 or (lowest is not None and grades.hysteresis >= lowest):
        description = f"a grade reached could never be left: must be 0 or more and below the lowest threshold, {lowest}"
        yield Fault("grades.hysteresis", description)


def _levels(levels: tuple[tuple[str, int], ...], last: str, maximum: int, path: str, bound: str) -> Iterator[Fault]:
    for index, (name, at) in enumerate(levels):
        if at > maximum:
            yield Fault(
                f"{path}[{index}]", f"{name!r} can never be reached: it starts at {at}, and {bound} is {maximum}"
            )
        if at < 1:
            yield Fault(f"{path}[{index}]", f"{name!r} starts at {at}: the last one is for those below; 1 or more")
        if index and at >= levels[index - 1][1]:
            yield Fault(f"{path}[{index}]", f"{name!r} starts at {at}, not below {levels[index - 1][0]!r} before it")
    names = [*(name for name, _ in levels), last]
    yield from _twice(((path, name) for name in names), "grade")


def _threshold(model: Model, threshold: Threshold, path: str) -> Iterator[Fault]:
    name = threshold.name
    if name == GRADE:
        yield Fault(f"{path}.name", f"{GRADE!r} is what crossings of the grade are announced as; use another name")
    maximum = {
        Measured.SCORE: model.score_max,
        Measured.ENGAGEMENT: model.engagement_max,
        Measured.FIT: model.fit_max,
    }[threshold.of]
    if not 1 <= threshold.at <= maximum:
        yield Fault(f"{path}.at", f"threshold {name!r} can never be crossed at {threshold.at}: 1 to {maximum} can")
    if not 0 <= threshold.hysteresis < max(threshold.at, 1):
        yield Fault(f"{path}.hysteresis", f"threshold {name!r} could never be left: must be 0 to {threshold.at - 1}")


def _points(points: float, path: str, name: str) -> Iterator[Fault]:
    if not isfinite(points) or abs(points) > POINTS_MAX:
        yield Fault(path, f"{name!r} gives {points:g} points; at most {POINTS_MAX} of either sign are possible")


def _bounds(minimum: int | None, maximum: int | None, path: str, what: str) -> Iterator[Fault]:
    for name, bound in (("minimum", minimum), ("maximum", maximum)):
        if bound is not None and abs(bound) > POINTS_MAX:
            yield Fault(
                f"{path}.{name}", f"{what} is held at {bound}; at most {POINTS_MAX} of either sign are possible"
            )
    if minimum is not None and maximum is not None and minimum > maximum:
        yield Fault(f"{path}.minimum", f"{what} is held between {minimum} and {maximum}, which nothing is")
