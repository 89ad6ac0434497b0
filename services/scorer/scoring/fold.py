"""Folds facts into leads, one after the other, and says what each changed.

The caller has sorted out repeats and conflicts: each fact comes here once, in any order.
"""

from dataclasses import dataclass

from services.scorer.scoring.evaluation import Evaluation, Lines, Part, engagement_part, evaluate, fit_part
from services.scorer.scoring.lead import PROFILE, Fact, Lead
from services.scorer.scoring.model import Model


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one line gave to a change: `count` events newly counted, `points` of either sign."""

    rule: str
    count: int
    points: float


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a lead's score: a row of its ledger."""

    fact: Fact
    version: int
    score_before: int
    grade_before: str
    after: Evaluation
    contributions: tuple[Contribution, ...]


class Folding:
    """A lead while facts are folded into it."""

    def __init__(self, model: Model, lead: Lead) -> None:
        self._model = model
        self.lead = lead
        self._engagement = engagement_part(model, lead.counts)
        self._fit = fit_part(model, lead.profile)
        if lead.grade:
            self.evaluation = evaluate(model, self._engagement, self._fit)
        else:  # Nothing is known of it yet: the first fact starts from nothing, whatever the model gives to everybody.
            self.evaluation = Evaluation(0, 0, 0, model.grades.grade(0, 0), {})

    def apply(self, fact: Fact) -> Change | None:
        """Folds one fact in. Answers the change of the score, or None if it stays as it is."""
        if fact.type == PROFILE:
            counted: dict[str, int] = {}
            fit = self._set_profile(fact)
            engagement = self._engagement
        else:
            counted = self._count(fact)
            engagement = engagement_part(self._model, self.lead.counts) if counted else self._engagement
            fit = self._fit
        return self._change(fact, engagement, fit, counted)

    def _count(self, fact: Fact) -> dict[str, int]:
        lead = self.lead
        lead.event_count += 1
        occurred_us = fact.occurred_us
        if lead.first_event_us is None or occurred_us < lead.first_event_us:
            lead.first_event_us = occurred_us
        if lead.last_event_us is None or occurred_us > lead.last_event_us:
            lead.last_event_us = occurred_us
        counted = {}
        for rule in self._model.rules_by_type.get(self._model.canonical_type(fact.type), ()):
            lead.counts[rule.name] = lead.counts.get(rule.name, 0) + 1
            counted[rule.name] = 1
        return counted

    def _set_profile(self, fact: Fact) -> Part:
        """Each key is last-write-wins by (time, event id); a null forgets the key and is remembered as such."""
        lead = self.lead
        since = (fact.occurred_us, fact.event_id)
        for key, value in (fact.properties or {}).items():
            if since <= lead.profile_since.get(key, (-1, "")):
                continue
            lead.profile_since[key] = since
            if value is None:
                lead.profile.pop(key, None)
            else:
                lead.profile[key] = value
        return fit_part(self._model, lead.profile)

    def _change(self, fact: Fact, engagement: Part, fit: Part, counted: dict[str, int]) -> Change | None:
        before, lead = self.evaluation, self.lead
        score_before, grade_before = lead.score, lead.grade
        after = evaluate(self._model, engagement, fit)
        self._engagement, self._fit, self.evaluation = engagement, fit, after
        lead.score, lead.engagement, lead.fit, lead.grade = after.score, after.engagement, after.fit, after.grade
        if _visible(before) == _visible(after):
            return None
        lead.version += 1
        contributions = _difference(before.lines, after.lines, counted)
        return Change(fact, lead.version, score_before, grade_before, after, contributions)


def _visible(evaluation: Evaluation) -> tuple[int, int, int, str]:
    return evaluation.score, evaluation.engagement, evaluation.fit, evaluation.grade


def _difference(before: Lines, after: Lines, counted: dict[str, int]) -> tuple[Contribution, ...]:
    changed = [name for name, points in after.items() if points != before.get(name, 0)]
    changed += [name for name in before if name not in after]
    return tuple(Contribution(name, counted.get(name, 0), after.get(name, 0) - before.get(name, 0)) for name in changed)
