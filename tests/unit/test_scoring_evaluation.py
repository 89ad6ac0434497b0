"""The formula, line by line."""

from dataclasses import replace
from typing import Any

import pytest

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import (
    RULE_POINTS_MAX,
    Evaluation,
    changes_at_us,
    evaluate,
    exact,
    raw_points,
    rule_points,
)
from services.scorer.scoring.lead import DAY_US, Lead, Override
from services.scorer.scoring.model import Band, Criterion, Decay, Group, Model, Rule, Weight
from services.scorer.scoring.tally import Measure
from services.scorer.scoring.weights import FULL

VIEWS = Rule("views", "page_view", 5, "web")
OPENS = Rule("opens", "email_open", 10, "web")
SOLD = Rule("sold", "purchase", 0.5, "shop")
BUDGET = Criterion("budget", "budget", (Band(0, 40),), group="money")
SIZE = Criterion("size", "size", (Band(0, 7.25),))
TODAY = 20_000


def scored(model: Model, *, at_us: int = TODAY * DAY_US, **of_lead: Any) -> Evaluation:
    return evaluate(CompiledModel(model), Lead("ada", **of_lead), at_us)


def test_a_score_is_engagement_and_fit_and_its_lines_add_up_to_it() -> None:
    model = Model(1, (VIEWS, OPENS), (BUDGET,))
    found = scored(model, tallies={"views": 3, "opens": 1}, profile={"budget": 1})
    assert found == Evaluation(65, 65, 25, 40, "C3", {"views": 15, "opens": 10, "budget": 40})


def test_nothing_is_known_of_a_lead_that_is_new() -> None:
    assert scored(Model(1, (VIEWS,), (BUDGET,))) == Evaluation(0, 0, 0, 0, "D3", {})


@pytest.mark.parametrize(("number", "points", "rounding"), [(1, 1, 0.5), (3, 2, 0.5), (5, 3, 0.5), (2, 1, 0)])
def test_half_a_point_rounds_up_and_says_so(number: int, points: int, rounding: float) -> None:
    found = scored(Model(1, (SOLD,)), tallies={"sold": number})
    assert found.engagement == points
    assert found.lines == {"sold": number / 2, **({"rounding:engagement": rounding} if rounding else {})}


def test_less_than_half_a_point_rounds_down_and_says_so_of_the_fit_too() -> None:
    found = scored(Model(1, (), (SIZE,)), profile={"size": 1})
    assert (found.fit, found.lines) == (7, {"size": 7.25, "rounding:fit": -0.25})


@pytest.mark.parametrize(
    ("group", "taken"),
    [
        (Group("web", maximum=12), -13),
        (Group("web", minimum=30), 5),
        (Group("web", 25, 25), 0),
        (Group("web", None, 0), -25),
        (Group("web"), 0),
        (Group("shop", 3), 3),
        (Group("shop", None, -3), -3),
    ],
)
def test_a_group_holds_the_sum_of_its_rules_and_says_what_it_took_or_gave(group: Group, taken: int) -> None:
    model = Model(1, (VIEWS, OPENS, SOLD), groups=(group,))
    found = scored(model, tallies={"views": 3, "opens": 1})
    assert found.engagement == 25 + taken
    assert found.lines.get(f"bound:group:{group.name}", 0) == taken
    assert len(found.lines) == (3 if taken else 2)


def test_groups_do_not_hold_each_others_rules() -> None:
    model = Model(1, (VIEWS, SOLD), groups=(Group("web", None, 4), Group("shop", 6)))
    found = scored(model, tallies={"views": 1, "sold": 2})
    assert found.lines == {"views": 5, "sold": 1, "bound:group:web": -1, "bound:group:shop": 5}
    assert found.score == 10


def test_groups_of_criteria_hold_theirs() -> None:
    model = Model(1, (), (BUDGET, SIZE), (), (Group("money", None, 30), Group("fit", 8)))
    found = scored(model, profile={"budget": 1, "size": 1})
    assert found.fit == 38
    assert found.lines == {"budget": 40, "size": 7.25, "bound:fit_group:money": -10, "bound:fit_group:fit": 0.75}


@pytest.mark.parametrize(
    ("bounds", "parts", "line"),
    [
        ({"engagement_max": 24}, (64, 24, 40), {"bound:engagement": -1}),
        ({"engagement_max": 25}, (65, 25, 40), {}),
        ({"engagement_max": 0}, (40, 0, 40), {"bound:engagement": -25}),
        ({"fit_max": 39}, (64, 25, 39), {"bound:fit": -1}),
        ({"score_max": 64}, (64, 25, 40), {"bound:score": -1}),
        ({"score_max": 65}, (65, 25, 40), {}),
    ],
)
def test_each_maximum_says_what_it_took(bounds: dict[str, Any], parts: tuple[int, ...], line: dict[str, int]) -> None:
    model = replace(Model(1, (VIEWS, OPENS), (BUDGET,)), **bounds)
    found = scored(model, tallies={"views": 3, "opens": 1}, profile={"budget": 1})
    assert (found.score, found.engagement, found.fit) == parts
    assert found.machine_score == found.score
    assert found.lines == {"views": 15, "opens": 10, "budget": 40, **line}


def test_no_part_is_below_0() -> None:
    model = Model(1, (replace(VIEWS, points=-5),), (replace(BUDGET, bands=(Band(0, -4),)),))
    found = scored(model, tallies={"views": 1}, profile={"budget": 1})
    assert (found.score, found.engagement, found.fit) == (0, 0, 0)
    assert found.lines == {"views": -5, "bound:engagement": 5, "budget": -4, "bound:fit": 4}


def test_a_score_by_hand_holds_until_it_ends_and_the_machine_score_goes_on_beside_it() -> None:
    model, override = Model(1, (VIEWS,)), Override(80, "met her", until_us=100)
    held = scored(model, at_us=99, tallies={"views": 1}, override=override)
    assert (held.score, held.machine_score, held.lines) == (80, 5, {"views": 5, "override": 75})
    ended = scored(model, at_us=100, tallies={"views": 1}, override=override)
    assert (ended.score, ended.machine_score, ended.lines) == (5, 5, {"views": 5})
    for_ever = scored(model, at_us=10**18, tallies={"views": 1}, override=Override(5, ""))
    assert for_ever.lines == {"views": 5, "override": 0}


def test_a_rule_whose_bounds_leave_out_0_gives_points_without_any_event() -> None:
    model = Model(1, (replace(VIEWS, minimum=3), replace(OPENS, maximum=-1), replace(SOLD, minimum=-9, maximum=9)))
    assert scored(model).lines == {"views": 3, "opens": -1}


def test_a_condition_over_the_profile_gives_its_points_or_nothing() -> None:
    criterion = Criterion("rich", condition="rich", points=9)
    model = CompiledModel(Model(1, (), (criterion,)), profile_conditions={"rich": lambda profile: "budget" in profile})
    assert evaluate(model, Lead("ada", profile={"budget": 1}), 0).lines == {"rich": 9}
    assert evaluate(model, Lead("ada"), 0).lines == {}


def test_what_is_kept_of_rules_that_the_model_does_not_have_is_left_alone() -> None:
    assert scored(Model(1, (VIEWS,)), tallies={"views": 1, "old": 7}).lines == {"views": 5}


@pytest.mark.parametrize(
    ("bounds", "weight", "points"),
    [
        ({}, 2 * FULL, 10),
        ({}, FULL // 2, 2.5),
        ({}, 0, 0),
        ({"maximum": 9}, 2 * FULL, 9),
        ({"minimum": 11}, 2 * FULL, 11),
        ({"points": 1 / 3}, FULL, 341 / 1024),
        ({"points": 10**6}, FULL * 10**6, RULE_POINTS_MAX),
        ({"points": -(10**6)}, FULL * 10**6, -RULE_POINTS_MAX),
        ({"points": 10**6, "maximum": 10**6}, FULL * 10**6, 10**6),
    ],
)
def test_the_points_of_a_rule(bounds: dict[str, Any], weight: int, points: float) -> None:
    found = rule_points(replace(VIEWS, **bounds), Measure(1, 1, weight))
    assert found == points
    assert isinstance(found, float)


def test_the_raw_points_of_a_rule_know_no_bounds() -> None:
    assert raw_points(replace(VIEWS, maximum=3), Measure(3, 3, 3 * FULL)) == 15


def test_points_are_rounded_to_a_1024th() -> None:
    assert [exact(points) for points in (0.1, -0.1, 1.5, 0.0001)] == [102 / 1024, -102 / 1024, 1.5, 0]


def test_the_largest_rules_add_up_without_error() -> None:
    rules = tuple(Rule(f"rule_{number}", "*", 1_000_000 / 3) for number in range(1000))
    found = scored(Model(1, rules), tallies={rule.name: 10**9 for rule in rules})
    assert found.engagement == sum(found.lines.values()) == 1000
    assert found.lines["bound:engagement"] == 1000 - 1000 * RULE_POINTS_MAX


AGING = replace(VIEWS, weight=Weight(Decay.FRAME, 3))
ALSO_AGING = replace(OPENS, weight=Weight(Decay.LINEAR, 3))


@pytest.mark.parametrize(
    ("of_lead", "expected"),
    [
        ({}, None),
        ({"tallies": {"sold": 5}}, None),
        ({"tallies": {"views": {TODAY: 1}}}, (TODAY + 3) * DAY_US),
        ({"tallies": {"views": {TODAY: 1}, "opens": {TODAY: 1}}}, (TODAY + 1) * DAY_US),
        ({"tallies": {"views": {TODAY - 3: 1}}}, None),
        ({"override": Override(5, "")}, None),
        ({"override": Override(5, "", TODAY * DAY_US + 7)}, None),
        ({"override": Override(5, "", TODAY * DAY_US + 8)}, TODAY * DAY_US + 8),
        ({"override": Override(5, "", TODAY * DAY_US + 8), "tallies": {"views": {TODAY: 1}}}, TODAY * DAY_US + 8),
        ({"override": Override(5, "", (TODAY + 9) * DAY_US), "tallies": {"views": {TODAY: 1}}}, (TODAY + 3) * DAY_US),
    ],
)
def test_when_time_alone_may_change_a_score(of_lead: dict[str, Any], expected: int | None) -> None:
    model = CompiledModel(Model(1, (SOLD, AGING, ALSO_AGING)))
    assert changes_at_us(model, Lead("ada", **of_lead), TODAY * DAY_US + 7) == expected
