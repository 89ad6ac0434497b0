"""Conditions: what they may be made of, and that asking one never fails."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.conditions.expression import (
    EVENT,
    PROFILE,
    BadCondition,
    Expression,
    compile_model,
    event_value,
    faults_of_conditions,
)
from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import Criterion, Model, Rule

ORDER = {"total": 120, "currency": "EUR", "items": [{"sku": "a", "number": 2}, {"sku": "b"}], "coupon": None}


def ask(source: str, properties: dict[str, Any] | None = None) -> tuple[bool, str]:
    fact = Fact("e", "ada", "purchase", 0, ORDER if properties is None else properties, "shop")
    return Expression(source, EVENT).answer(event_value(fact))


@pytest.mark.parametrize(
    "source",
    [
        'event.type == "purchase"',
        'event.source.startsWith("sh") && event.properties.total >= 120',
        "event.properties.total * 2.0 > 200.0",
        "event.properties.total == 120 || event.properties.missing",
        'event.properties.items.exists(item, item.sku == "b")',
        "event.properties.items.filter(item, has(item.number)).size() == 1",
        'event.properties["currency"] in ["EUR", "CHF"]',
        'event.properties.currency.matches("^[A-Z]{3}$")',
        "event.properties.coupon == null",
        "event.properties.coupon == null || event.properties.coupon != 5.0",
        "event.properties.total != 5.0",
        'event.properties.currency != "USD" || event.properties.coupon != 5.0',
        'event.type != "page_view"',
        "has(event.properties.total) ? true : false",
        'event\n  .properties.currency != "USD"',
    ],
)
def test_a_condition_is_fulfilled(source: str) -> None:
    assert ask(source) == (True, "")


@pytest.mark.parametrize(
    "source",
    [
        "event.properties.missing > 1",
        "!(event.properties.missing > 1)",
        "event.properties.coupon > 1",
        "event.properties.currency > 1",
        "event.properties.total",
        "event.properties.items > 3",
        "event.properties.total.deeper == 1",
        "event.properties.items.exists(item, item.number > 5)",
        "event.properties.total / 0.0 > 1.0 && event.properties.nothing",
        "int(event.properties.currency) == 1",
        "event.properties.coupon != 5.0",
        'event.properties.total != "much"',
        "event.properties.currency != 5",
        "5.0 != event.properties.missing",
    ],
)
def test_what_a_condition_cannot_be_asked_of_does_not_fulfil_it_and_the_reason_is_told(source: str) -> None:
    fulfilled, why = ask(source)
    assert not fulfilled
    assert why


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("event.properties.x >", "line 1, column 21: Syntax error"),
        ("event.source ==\n  soon()", "line 2, column 7: undeclared reference to 'soon'"),
        ("true", "does not depend on 'event'"),
        ('event.source + "x"', "must give true or false"),
        ('timestamp(event.source) > timestamp("2020-01-01T00:00:00Z")', "function 'timestamp' cannot be used"),
        ('event.source.matches("(a+)+$")', "repeats a repetition"),
        (r'event.source.matches("(a)\\1")', "looks around or refers back"),
        ('event.source.matches("(?=a)b")', "looks around or refers back"),
        ('event.source.matches("a(")', "the pattern 'a(' is none"),
        ("event.source.matches(event.type)", "must be a text that stands in the condition"),
        ("[1].all(x, [2].all(y, event.source == x))", "a loop within a loop"),
        ("event.properties.l.all(x, x + x == event.source)", "an addition within a loop"),
        ("event.a" + " + event.a" * 9 + ' == "x"', "adds more than 8 times"),
        ('{"a": event.source}.a == "x"', "maps and messages cannot be built"),
        ("event.a&&" * 150 + "event.a", "parts; at most 200"),
        ("(" * 300 + "event.a" + ")" * 300, "nested too deeply"),
        ("event.a == '" + "x" * 2_000 + "'", "characters; at most 2000"),
        ("event.a == 'x\0'", "control characters"),
        ("profile.a == 1", "undeclared reference to 'profile"),
    ],
)
def test_a_condition_that_could_run_long_fail_or_never_differ_is_refused(source: str, why: str) -> None:
    with pytest.raises(BadCondition) as refused:
        Expression(source, EVENT)
    assert why in str(refused.value)


def test_the_faults_of_a_model_name_rule_and_criterion() -> None:
    model = Model(
        1,
        rules=(
            Rule("typo", "purchase", 1, condition="event.total > 1"),
            Rule("other type", "purchase", 1, condition='event.type == "page_view"'),
            Rule("any type", "shop_*", 1, condition='event.type == "page_view"'),
            Rule("good", "purchase", 1, condition="event.properties.total > 1"),
        ),
        criteria=(Criterion("bad", condition="profile.x >"), Criterion("fine", condition="profile.x > 1")),
    )
    faults = [(fault.path, fault.description) for fault in faults_of_conditions(model)]
    assert [path for path, _ in faults] == ["rules[0].condition", "rules[1].condition", "criteria[0].condition"]
    assert "rule 'typo': an event has no 'total'" in faults[0][1]
    assert "rule 'other type': it can never match" in faults[1][1]
    assert "criterion 'bad': line 1" in faults[2][1]


def test_a_compiled_model_asks_the_conditions_of_its_rules_and_criteria() -> None:
    rule = Rule("big", "purchase", 1, condition="event.properties.total > 100.0")
    criterion = Criterion("swiss", condition='profile.country == "CH" && profile.seats > 2.0', points=5)
    compiled = compile_model(Model(1, rules=(rule,), criteria=(criterion,)))
    assert compiled.fulfils(rule, Fact("e", "ada", "purchase", 0, {"total": 101}))
    assert not compiled.fulfils(rule, Fact("e", "ada", "purchase", 0, {"total": 99.5}))
    assert compiled.profile_conditions["swiss"]({"country": "CH", "seats": 3})
    assert not compiled.profile_conditions["swiss"]({})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), json_values))
def test_asking_never_fails_whatever_is_sent(properties: dict[str, Any]) -> None:
    for expression in EXPRESSIONS:
        fulfilled, why = expression.answer(event_value(Fact("e", "ada", "x", 0, properties)))
        assert not (fulfilled and why)
    PROFILE_EXPRESSION.ask(properties)


EXPRESSIONS = [
    Expression(source, EVENT)
    for source in (
        "event.properties.a > 1",
        "event.properties.a.b == event.properties.c[0]",
        "event.properties.a.exists(x, x.b > 1.0) || size(event.properties.b) > 2",
        'event.properties.a.matches("^a+b?$")',
    )
]
PROFILE_EXPRESSION = Expression("profile.a > 1", PROFILE)


@given(st.text(alphabet="event.propis()[]{}+-*/%<>=!&|?:\"'0123 ,\n", max_size=60))
def test_any_text_compiles_or_is_refused_with_a_sentence(source: str) -> None:
    try:
        Expression(source, EVENT)
    except BadCondition as error:
        assert str(error)
