"""The whole life of leads, step by step, against an oracle that works everything out anew from all the facts.

What is done here around the core is what the suite does around it: repeats are dropped by their id; a lead by an older
model is scored by today's when its next fact comes, or when all are; time is brought to a lead only when the core says
that it is due. After each step all leads must be as the oracle says they are now. At length with

    HYPOTHESIS_PROFILE=long .venv/bin/pytest tests/unit/test_scoring_life.py
"""

from copy import deepcopy
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import changes_at_us, evaluate
from services.scorer.scoring.fold import Cause, Change, Folding
from services.scorer.scoring.lead import DAY_US, NOTE, OVERRIDE, OWNER, PROFILE, STATUS, Fact, Lead
from services.scorer.scoring.model import Model
from services.scorer.scoring.replay import History, rescore
from services.scorer.scoring.thresholds import GRADE
from tests.unit.scoring_models import (
    ADA,
    EVENT_CONDITIONS,
    PROFILE_CONDITIONS,
    START_US,
    compiled,
    facts,
    history_of,
    models,
    pauses,
)
from tests.unit.scoring_oracle import Announced, Conditions, Expected, expected_of

LEADS = [ADA, "grace"]
CAUSES = {OVERRIDE: Cause.OVERRIDE, **dict.fromkeys([PROFILE, STATUS, OWNER, NOTE], Cause.PROFILE)}
CONDITIONS: Conditions = {**EVENT_CONDITIONS, **PROFILE_CONDITIONS}


class Lives(RuleBasedStateMachine):
    """Two leads, their facts, their ledgers, the models so far, and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = START_US
        self.facts: list[Fact] = []
        self.leads: dict[str, Lead] = {}
        self.ledgers: dict[str, list[Change]] = {name: [] for name in LEADS}
        self.changed_days: dict[str, int] = {}
        self.announced: dict[str, Announced] = {name: Announced() for name in LEADS}
        self.models: dict[int, CompiledModel] = {}
        self.model: CompiledModel

    @initialize(model=models())
    def the_first_model(self, model: Model) -> None:
        self.model = self.models[1] = compiled(model)

    @rule(data=st.data(), lead_id=st.sampled_from(LEADS))
    def a_fact_comes(self, data: st.DataObject, lead_id: str) -> None:
        self.receive(data.draw(facts(len(self.facts), lead_id, self.now_us)))

    @rule(data=st.data())
    def many_facts_come_in_one_batch(self, data: st.DataObject) -> None:
        first = len(self.facts)
        batch = [data.draw(facts(first + number, ADA, self.now_us)) for number in range(data.draw(st.integers(2, 5)))]
        folding = self.open(ADA, batch[0])
        for fact in batch:
            self.apply(folding, fact)

    @precondition(lambda self: self.facts)
    @rule(data=st.data())
    def a_fact_comes_again(self, data: st.DataObject) -> None:
        self.receive(data.draw(st.sampled_from(self.facts)))

    @rule(pause=pauses)
    def time_passes(self, pause: int) -> None:
        self.wait_until(self.now_us + pause)

    @precondition(lambda self: self.due())
    @rule(early=st.booleans())
    def time_passes_until_something_is_due_or_just_before(self, early: bool) -> None:
        self.wait_until(max(self.now_us, min(self.due().values()) - early))

    def wait_until(self, at_us: int) -> None:
        self.now_us = at_us
        for name, due_us in self.due().items():
            if due_us <= self.now_us:
                self.bring_to_now(name)

    @precondition(lambda self: self.leads)
    @rule(data=st.data())
    def time_is_brought_to_a_lead_that_is_not_due(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.leads)))
        rows = len(self.ledgers[name])
        self.bring_to_now(name)
        assert len(self.ledgers[name]) == rows

    @rule(data=st.data())
    def a_model_is_published_from_now_on(self, data: st.DataObject) -> None:
        version = len(self.models) + 1
        self.model = self.models[version] = compiled(data.draw(models(version)))

    @rule(data=st.data())
    def a_model_is_published_and_all_are_scored_by_it(self, data: st.DataObject) -> None:
        self.a_model_is_published_from_now_on(data)
        self.all_are_scored_anew()

    @rule()
    def all_are_scored_anew(self) -> None:
        for name, lead in self.leads.items():
            before = deepcopy(lead)
            self.leads[name] = self.score_anew(name).lead
            if before.model_version == self.model.version:
                before.evaluated_us = self.now_us
                assert self.leads[name] == before

    def due(self) -> dict[str, int]:
        """When time alone may change a lead, by what the core says."""
        due = {
            name: changes_at_us(self.models[lead.model_version], lead, lead.evaluated_us)
            for name, lead in self.leads.items()
        }
        return {name: due_us for name, due_us in due.items() if due_us is not None}

    def receive(self, fact: Fact) -> None:
        if any(known.event_id == fact.event_id for known in self.facts):
            return
        self.apply(self.open(fact.lead_id, fact), fact)

    def apply(self, folding: Folding, fact: Fact) -> None:
        self.facts.append(fact)
        change = folding.apply(fact)
        self.book(fact.lead_id, change, CAUSES.get(fact.type, Cause.EVENT))
        if change:
            assert change.fact is fact
        self.leads[fact.lead_id] = folding.lead

    def open(self, name: str, first: Fact) -> Folding:
        """A lead, brought to today's model and to now."""
        lead = self.leads.get(name)
        if lead is None:
            return Folding(self.model, Lead(first.lead_id), self.now_us)
        if lead.model_version != self.model.version:
            return self.score_anew(name)
        return self.bring_to_now(name)

    def bring_to_now(self, name: str) -> Folding:
        lead, model = self.leads[name], self.models[self.leads[name].model_version]
        before, now = (
            expected_of(model.model, CONDITIONS, self.facts_of(name), at_us)
            for at_us in (lead.evaluated_us, self.now_us)
        )
        cause = Cause.OVERRIDE if before.is_by_hand and not now.is_by_hand else Cause.DECAY
        folding = Folding(model, deepcopy(lead), self.now_us)
        self.book(name, folding.pass_time(), cause, model=model)
        self.leads[name] = folding.lead
        return folding

    def score_anew(self, name: str) -> Folding:
        stored = deepcopy(self.leads[name])
        its = self.facts_of(name)
        history = history_of(self.model, its) if len(its) % 2 else History(facts=its[::-1])
        folding, change = rescore(self.model, stored, history, self.now_us)
        if stored.model_version != self.model.version:
            self.announced[name].by_another_model(self.model.model)
        self.book(name, change, Cause.RESCORE)
        return folding

    def book(self, name: str, change: Change | None, cause: Cause, model: CompiledModel | None = None) -> None:
        """Takes a row into the ledger, and holds its crossings against those that there must be."""
        model = model or self.model
        expected = expected_of(model.model, CONDITIONS, self.facts_of(name), self.now_us)
        announced = self.announced[name]
        grade = announced.grade(model.model)
        crossings = announced.after(model.model, expected)
        if change is None:
            assert not crossings
            return
        assert change.cause == cause
        assert change.model_version == model.version
        named = [(each.threshold, each.before, each.after) for each in change.crossings if each.threshold != GRADE]
        assert sorted(named) == sorted(crossings)
        if change.cause != Cause.RESCORE:  # By another model, other letters may have been announced.
            of_grade = [(each.before, each.after) for each in change.crossings if each.threshold == GRADE]
            after = announced.grade(model.model)
            assert of_grade == ([(grade, after)] if after != grade else [])
        self.ledgers[name].append(change)
        self.changed_days[name] = self.now_us // DAY_US

    def facts_of(self, name: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.lead_id == name]

    def expected(self, lead: Lead) -> Expected:
        model = self.models[lead.model_version].model
        return expected_of(model, CONDITIONS, self.facts_of(lead.lead_id), self.now_us)

    @invariant()
    def every_lead_is_now_as_the_oracle_says(self) -> None:
        for lead in self.leads.values():
            expected = self.expected(lead)
            for name in (
                "score",
                "machine_score",
                "engagement",
                "fit",
                "grade",
                "profile",
                "status",
                "owner",
                "source",
            ):
                assert getattr(lead, name) == getattr(expected, name), name
            for name, points in (expected.rules | expected.criteria).items():
                assert lead.lines.get(name, 0) == points, name
            model = self.models[lead.model_version]
            assert evaluate(model, lead, self.now_us).lines == lead.lines
            assert lead.letter + lead.digit == self.announced[lead.lead_id].grade(model.model)
            thresholds = {each.name for each in model.model.thresholds}
            assert set(lead.above) == self.announced[lead.lead_id].above & thresholds

    @invariant()
    def every_ledger_adds_up(self) -> None:
        for name, lead in self.leads.items():
            ledger = self.ledgers[name]
            assert sum(lead.lines.values()) == lead.score
            assert sum(row.after.score - row.score_before for row in ledger) == lead.score
            assert [row.version for row in ledger] == list(range(1, lead.version + 1))
            for before, after in pairwise(ledger):
                assert after.score_before == before.after.score
            for row in ledger:
                assert sum(each.points for each in row.contributions) == row.after.score - row.score_before

    @invariant()
    def every_bound_holds(self) -> None:
        for lead in self.leads.values():
            model = self.models[lead.model_version].model
            assert 0 <= lead.machine_score <= model.score_max
            assert 0 <= lead.engagement <= model.engagement_max
            assert 0 <= lead.fit <= model.fit_max

    @invariant()
    def what_was_seen_of_events_is_counted(self) -> None:
        for name, lead in self.leads.items():
            times = [fact.occurred_us for fact in self.facts_of(name) if fact.is_event]
            assert lead.event_count == len(times)
            assert (lead.first_event_us, lead.last_event_us) == (min(times, default=None), max(times, default=None))

    @invariant()
    def when_what_was_heard_is_known(self) -> None:
        for name, lead in self.leads.items():
            expected, ledger = self.expected(lead), self.ledgers[name]
            assert lead.known_since_us == expected.known_since_us
            assert [(each.occurred_us, each.event_id, each.status) for each in lead.statuses] == expected.statuses
            assert {
                lead.first_day + bit for bit in range(lead.days.bit_length()) if lead.days >> bit & 1
            } == expected.days
            assert lead.days == 0 or lead.days & 1
            if ledger:
                assert lead.changed_day == self.changed_days[name]


TestLives = Lives.TestCase
TestLives.settings = settings(stateful_step_count=30)
