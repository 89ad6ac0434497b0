"""The default model, grades, rules and criteria, by examples."""

from dataclasses import replace
from typing import Any

import pytest

from services.scorer.scoring.compiled import TYPES_MAX, CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.evaluation import evaluate
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import Fact, Lead
from services.scorer.scoring.model import Band, Criterion, Decay, Frequency, Grades, Model, Rule, Weight
from services.scorer.scoring.validation import faults_of

# The four tables of points that a tenant starts with.
BUDGETS = {60_000: 30, 50_000: 30, 49_999.99: 20, 10_000: 20, 9_999: 10, 0.01: 10, 0: 0, -5: 0, "50000": 0}
SIZES = {10_000: 30, 500: 30, 499: 20, 100: 20, 99: 10, 1: 10, 0: 0}
INDUSTRIES = {"tech": 20, " TECH ": 20, "finance": 15, "healthcare": 10, "fishing": 5, "": 5, 3: 0}
URGENCIES = {"immediately": 20, "this_week": 15, "this_month": 10, "later": 5, "some day": 5}
TABLES: dict[str, dict[Any, int]] = {
    "budget": BUDGETS,
    "company_size": SIZES,
    "industry": INDUSTRIES,
    "urgency": URGENCIES,
}


def fit_of(profile: dict[str, object]) -> int:
    return evaluate(CompiledModel(default_model()), Lead("ada", profile=profile), 0).fit


@pytest.mark.parametrize(
    ("key", "value", "points"), [(key, *line) for key, table in TABLES.items() for line in table.items()]
)
def test_the_default_model_gives_the_points_of_its_tables(key: str, value: object, points: int) -> None:
    assert fit_of({key: value}) == points


@pytest.mark.parametrize("key", TABLES)
def test_what_is_not_known_gives_nothing(key: str) -> None:
    assert fit_of({}) == fit_of({key: None}) == 0


@pytest.mark.parametrize(
    ("profile", "points"),
    [
        ((50_000, 250, "tech", "this_week"), 85),
        ((49_999.99, 500, "finance", "immediately"), 85),
        ((10_000, 99, "healthcare", "this_month"), 50),
        ((1, 1, "fishing", "later"), 30),
        ((80_000, 1_000, "tech", "immediately"), 100),
        ((0, 0, None, None), 0),
        (("50000", True, 3, None), 0),
    ],
)
def test_the_four_tables_add_up(profile: tuple[object, ...], points: int) -> None:
    assert fit_of(dict(zip(TABLES, profile, strict=True))) == points


def test_the_default_model_is_a_good_one_of_version_1() -> None:
    assert faults_of(default_model()) == []
    model = CompiledModel(default_model())
    assert model.version == 1
    assert sorted(model.rules) == ["demo_request", "email_open", "form_submission", "page_view", "purchase"]
    assert sorted(model.criteria) == sorted(TABLES)


@pytest.mark.parametrize(
    ("event_type", "rule", "points"),
    [
        ("page_view", "page_view", 5),
        ("email_open", "email_open", 10),
        ("form_submission", "form_submission", 20),
        ("form_submit", "form_submission", 20),
        ("demo_request", "demo_request", 50),
        ("purchase", "purchase", 100),
    ],
)
def test_one_event_gives_the_points_of_its_rule_in_the_default_model(event_type: str, rule: str, points: int) -> None:
    folding = Folding(CompiledModel(default_model()), Lead("ada"), 0)
    folding.apply(Fact("e1", "ada", event_type, 0))
    assert (folding.lead.score, folding.lead.lines) == (points, {rule: points})


def test_an_event_that_no_rule_is_about_gives_nothing() -> None:
    folding = Folding(CompiledModel(default_model()), Lead("ada"), 0)
    assert folding.apply(Fact("e1", "ada", "unheard_of", 0)) is None
    assert (folding.lead.score, folding.lead.event_count) == (0, 1)


@pytest.mark.parametrize(
    ("engagement", "fit", "grade"),
    [(200, 75, "A1"), (199, 74, "B2"), (50, 50, "B2"), (49, 49, "C3"), (0, 25, "C3"), (0, 24, "D3"), (1000, 0, "D1")],
)
def test_a_grade_is_a_fit_letter_and_an_engagement_digit(engagement: int, fit: int, grade: str) -> None:
    assert Grades().grade(engagement, fit) == grade


@pytest.mark.parametrize(
    ("pattern", "event_type", "sees"),
    [
        ("page_view", "page_view", True),
        ("page_view", "page_view_2", False),
        ("shop_*", "shop_buy", True),
        ("shop_*", "shop_", True),
        ("shop_*", "shop", False),
        ("shop_*", "my_shop_buy", False),
        ("*", "anything", True),
    ],
)
def test_a_star_at_the_end_stands_for_all_that_start_so(pattern: str, event_type: str, sees: bool) -> None:
    assert Rule("rule", pattern, 1).sees(event_type) is sees


@pytest.mark.parametrize(
    ("rule", "by_day", "needs_the_event"),
    [
        (Rule("rule", "page_view", 1), False, False),
        (Rule("rule", "page_view", 1, weight=Weight(Decay.FRAME, 1)), True, False),
        (Rule("rule", "page_view", 1, frequency=Frequency(5)), False, False),
        (Rule("rule", "page_view", 1, frequency=Frequency(None, 1)), True, False),
        (Rule("rule", "page_view", 1, frequency=Frequency(5, per="source")), False, True),
        (Rule("rule", "page_view", 1, condition="true"), False, True),
    ],
)
def test_a_rule_asks_for_no_more_than_it_needs(rule: Rule, by_day: bool, needs_the_event: bool) -> None:
    assert (rule.by_day, rule.needs_the_event) == (by_day, needs_the_event)


BANDS = Criterion("c", "k", (Band(10, 1), Band(0, 5), Band(0, 3, exclusive=True), Band(10, 2, exclusive=True)))


@pytest.mark.parametrize(
    ("value", "points"),
    [(-1, 0), (0, 5), (0.5, 3), (10, 1), (10.5, 2), (1e300, 2), (float("nan"), 0), (True, 0), (None, 0), ("10", 0)],
)
def test_the_highest_band_that_is_reached_gives_its_points_in_whichever_order_they_stand(
    value: object, points: float
) -> None:
    assert BANDS.points_of(value) == points
    assert replace(BANDS, bands=BANDS.bands[::-1]).points_of(value) == points


def test_words_and_bands_of_one_criterion_do_not_get_in_each_others_way() -> None:
    both = Criterion("c", "k", (Band(5, 1),), {"tech": 2}, otherwise=3)
    values: tuple[object, ...] = (5, 4, "Tech", "five", [], {"tech": 1})
    assert [both.points_of(value) for value in values] == [1, 0, 2, 3, 0, 0]


def test_an_alias_leads_to_the_rules_of_what_it_stands_for_and_to_no_others() -> None:
    rules = (Rule("sold", "purchase", 1), Rule("shop", "shop_*", 1), Rule("all", "*", 1))
    model = CompiledModel(Model(7, rules, aliases={"shop_buy": "purchase"}))
    assert model.version == 7
    assert [rule.name for rule in model.rules_for("shop_buy")] == ["sold", "all"]
    assert [rule.name for rule in model.rules_for("shop_look")] == ["shop", "all"]
    assert [rule.name for rule in model.rules_for("purchase")] == ["sold", "all"]


def test_the_rules_of_a_type_are_found_once() -> None:
    model = CompiledModel(Model(1, (Rule("all", "*", 1),)))
    assert model.rules_for("page_view") is model.rules_for("page_view")


def test_types_without_end_are_not_remembered_without_end() -> None:
    model = CompiledModel(Model(1, (Rule("all", "*", 1), Rule("one", "type_1", 1))))
    for number in range(TYPES_MAX):
        model.rules_for(f"type_{number}")
    assert len(model._by_type) == TYPES_MAX
    assert [rule.name for rule in model.rules_for("one_more")] == ["all"]
    assert len(model._by_type) == 1
    assert [rule.name for rule in model.rules_for("type_1")] == ["all", "one"]


def test_the_types_that_need_the_event_are_those_of_rules_that_do_and_what_is_sent_for_them() -> None:
    rules = (Rule("a", "page_view", 1), Rule("b", "purchase", 1, condition="big"))
    model = Model(1, rules, aliases={"order": "purchase", "visit": "page_view"})
    assert CompiledModel(model, {"b": lambda fact: True}).types_needing_the_event == frozenset({"purchase", "order"})
    assert CompiledModel(replace(model, rules=rules[:1])).types_needing_the_event == frozenset()
    prefixed = replace(model, rules=(*rules, Rule("c", "shop_*", 1, frequency=Frequency(1, per="source"))))
    assert CompiledModel(prefixed).types_needing_the_event is None


def test_a_rule_without_a_condition_is_fulfilled_by_every_event() -> None:
    rules = (Rule("a", "page_view", 1), Rule("b", "page_view", 1, condition="big"))
    model = CompiledModel(Model(1, rules), {"b": lambda fact: fact.source == "web"})
    one, other = Fact("e1", "ada", "page_view", 0), Fact("e2", "ada", "page_view", 0, source="web")
    assert [model.fulfils(rule, one) for rule in rules] == [True, False]
    assert [model.fulfils(rule, other) for rule in rules] == [True, True]
