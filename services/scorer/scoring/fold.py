"""Folds facts, days and new models into leads, one after the other, and says what each changed.

The caller has sorted out repeats and conflicts: each fact comes here once, in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from services.scorer.scoring.absorb import absorb_event, absorb_fact
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import Evaluation, Lines, Sheet
from services.scorer.scoring.lead import DAY_US, OVERRIDE, PROFILE, Fact, Lead
from services.scorer.scoring.thresholds import Crossing, cross


class Cause(IntEnum):
    """Why a score changed. The numbers are those of the contract."""

    EVENT = 1
    PROFILE = 2
    DECAY = 3
    RESCORE = 4
    OVERRIDE = 5
    ERASURE = 6


@dataclass(slots=True, init=False)
class Contribution:
    """What one line gave to a change: `count` events newly counted, `points` of either sign."""

    rule: str
    count: int
    points: float

    def __init__(self, rule: str, count: int, points: float) -> None:
        self.rule = rule
        self.count = count
        self.points = points


@dataclass(slots=True, init=False)
class Change:
    """One change of a lead's score: a row of its ledger. `fact` is None for what time or a new model did."""

    lead_id: str
    cause: Cause
    fact: Fact | None
    version: int
    model_version: int
    score_before: int
    grade_before: str
    after: Evaluation
    contributions: tuple[Contribution, ...]
    crossings: tuple[Crossing, ...]

    def __init__(
        self,
        lead_id: str,
        cause: Cause,
        fact: Fact | None,
        version: int,
        model_version: int,
        score_before: int,
        grade_before: str,
        after: Evaluation,
        contributions: tuple[Contribution, ...],
        crossings: tuple[Crossing, ...],
    ) -> None:
        self.lead_id = lead_id
        self.cause = cause
        self.fact = fact
        self.version = version
        self.model_version = model_version
        self.score_before = score_before
        self.grade_before = grade_before
        self.after = after
        self.contributions = contributions
        self.crossings = crossings


class Folding:
    """A lead while facts are folded into it, at one time. `lead` is by the model given, or has never been scored.

    What was stored is brought to the time by `pass_time` before the first fact.
    """

    __slots__ = ("_at_us", "_sheet", "_today", "lead", "model")

    def __init__(self, model: CompiledModel, lead: Lead, at_us: int) -> None:
        assert lead.model_version in (model.version, 0), "a lead by another model is replayed first"
        self.lead = lead
        self.model = model
        self._at_us = max(at_us, lead.evaluated_us)
        self._today = self._at_us // DAY_US
        self._sheet = Sheet(model, lead)
        if lead.model_version == 0:
            lead.model_version = model.version
            lead.evaluated_us = self._at_us
            self._sheet.refresh(self._today)

    def pass_time(self) -> Change | None:
        """Brings the lead to the time of the folding. Answers the change that time alone has made."""
        lead, since_us = self.lead, self.lead.evaluated_us
        ended = lead.override is not None and lead.override.holds(since_us) and not lead.override.holds(self._at_us)
        a_day_passed = since_us // DAY_US != self._today
        lead.evaluated_us = self._at_us
        if a_day_passed:
            self._sheet.age(self._today)
        if not ended and not (a_day_passed and self.model.aging):
            return None
        return self._change(Cause.OVERRIDE if ended else Cause.DECAY, None, {})

    def apply(self, fact: Fact) -> Change | None:
        """Folds one fact in. Answers the change of the score, or None if it stays as it is."""
        if fact.is_event:
            counted = absorb_event(self.model, self.lead, fact)
            self._sheet.count(counted, self._today)
            return self._change(Cause.EVENT, fact, {rule.name: 1 for rule in counted} if counted else {})
        absorb_fact(self.lead, fact)
        if fact.type == PROFILE:
            self._sheet.fit()
        # Also a status or a note: as the first fact of a lead it brings what the model gives to everybody.
        return self._change(Cause.OVERRIDE if fact.type == OVERRIDE else Cause.PROFILE, fact, {})

    def take_over(self, stored: Lead) -> Change | None:
        """Goes on from what was stored of this lead by another model, or before it was replayed."""
        lead = self.lead
        lead.version, lead.lines, lead.changed_day = stored.version, stored.lines, stored.changed_day
        lead.score, lead.machine_score, lead.grade = stored.score, stored.machine_score, stored.grade
        lead.engagement, lead.fit = stored.engagement, stored.fit
        lead.letter, lead.digit, lead.above = stored.letter, stored.digit, stored.above
        return self._change(Cause.RESCORE, None, {})

    def _change(self, cause: Cause, fact: Fact | None, counted: Mapping[str, int]) -> Change | None:
        lead, after = self.lead, self._sheet.total(self._at_us)
        before = lead.lines
        score_before, grade_before = lead.score, lead.grade
        seen = (
            score_before != after.score
            or lead.engagement != after.engagement
            or lead.fit != after.fit
            or lead.machine_score != after.machine_score
            # A lead that is new starts from nothing.
            or (grade_before or self.model.model.grades.grade(0, 0)) != after.grade
        )
        lead.score, lead.machine_score, lead.grade = after.score, after.machine_score, after.grade
        lead.engagement, lead.fit = after.engagement, after.fit
        lead.lines = after.lines
        crossings = cross(self.model.model, lead, after)
        if not seen and not crossings:
            return None
        lead.version += 1
        lead.changed_day = self._today
        return Change(
            lead.lead_id, cause, fact, lead.version, self.model.version, score_before, grade_before, after,
            _difference(before, after.lines, counted), crossings,
        )  # fmt: skip


def _difference(before: Lines, after: Lines, counted: Mapping[str, int]) -> tuple[Contribution, ...]:
    found = []
    for name, points in after.items():
        was = before.get(name, 0)
        if points != was:
            found.append(Contribution(name, counted.get(name, 0), points - was))
    for name, was in before.items():
        if was and name not in after:
            found.append(Contribution(name, 0, -was))
    return tuple(found)
