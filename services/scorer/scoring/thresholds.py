"""What is crossed: the grade and the named thresholds, each once per crossing, with hysteresis.

What was announced last is kept with the lead: a letter, a digit, the thresholds that it is above. Upwards a crossing is
announced as soon as the threshold is reached; downwards only when the points have fallen below it by more than the
hysteresis, so that a score that swings around a threshold does not ring a bell each time.
"""

from typing import NamedTuple

from services.scorer.scoring.evaluation import Evaluation
from services.scorer.scoring.lead import Lead
from services.scorer.scoring.model import Measured, Model, Threshold

GRADE = "grade"
"""The name under which crossings of the grade's own thresholds are announced."""
ABOVE = "above"
BELOW = "below"


class Crossing(NamedTuple):
    """A threshold that was crossed: "grade" from one grade to another, or a named one between "below" and "above"."""

    threshold: str
    before: str
    after: str


def cross(model: Model, lead: Lead, after: Evaluation) -> tuple[Crossing, ...]:
    """The crossings that an evaluation makes. Remembers them in the lead."""
    grades = model.grades
    if not (grades.hysteresis or model.thresholds or lead.above) and lead.letter + lead.digit == after.grade:
        return ()
    before = lead.letter + lead.digit or grades.grade(0, 0)
    lead.letter = _held(grades.letters, grades.last_letter, lead.letter, after.fit, grades.hysteresis)
    lead.digit = _held(grades.digits, grades.last_digit, lead.digit, after.engagement, grades.hysteresis)
    announced = lead.letter + lead.digit
    crossings = [Crossing(GRADE, before, announced)] if announced != before else []
    if model.thresholds or lead.above:
        crossings += _cross_named(model.thresholds, lead, after)
    return tuple(crossings)


def _held(thresholds: tuple[tuple[str, int], ...], last: str, held: str, points: int, hysteresis: int) -> str:
    was_above = False
    for name, at in thresholds:
        was_above = was_above or name == held  # Who was above a threshold was above all the lower ones too.
        if points >= (at - hysteresis if was_above else at):
            return name
    return last


def _cross_named(thresholds: tuple[Threshold, ...], lead: Lead, after: Evaluation) -> list[Crossing]:
    above = [each.name for each in thresholds if _is_above(each, each.name in lead.above, after)]
    crossings = [Crossing(name, BELOW, ABOVE) for name in above if name not in lead.above]
    known = {each.name for each in thresholds}
    crossings += [Crossing(name, ABOVE, BELOW) for name in lead.above if name not in above and name in known]
    lead.above = tuple(above)
    return crossings


def _is_above(threshold: Threshold, was_above: bool, after: Evaluation) -> bool:
    match threshold.of:
        case Measured.SCORE:
            points = after.score
        case Measured.ENGAGEMENT:
            points = after.engagement
        case Measured.FIT:
            points = after.fit
    return points >= (threshold.at - threshold.hysteresis if was_above else threshold.at)
