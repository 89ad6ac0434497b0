"""The laws of a score, as properties of the pure core.

Over models with everything that models can have, all kinds of facts, and a clock that moves. In short with the rest of
the tests; at length with

    HYPOTHESIS_PROFILE=long .venv/bin/pytest tests/unit/test_scoring_laws.py

Repeats and conflicts are sorted out before the core; their law is tested with what does that.
"""

import random
from copy import deepcopy
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.scoring.evaluation import changes_at_us, evaluate
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.forecast import forecast
from services.scorer.scoring.lead import DAY_US, Fact, Lead
from services.scorer.scoring.model import Grades, Measured, Model
from services.scorer.scoring.replay import History, replay, rescore
from services.scorer.scoring.thresholds import ABOVE, BELOW, GRADE
from services.scorer.scoring.validation import faults_of
from tests.unit.scoring_models import (
    ADA,
    START_US,
    Moment,
    Row,
    compiled,
    fact_lists,
    folded,
    history_of,
    live,
    lived,
    lives,
    models,
    visible,
)

chances = st.randoms(use_true_random=False)


@given(models())
def test_the_models_tried_here_are_without_faults(model: Model) -> None:
    assert faults_of(model) == []


# Law 1: order does not matter.


@given(models(), fact_lists(), chances)
def test_order_does_not_matter(model: Model, facts: list[Fact], chance: random.Random) -> None:
    rules, other = compiled(model), list(facts)
    chance.shuffle(other)
    assert visible(folded(rules, other).lead) == visible(folded(rules, facts).lead)


@given(models(), lives(), chances)
def test_neither_order_nor_delay_matters_to_what_is_so_in_the_end(
    model: Model, moments: list[Moment], chance: random.Random
) -> None:
    rules = compiled(model)
    facts = [moment.fact for moment in moments if moment.fact]
    chance.shuffle(facts)
    at_once = Folding(rules, Lead(ADA), moments[-1].at_us)
    for fact in facts:
        at_once.apply(fact)
    assert visible(at_once.lead) == visible(lived(rules, moments))


@given(models(), fact_lists(), st.sets(st.integers(1, 14)))
def test_batching_and_putting_a_lead_down_and_taking_it_up_again_do_not_matter(
    model: Model, facts: list[Fact], cuts: set[int]
) -> None:
    rules = compiled(model)
    folding = Folding(rules, Lead(ADA), START_US)
    for number, fact in enumerate(facts):
        if number in cuts:
            folding = Folding(rules, deepcopy(folding.lead), START_US)
        folding.apply(fact)
    assert folding.lead == folded(rules, facts).lead


# Law 3: the score is its ledger.


@given(models(), lives())
def test_the_score_is_its_ledger_at_every_moment(model: Model, moments: list[Moment]) -> None:
    ledger: list[Change] = []
    for row in live(compiled(model), moments):
        ledger += row.changes
        assert_ledger(ledger, row.lead)


@given(models(), lives())
def test_each_row_is_its_contributions_and_each_score_its_lines_to_the_point(
    model: Model, moments: list[Moment]
) -> None:
    for row in live(compiled(model), moments):
        for change in row.changes:
            assert sum(each.points for each in change.contributions) == change.after.score - change.score_before
            assert all(each.points for each in change.contributions)
            assert sum(change.after.lines.values()) == change.after.score
            assert change.model_version == model.version
            assert change.lead_id == ADA
        assert sum(row.lead.lines.values()) == row.lead.score


@given(models(), lives())
def test_a_row_is_written_just_when_something_of_the_score_changed(model: Model, moments: list[Moment]) -> None:
    before = (0, 0, 0, 0, model.grades.grade(0, 0))
    for row in live(compiled(model), moments):
        for change in row.changes:
            after = change.after
            seen = (after.score, after.machine_score, after.engagement, after.fit, after.grade)
            assert seen != before or change.crossings
            before = seen
        lead = row.lead
        assert (lead.score, lead.machine_score, lead.engagement, lead.fit, lead.grade) == before


# Law 4: replay = live.


@given(models(), lives(), chances)
def test_replay_gives_what_is_stored(model: Model, moments: list[Moment], chance: random.Random) -> None:
    rules, facts = compiled(model), [moment.fact for moment in moments if moment.fact]
    stored = lived(rules, moments)
    chance.shuffle(facts)
    for history in (History(facts=facts), history_of(rules, facts)):
        assert replay(rules, ADA, history).tallies == stored.tallies
        folding, change = rescore(rules, deepcopy(stored), history, moments[-1].at_us)
        assert change is None
        assert folding.lead == stored


@given(models(1), models(2), lives(), lives(6))
def test_a_lead_by_another_model_goes_on_with_its_ledger_and_is_as_if_it_had_never_been_by_the_first(
    first: Model, second: Model, moments: list[Moment], later: list[Moment]
) -> None:
    one, two = compiled(first), compiled(second)
    rows, at_us = live(one, moments), moments[-1].at_us
    facts = [moment.fact for moment in moments if moment.fact]
    folding, change = rescore(two, deepcopy(rows[-1].lead), history_of(two, facts), at_us)
    ledger = [each for row in rows for each in row.changes] + ([change] if change else [])
    assert_ledger(ledger, folding.lead)
    assert visible(folding.lead) == visible(lived_at_once(second, facts, at_us))
    after = live(two, [Moment(moment.at_us - START_US + at_us, moment.fact) for moment in later], folding.lead)
    for row in after:
        ledger += row.changes
        assert_ledger(ledger, row.lead)


# Law 5: decay is a function of time.


@given(models(), lives())
def test_what_is_stored_is_what_the_formula_gives_from_nothing(model: Model, moments: list[Moment]) -> None:
    rules = compiled(model)
    for moment, row in zip(moments, live(rules, moments), strict=True):
        lead = row.lead
        assert lead.evaluated_us == moment.at_us
        assert parts(evaluate(rules, lead, moment.at_us)) == parts(lead)
        assert evaluate(rules, lead, moment.at_us).lines == lead.lines


@given(models(), fact_lists(), st.integers(0, 45))
def test_day_by_day_is_the_same_as_all_at_once(model: Model, facts: list[Fact], days: int) -> None:
    rules = compiled(model)
    at_us = START_US + days * DAY_US
    today = [Moment(START_US, fact) for fact in facts]
    slowly = lived(rules, [*today, *(Moment(START_US + day * DAY_US, None) for day in range(days + 1))])
    at_once = lived(rules, [*today, Moment(at_us, None)])
    assert visible(slowly) == visible(at_once)
    assert visible(slowly) == visible(lived_at_once(model, facts, at_us))


@given(models(), fact_lists())
def test_until_the_next_change_is_due_nothing_changes(model: Model, facts: list[Fact]) -> None:
    rules = compiled(model)
    lead = folded(rules, facts).lead
    at_us = START_US
    for _ in range(8):
        now, due_us = evaluate(rules, lead, at_us), changes_at_us(rules, lead, at_us)
        last_us = START_US + 3_000 * DAY_US if due_us is None else due_us - 1
        steps = {at_us + (last_us - at_us) * part // 7 for part in range(8)}
        assert all(evaluate(rules, lead, each_us) == now for each_us in steps)
        if due_us is None:
            return
        assert due_us > at_us
        at_us = due_us


@given(models(), lives())
def test_time_alone_that_is_not_due_changes_nothing(model: Model, moments: list[Moment]) -> None:
    rules = compiled(model)
    lead = lived(rules, moments)
    due_us = changes_at_us(rules, lead, moments[-1].at_us)
    later_us = moments[-1].at_us + 400 * DAY_US if due_us is None else due_us - 1
    later = lived(rules, [Moment(later_us, None)], lead)
    later.evaluated_us = lead.evaluated_us
    assert later == lead


@given(models(), lives(8), st.integers(0, 3 * DAY_US), st.integers(0, 50 * DAY_US))
def test_a_forecast_is_what_passing_time_does(model: Model, moments: list[Moment], start: int, length: int) -> None:
    rules = compiled(model)
    lead = lived(rules, moments)
    before, from_us = deepcopy(lead), moments[-1].at_us + start
    steps = list(forecast(rules, lead, from_us, from_us + length))
    assert lead == before
    # Hour by hour would be slow: at each start of a day, and whenever the override ends.
    times = {day * DAY_US for day in range(from_us // DAY_US + 1, (from_us + length) // DAY_US + 1)}
    if lead.override and lead.override.until_us:
        times.add(lead.override.until_us)
    due = [Moment(at_us, None) for at_us in sorted(times) if from_us < at_us <= from_us + length]
    rows = live(rules, due, lived(rules, [Moment(from_us, None)], lead))
    found = [(moment.at_us, change) for moment, row in zip(due, rows, strict=True) for change in row.changes]
    assert [(step.at_us, step.change) for step in steps] == found


# Law 6: thresholds fire once per crossing.


@given(models(), lives(20))
def test_a_named_threshold_fires_once_per_crossing_with_hysteresis(model: Model, moments: list[Moment]) -> None:
    above = {threshold.name: False for threshold in model.thresholds}
    for row in live(compiled(model), moments):
        for change in row.changes:
            points = {
                Measured.SCORE: change.after.score,
                Measured.ENGAGEMENT: change.after.engagement,
                Measured.FIT: change.after.fit,
            }
            fired = {each.threshold: each for each in change.crossings if each.threshold != GRADE}
            assert len(fired) == sum(each.threshold != GRADE for each in change.crossings)
            for each in model.thresholds:
                was_above = above[each.name]
                above[each.name] = points[each.of] >= (each.at - each.hysteresis if was_above else each.at)
                assert (each.name in fired) == (above[each.name] != was_above)
                if each.name in fired:
                    sides = (BELOW, ABOVE) if above[each.name] else (ABOVE, BELOW)
                    assert (fired[each.name].before, fired[each.name].after) == sides
        assert set(row.lead.above) == {name for name, is_above in above.items() if is_above}


@given(models(), lives(20))
def test_the_grade_is_announced_once_per_crossing_with_hysteresis(model: Model, moments: list[Moment]) -> None:
    grades = model.grades
    announced, reached = grades.grade(0, 0), set[str]()
    for row in live(compiled(model), moments):
        for change in row.changes:
            fired = [each for each in change.crossings if each.threshold == GRADE]
            reached = levels_above(grades, reached, change.after.engagement, change.after.fit)
            letter = next((name for name, _ in grades.letters if name in reached), grades.last_letter)
            digit = next((name for name, _ in grades.digits if name in reached), grades.last_digit)
            assert [(each.before, each.after) for each in fired] == [(announced, letter + digit)] * (
                announced != letter + digit
            )
            announced = letter + digit
            assert change.after.grade == grades.grade(change.after.engagement, change.after.fit)


# Law 7: bounds hold.


@given(models(), lives())
def test_every_bound_holds_at_every_moment(model: Model, moments: list[Moment]) -> None:
    for row in live(compiled(model), moments):
        assert_bounds(model, row)


def assert_ledger(ledger: list[Change], lead: Lead) -> None:
    """The ledger has no gaps, and adds up to the score."""
    assert [row.version for row in ledger] == list(range(1, lead.version + 1))
    assert sum(row.after.score - row.score_before for row in ledger) == lead.score
    for before, after in pairwise(ledger):
        assert after.score_before == before.after.score
        assert after.grade_before == before.after.grade


def assert_bounds(model: Model, row: Row) -> None:
    lead = row.lead
    assert 0 <= lead.engagement <= model.engagement_max
    assert 0 <= lead.fit <= model.fit_max
    assert 0 <= lead.machine_score <= model.score_max
    if lead.override is None:
        assert lead.score == lead.machine_score
    for rule in model.rules:
        held_within(lead.lines.get(rule.name, 0), rule.minimum, rule.maximum)
    for group in model.groups:
        its = sum(lead.lines.get(rule.name, 0) for rule in model.rules if rule.group == group.name)
        held_within(its + lead.lines.get(f"bound:group:{group.name}", 0), group.minimum, group.maximum)
    for group in model.fit_groups:
        its = sum(lead.lines.get(each.name, 0) for each in model.criteria if each.group == group.name)
        held_within(its + lead.lines.get(f"bound:fit_group:{group.name}", 0), group.minimum, group.maximum)


def held_within(points: float, minimum: int | None, maximum: int | None) -> None:
    assert minimum is None or points >= minimum
    assert maximum is None or points <= maximum


def levels_above(grades: Grades, reached: set[str], engagement: int, fit: int) -> set[str]:
    """Each letter and each digit is a threshold of its own, with the same hysteresis."""
    of = [*((name, at, fit) for name, at in grades.letters), *((name, at, engagement) for name, at in grades.digits)]
    return {name for name, at, points in of if points >= (at - grades.hysteresis if name in reached else at)}


def lived_at_once(model: Model, facts: list[Fact], at_us: int) -> Lead:
    """The lead that facts make when the first of them comes at a time."""
    return folded(compiled(model), facts, at_us).lead


def parts(scored: object) -> tuple[object, ...]:
    return tuple(getattr(scored, name) for name in ("score", "machine_score", "engagement", "fit", "grade"))
