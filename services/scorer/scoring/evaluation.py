"""The formula: from a lead's counts and profile to its score, with every point accounted for.

    rule       = points * count, held between the rule's bounds
    group      = sum of its rules, held between the group's bounds
    engagement = sum of the groups, held between 0 and engagement_max, in whole points (half a point rounds up)
    fit        = sum of the criteria, held between 0 and fit_max, in whole points
    score      = engagement + fit, at most score_max

Each rule, each criterion, each bound that took or gave points, and each rounding is a line; the lines of an evaluation
add up to the score exactly. Sums of fractions are exact before they are rounded once (`math.fsum`), so that the order
of summing cannot show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, fsum
from typing import Any

from services.scorer.scoring.model import Model

BOUND = "bound:"
ROUNDING = "rounding"

Lines = dict[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """Engagement or fit: whole points, and the lines that add up to them."""

    points: int
    lines: Lines


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A score and what it is made of."""

    score: int
    engagement: int
    fit: int
    grade: str
    lines: Lines


def evaluate(model: Model, engagement: Part, fit: Part) -> Evaluation:
    """The score for the two parts."""
    total = engagement.points + fit.points
    score = min(total, model.score_max)
    lines = {**engagement.lines, **fit.lines}
    if ROUNDING in engagement.lines and ROUNDING in fit.lines:
        lines[ROUNDING] = fsum((engagement.lines[ROUNDING], fit.lines[ROUNDING]))
    if score != total:
        lines[f"{BOUND}score"] = score - total
    grade = model.grades.grade(engagement.points, fit.points)
    return Evaluation(score, engagement.points, fit.points, grade, lines)


def engagement_part(model: Model, counts: Mapping[str, int]) -> Part:
    """The part that comes from events."""
    lines: Lines = {}
    by_group: dict[str, list[float]] = {}
    for rule in model.rules:
        count = counts.get(rule.name, 0)
        points = _held(rule.points * count, rule.minimum, rule.maximum)
        if points or count:
            lines[rule.name] = points
            by_group.setdefault(rule.group, []).append(points)
    groups = []
    for name, group in model.groups_by_name.items():
        raw = fsum(by_group.get(name, ()))
        held = _held(raw, group.minimum, group.maximum)
        if held != raw:
            lines[f"{BOUND}group:{name}"] = held - raw
        groups.append(held)
    return _whole(lines, fsum(groups), model.engagement_max, "engagement")


def fit_part(model: Model, profile: Mapping[str, Any]) -> Part:
    """The part that comes from the profile."""
    lines: Lines = {}
    for criterion in model.criteria:
        if points := criterion.points(profile.get(criterion.key)):
            lines[criterion.name] = points
    return _whole(lines, fsum(lines.values()), model.fit_max, "fit")


def _whole(lines: Lines, raw: float, maximum: int, name: str) -> Part:
    held = _held(raw, 0, maximum)
    points = floor(held + 0.5)
    if held != raw:
        lines[f"{BOUND}{name}"] = held - raw
    if points != held:
        lines[ROUNDING] = points - held
    return Part(points, lines)


def _held(points: float, minimum: float | None, maximum: float | None) -> float:
    if minimum is not None and points < minimum:
        return minimum
    if maximum is not None and points > maximum:
        return maximum
    return points
