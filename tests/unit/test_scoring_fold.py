"""What each fact, each day and each model makes of a lead, and what is announced of it."""

from dataclasses import replace
from typing import Any

import pytest

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import Evaluation
from services.scorer.scoring.fold import Cause, Change, Contribution, Folding
from services.scorer.scoring.forecast import forecast
from services.scorer.scoring.lead import (
    DAY_US,
    NOTE,
    OVERRIDE,
    OWNER,
    PROFILE,
    STATUS,
    STATUSES_MAX,
    Fact,
    Lead,
    Override,
    StatusChange,
)
from services.scorer.scoring.model import (
    Band,
    Criterion,
    Decay,
    Frequency,
    Grades,
    Measured,
    Model,
    Rule,
    Threshold,
    Weight,
)
from services.scorer.scoring.replay import DayCount, History, replay, rescore
from services.scorer.scoring.thresholds import Crossing, cross

TODAY = 20_000
NOW_US = TODAY * DAY_US
VIEWS = Rule("views", "page_view", 5, weight=Weight(Decay.FRAME, 2))
SOLD = Rule("sold", "purchase", 30)
BUDGET = Criterion("budget", "budget", (Band(0, 40),))
MODEL = Model(1, (VIEWS, SOLD), (BUDGET,), thresholds=(Threshold("hot", 30, 10),))
RULES = CompiledModel(MODEL)


def fact(number: int, fact_type: str, at_us: int = NOW_US, /, **said: Any) -> Fact:
    return Fact(f"e{number}", "ada", fact_type, at_us, said)


def folding(*facts: Fact, model: CompiledModel = RULES, at_us: int = NOW_US) -> Folding:
    result = Folding(model, Lead("ada"), at_us)
    for each in facts:
        result.apply(each)
    return result


def test_an_event_is_a_row_of_the_ledger_with_all_that_is_to_be_known_of_it() -> None:
    sold = fact(1, "purchase")
    assert folding().apply(sold) == Change(
        lead_id="ada",
        cause=Cause.EVENT,
        fact=sold,
        version=1,
        model_version=1,
        score_before=0,
        grade_before="",
        after=Evaluation(30, 30, 30, 0, "D3", {"sold": 30}),
        contributions=(Contribution("sold", 1, 30),),
        crossings=(Crossing("hot", "below", "above"),),
    )


def test_a_profile_is_a_row_of_its_own_cause() -> None:
    its = folding(fact(1, "purchase"))
    change = its.apply(fact(2, PROFILE, budget=5))
    assert change is not None
    assert (change.cause, change.version, change.score_before, change.grade_before) == (Cause.PROFILE, 2, 30, "D3")
    assert change.contributions == (Contribution("budget", 0, 40),)
    assert change.crossings == (Crossing("grade", "D3", "C3"),)


def test_what_changes_no_score_is_no_row() -> None:
    its = folding(fact(1, "purchase"))
    assert its.apply(fact(2, "unheard_of")) is None
    assert its.apply(fact(3, PROFILE, name="Ada")) is None
    assert its.apply(fact(4, NOTE, text="called")) is None
    assert its.apply(fact(5, STATUS, status="won")) is None
    assert its.apply(fact(6, OWNER, owner="kim")) is None
    assert (its.lead.version, its.lead.status, its.lead.owner, its.lead.event_count) == (1, "won", "kim", 2)


def test_a_lead_whose_first_fact_is_a_status_gets_what_the_model_gives_to_everybody() -> None:
    model = CompiledModel(replace(MODEL, rules=(replace(SOLD, minimum=7),)))
    change = folding(model=model).apply(fact(1, STATUS, status="won"))
    assert change is not None
    assert (change.cause, change.after.score, change.after.lines) == (Cause.PROFILE, 7, {"sold": 7})
    assert folding(fact(1, NOTE)).lead.grade == "D3"


def test_a_rule_that_counts_but_gives_nothing_more_is_no_contribution() -> None:
    model = CompiledModel(Model(1, (SOLD, Rule("full", "purchase", 5, maximum=0))))
    change = folding(model=model).apply(fact(1, "purchase"))
    assert change is not None
    assert change.contributions == (Contribution("sold", 1, 30),)
    assert change.after.lines == {"sold": 30, "full": 0}


def test_a_first_fact_that_gives_no_points_is_no_row() -> None:
    lowest = Grades((("A", 1),), "D", (("1", 1),), "3")
    its = folding(model=CompiledModel(replace(MODEL, grades=lowest)))
    assert its.apply(fact(1, "unheard_of")) is None
    assert its.lead.grade == "D3"


def test_points_that_go_away_are_contributions_too() -> None:
    its = folding(fact(1, PROFILE, NOW_US, budget=5))
    change = its.apply(fact(2, PROFILE, NOW_US, budget=None))
    assert change is not None
    assert change.contributions == (Contribution("budget", 0, -40),)


def test_time_that_takes_points_is_a_row_without_a_fact() -> None:
    lead = folding(fact(1, "page_view")).lead
    next_day = Folding(RULES, lead, NOW_US + DAY_US)
    assert next_day.pass_time() is None
    assert lead.evaluated_us == NOW_US + DAY_US
    change = Folding(RULES, lead, NOW_US + 2 * DAY_US).pass_time()
    assert change is not None
    assert (change.cause, change.fact, change.score_before, change.after.score) == (Cause.DECAY, None, 5, 0)
    assert change.contributions == (Contribution("views", 0, -5),)
    assert change.version == 2


def test_no_time_has_passed_for_a_lead_without_a_fact() -> None:
    model = CompiledModel(replace(MODEL, rules=(replace(VIEWS, minimum=7),)))
    its = folding(model=model, at_us=NOW_US + 5)
    assert its.pass_time() is None
    change = its.apply(fact(1, NOTE))
    assert change is not None
    assert (change.cause, change.version, change.after.score) == (Cause.PROFILE, 1, 7)


def test_the_clock_of_a_lead_never_goes_back() -> None:
    lead = folding(fact(1, "page_view")).lead
    Folding(RULES, lead, NOW_US + 2 * DAY_US).pass_time()
    earlier = Folding(RULES, lead, NOW_US)
    assert earlier.pass_time() is None
    earlier.apply(fact(2, "page_view"))
    assert (lead.score, lead.evaluated_us) == (0, NOW_US + 2 * DAY_US)


def test_a_score_by_hand_comes_and_ends_as_rows_of_their_own_cause() -> None:
    its = folding(fact(1, "purchase"))
    set_by_hand = its.apply(fact(2, OVERRIDE, score=80, reason="met her", until_us=NOW_US + 9, actor="kim"))
    assert set_by_hand is not None
    assert (set_by_hand.cause, set_by_hand.after.score) == (Cause.OVERRIDE, 80)
    assert set_by_hand.contributions == (Contribution("override", 0, 50),)
    assert its.lead.override == Override(80, "met her", NOW_US + 9, "kim")
    assert Folding(RULES, its.lead, NOW_US + 8).pass_time() is None
    ended = Folding(RULES, its.lead, NOW_US + 9).pass_time()
    assert ended is not None
    assert (ended.cause, ended.fact, ended.score_before, ended.after.score) == (Cause.OVERRIDE, None, 80, 30)
    assert Folding(RULES, its.lead, NOW_US + 10).pass_time() is None


def test_a_score_by_hand_is_taken_back_by_one_that_names_none() -> None:
    its = folding(fact(1, OVERRIDE, score=80))
    assert its.lead.override == Override(80, "", None, "")
    change = its.apply(fact(2, OVERRIDE, reason="a mistake"))
    assert change is not None
    assert (change.cause, change.after.score) == (Cause.OVERRIDE, 0)
    assert folding(fact(1, OVERRIDE, score=80), fact(2, OVERRIDE)).lead.override is None


def test_under_a_score_by_hand_time_goes_on_and_is_a_row_of_the_machine_score() -> None:
    lead = folding(fact(1, "page_view"), fact(2, OVERRIDE, score=80)).lead
    change = Folding(RULES, lead, NOW_US + 2 * DAY_US).pass_time()
    assert change is not None
    assert (change.cause, change.after.score, change.after.machine_score) == (Cause.DECAY, 80, 0)
    assert sorted(each.points for each in change.contributions) == [-5, 5]


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_of_two_facts_about_the_same_the_later_one_holds_whichever_comes_first(numbers: tuple[int, int]) -> None:
    said = {1: "earlier", 2: "later"}
    its = folding(
        *(fact(number, STATUS, NOW_US + number, status=said[number]) for number in numbers),
        *(fact(number, OWNER, NOW_US, owner=said[number]) for number in numbers),
        *(fact(number, OVERRIDE, NOW_US + number, score=number) for number in numbers),
        *(fact(number, PROFILE, NOW_US, key=said[number], **{said[number]: number}) for number in numbers),
    )
    assert (its.lead.status, its.lead.owner) == ("later", "later")
    assert its.lead.override == Override(2, "", None, "")
    assert its.lead.profile == {"key": "later", "later": 2, "earlier": 1}


def test_a_late_profile_does_not_overwrite_a_newer_one_and_null_forgets() -> None:
    its = folding(
        Fact("e2", "ada", PROFILE, 20, {"industry": "tech", "name": None}),
        Fact("e1", "ada", PROFILE, 10, {"industry": "finance", "name": "Ada", "city": "Turin"}),
        Fact("e3", "ada", PROFILE, 30, None),
    )
    assert its.lead.profile == {"industry": "tech", "city": "Turin"}
    assert its.lead.profile_since == {"industry": (20, "e2"), "name": (20, "e2"), "city": (10, "e1")}


def test_the_first_and_the_last_event_are_those_by_their_own_time() -> None:
    its = folding(fact(1, "page_view", 30), fact(2, "unheard_of", 10), fact(3, "page_view", 20), fact(4, NOTE, 99))
    assert (its.lead.event_count, its.lead.first_event_us, its.lead.last_event_us) == (3, 10, 30)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_a_lead_is_known_since_the_earliest_fact_and_comes_from_the_source_of_the_earliest_event(
    order: tuple[int, ...],
) -> None:
    heard = [
        Fact("n", "ada", NOTE, 0, {}, "by hand"),
        Fact("b", "ada", "page_view", 3 * DAY_US, None, "web"),
        Fact("a", "ada", "unheard_of", 3 * DAY_US, None, "crm"),
    ]
    its = folding(*(heard[number] for number in order))
    assert (its.lead.known_since_us, its.lead.source, its.lead.source_since) == (0, "crm", (3 * DAY_US, "a"))
    assert (its.lead.first_day, its.lead.days) == (3, 1)


def test_the_days_with_events_are_bits_from_the_first_of_them_on() -> None:
    its = folding(*(fact(day, "unheard_of", day * DAY_US) for day in (5, 7, 4, 7)))
    assert (its.lead.first_day, its.lead.days) == (4, 0b1011)
    assert (folding(fact(1, NOTE)).lead.first_day, folding(fact(1, NOTE)).lead.days) == (0, 0)


def test_a_replay_of_counts_takes_the_source_from_the_earliest_event() -> None:
    days = [DayCount("page_view", 3, 2, 3 * DAY_US, 3 * DAY_US + 9)]
    sold = Fact("e9", "ada", "purchase", 4 * DAY_US, None, "crm")
    first = Fact("e1", "ada", "page_view", 3 * DAY_US, None, "web")
    lead = replay(RULES, "ada", History(days, [sold], first))
    assert (lead.source, lead.source_since, lead.event_count) == ("web", (3 * DAY_US, "e1"), 3)
    assert (lead.first_day, lead.days, lead.known_since_us) == (3, 0b11, 3 * DAY_US)


def test_of_very_many_changes_of_status_the_newest_are_kept_in_any_order() -> None:
    said = [fact(number, STATUS, number, status=str(number)) for number in range(STATUSES_MAX + 3)]
    for each in (said, said[::-1]):
        lead = folding(*each).lead
        assert [change.occurred_us for change in lead.statuses] == list(range(3, STATUSES_MAX + 3))
        assert lead.status == str(STATUSES_MAX + 2)
    assert STATUSES_MAX == 1_000
    assert lead.statuses[0] == StatusChange(3, "e3", "3")


def test_the_day_of_the_last_change_is_that_of_the_last_row() -> None:
    its = folding(fact(1, "purchase"))
    later = Folding(RULES, its.lead, NOW_US + DAY_US)
    later.apply(fact(2, "unheard_of"))
    assert its.lead.changed_day == TODAY
    later.apply(fact(3, "purchase"))
    assert its.lead.changed_day == TODAY + 1
    same, _ = rescore(RULES, its.lead, History(facts=[fact(1, "purchase"), fact(3, "purchase")]), NOW_US + 9 * DAY_US)
    assert same.lead.changed_day == TODAY + 1


def test_a_rule_counts_only_events_that_fulfil_its_condition() -> None:
    rules = (replace(SOLD, condition="big"), Rule("all", "*", 1))
    model = CompiledModel(Model(1, rules), {"sold": lambda event: bool(event.properties)})
    its = folding(fact(1, "purchase", amount=1), fact(2, "purchase"), fact(3, "page_view", amount=1), model=model)
    assert its.lead.tallies == {"sold": 1, "all": 3}


def test_a_rule_by_a_key_counts_each_value_of_it() -> None:
    rule = Rule("opens", "email_open", 10, frequency=Frequency(1, per="properties.email"))
    opens = [fact(number, "email_open", email=name) for number, name in enumerate("aab")]
    assert folding(*opens, fact(4, "email_open"), model=CompiledModel(Model(1, (rule,)))).lead.score == 30


def test_a_lead_goes_on_by_another_model_from_where_it_was() -> None:
    other = CompiledModel(Model(2, (replace(SOLD, points=31),), thresholds=(Threshold("warm", 5), Threshold("hot", 9))))
    facts = [fact(1, "purchase"), fact(2, "page_view")]
    lead = folding(*facts).lead
    its, change = rescore(other, lead, History(facts=facts), NOW_US - 5)
    assert change is not None
    assert (change.cause, change.version, change.model_version, change.fact) == (Cause.RESCORE, 3, 2, None)
    assert (change.score_before, change.grade_before, change.after.score) == (35, "D3", 31)
    assert change.contributions == (Contribution("sold", 0, 1), Contribution("views", 0, -5))
    # It was above `hot` before, and nothing is said twice; `warm` is new.
    assert change.crossings == (Crossing("warm", "below", "above"),)
    assert (its.lead.model_version, its.lead.evaluated_us, its.lead.above) == (2, NOW_US, ("warm", "hot"))
    same, nothing = rescore(other, its.lead, History(facts=facts), NOW_US)
    assert nothing is None
    assert same.lead == its.lead


def test_a_rule_that_gave_nothing_and_is_gone_is_no_contribution() -> None:
    first = CompiledModel(Model(1, (SOLD, replace(VIEWS, event_type="*", points=0))))
    lead = folding(fact(1, "purchase"), model=first).lead
    assert lead.lines == {"sold": 30, "views": 0}
    _, change = rescore(CompiledModel(Model(2)), lead, History(facts=[fact(1, "purchase")]), NOW_US)
    assert change is not None
    assert change.contributions == (Contribution("sold", 0, -30),)


def test_a_lead_by_another_model_is_not_folded_into() -> None:
    with pytest.raises(AssertionError, match=r"^a lead by another model is replayed first"):
        Folding(CompiledModel(replace(MODEL, version=2)), folding(fact(1, NOTE)).lead, NOW_US)


def test_counts_by_day_are_as_good_as_the_events() -> None:
    facts = [fact(1, "page_view", NOW_US + 5), fact(2, "page_view", NOW_US + 3), fact(3, "purchase", NOW_US - 1)]
    days = [DayCount("page_view", TODAY, 2, NOW_US + 3, NOW_US + 5)]
    lead = replay(RULES, "ada", History(days, facts[2:]))
    assert lead == replay(RULES, "ada", History(facts=facts))
    assert lead.tallies == {"views": {TODAY: 2}, "sold": 1}
    assert (lead.lead_id, lead.model_version, lead.event_count) == ("ada", 0, 3)
    assert (lead.first_event_us, lead.last_event_us) == (NOW_US - 1, NOW_US + 5)


def test_a_forecast_says_what_will_be_and_when_and_leaves_the_lead_alone() -> None:
    until = {"until_us": NOW_US + 5 * DAY_US + 7}
    lead = folding(fact(1, "purchase"), fact(2, "page_view", NOW_US - 1), fact(3, OVERRIDE, score=80, **until)).lead
    stored = replace(lead)
    steps = list(forecast(RULES, lead, NOW_US, NOW_US + 9 * DAY_US))
    assert [(step.at_us, step.change.cause, step.change.after.score) for step in steps] == [
        (NOW_US + DAY_US, Cause.DECAY, 80),
        (NOW_US + 5 * DAY_US + 7, Cause.OVERRIDE, 30),
    ]
    assert lead == stored


@pytest.mark.parametrize(
    ("from_day", "until_day", "days"), [(0, 2, [2]), (0, 1, []), (1, 9, [2]), (2, 9, []), (-5, 9, [2])]
)
def test_a_forecast_is_of_what_comes_after_its_beginning_and_not_after_its_end(
    from_day: int, until_day: int, days: list[int]
) -> None:
    lead = folding(fact(1, "page_view")).lead
    steps = forecast(RULES, lead, NOW_US + from_day * DAY_US, NOW_US + until_day * DAY_US)
    assert [step.at_us for step in steps] == [NOW_US + day * DAY_US for day in days]


# Thresholds.

GRADES = Grades((("A", 75), ("B", 50)), "D", (("1", 200), ("2", 100)), "3", hysteresis=10)


def announced(model: Model, *points: tuple[int, int]) -> list[list[tuple[str, str, str]]]:
    """What is announced of a lead with such engagement and fit, one after the other."""
    lead, result = Lead("ada"), []
    for engagement, fit in points:
        score, grade = engagement + fit, model.grades.grade(engagement, fit)
        after = Evaluation(score, score, engagement, fit, grade, {})
        result.append([(each.threshold, each.before, each.after) for each in cross(model, lead, after)])
    return result


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 0)], [[]]),
        ([(0, 49), (0, 50)], [[], [("grade", "D3", "B3")]]),
        ([(0, 75), (0, 65), (0, 64)], [[("grade", "D3", "A3")], [], [("grade", "A3", "B3")]]),
        # Past two thresholds at once, each keeps its hysteresis.
        ([(0, 75), (0, 40), (0, 39)], [[("grade", "D3", "A3")], [("grade", "A3", "B3")], [("grade", "B3", "D3")]]),
        ([(0, 75), (0, 39)], [[("grade", "D3", "A3")], [("grade", "A3", "D3")]]),
        ([(0, 60), (0, 70), (0, 75)], [[("grade", "D3", "B3")], [], [("grade", "B3", "A3")]]),
        ([(200, 0), (190, 0), (189, 0)], [[("grade", "D3", "D1")], [], [("grade", "D1", "D2")]]),
        ([(100, 50), (90, 40), (89, 39)], [[("grade", "D3", "B2")], [], [("grade", "B2", "D3")]]),
    ],
)
def test_a_grade_is_announced_up_at_once_and_down_with_hysteresis(
    points: list[tuple[int, int]], expected: list[list[tuple[str, str, str]]]
) -> None:
    assert announced(Model(1, grades=GRADES), *points) == expected


def test_a_grade_without_hysteresis_is_announced_each_time_it_is_another() -> None:
    model = Model(1, grades=replace(GRADES, hysteresis=0))
    assert announced(model, (0, 0), (0, 50), (99, 60), (100, 60), (0, 49)) == [
        [],
        [("grade", "D3", "B3")],
        [],
        [("grade", "B3", "B2")],
        [("grade", "B2", "D3")],
    ]


@pytest.mark.parametrize(
    ("of", "points"),
    [
        (Measured.SCORE, [(15, 14), (15, 15), (10, 10), (10, 9), (15, 14), (0, 30)]),
        (Measured.ENGAGEMENT, [(29, 99), (30, 0), (20, 99), (19, 99), (29, 0), (30, 0)]),
        (Measured.FIT, [(99, 29), (0, 30), (99, 20), (99, 19), (0, 29), (0, 30)]),
    ],
)
def test_a_threshold_fires_once_per_crossing(of: Measured, points: list[tuple[int, int]]) -> None:
    model = Model(1, grades=Grades((), "D", (), "3"), thresholds=(Threshold("hot", 30, 10, of),))
    up, down = [("hot", "below", "above")], [("hot", "above", "below")]
    assert announced(model, *points) == [[], up, [], down, [], up]


def test_several_thresholds_are_announced_in_the_order_of_the_model_after_the_grade() -> None:
    model = Model(1, grades=GRADES, thresholds=(Threshold("hot", 60), Threshold("warm", 30), Threshold("far", 999)))
    assert announced(model, (0, 60), (0, 40), (0, 0)) == [
        [("grade", "D3", "B3"), ("hot", "below", "above"), ("warm", "below", "above")],
        [("hot", "above", "below")],
        [("grade", "B3", "D3"), ("warm", "above", "below")],
    ]


def test_a_threshold_that_is_no_more_is_forgotten_in_silence() -> None:
    lead = Lead("ada", above=("old", "hot"))
    model = Model(1, thresholds=(Threshold("hot", 5),))
    assert cross(model, lead, Evaluation(5, 5, 5, 0, "", {})) == ()
    assert lead.above == ("hot",)
    assert cross(replace(model, thresholds=()), lead, Evaluation(0, 0, 0, 0, "", {})) == ()
    assert not lead.above
