"""Weights, and what of the events counts on a day."""

import random
from typing import Any

import pytest

from services.scorer.scoring import tally as tallies
from services.scorer.scoring.absorb import value_at
from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import Decay, Frequency, Rule, Weight
from services.scorer.scoring.tally import KEYS_MAX, Measure, Tally, add, changes_on, key_of, measure
from services.scorer.scoring.weights import FULL, HALVINGS_MAX, weight_at, weightless_from

TODAY = 20_000


def rule(frequency: Frequency | None = None, weight: Weight | None = None) -> Rule:
    return Rule("rule", "page_view", 1, frequency=frequency, weight=weight)


def tally(rule: Rule, *days: tuple[int, int], key: int = 0, start: Tally | None = None) -> Tally:
    """The tally of events, so many of each day."""
    result = start
    for day, number in days:
        result = add(rule, result, day, key, number)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("weight", "at_ages"),
    [
        (Weight(Decay.HALF_LIFE, 1), {-1: FULL, 0: FULL, 1: FULL // 2, 2: FULL // 4, 30: 1, 31: 0, 32: 0}),
        (Weight(Decay.HALF_LIFE, 2), {1: 759_250_125, 2: FULL // 2, 60: 1, 61: 1, 62: 0}),
        (Weight(Decay.HALF_LIFE, 30), {30: FULL // 2, 929: 1, 930: 0}),
        (Weight(Decay.LINEAR, 1), {0: FULL, 1: 0, 2: 0}),
        (Weight(Decay.LINEAR, 2), {1: FULL // 2, 2: 0}),
        (Weight(Decay.LINEAR, 3), {0: FULL, 1: 715_827_883, 2: 357_913_941, 3: 0, 4: 0}),
        (Weight(Decay.LINEAR, 5), {1: 858_993_459, 2: 644_245_094, 3: 429_496_730, 4: 214_748_365}),
        (Weight(Decay.FRAME, 1), {-5: FULL, 0: FULL, 1: 0}),
        (Weight(Decay.FRAME, 7), {6: FULL, 7: 0, 8: 0}),
    ],
)
def test_the_weight_of_an_event_by_its_age(weight: Weight, at_ages: dict[int, int]) -> None:
    found = {age: weight_at(weight, age) for age in at_ages}
    assert found == at_ages
    assert all(isinstance(each, int) for each in found.values())


@pytest.mark.parametrize("decay", Decay)
@pytest.mark.parametrize("days", [1, 2, 7, 30])
def test_weight_is_only_ever_lost_and_in_the_end_all_of_it(decay: Decay, days: int) -> None:
    weight = Weight(decay, days)
    ages = [weight_at(weight, age) for age in range(days * (HALVINGS_MAX + 1))]
    assert ages == sorted(ages, reverse=True)
    assert ages[weightless_from(weight) :] == [0] * (len(ages) - weightless_from(weight))
    assert ages[weightless_from(weight) - 1] > 0


def test_a_rule_for_which_the_day_does_not_matter_keeps_one_number() -> None:
    assert tally(rule(), (TODAY, 1), (TODAY - 3, 4)) == 5
    assert tally(rule(Frequency(2)), (TODAY, 1), (TODAY, 4)) == 5


def test_a_rule_for_which_the_day_matters_keeps_a_number_by_day() -> None:
    assert tally(rule(Frequency(None, 1)), (TODAY, 1), (3, 4), (TODAY, 1)) == {TODAY: 2, 3: 4}


def test_a_rule_that_counts_by_a_key_keeps_either_by_key() -> None:
    by_key = rule(Frequency(1, per="source"))
    assert tally(by_key, (3, 1), key=8, start=tally(by_key, (3, 1), (4, 1), key=7)) == {7: 2, 8: 1}
    by_day = rule(Frequency(1, 1, per="source"))
    assert tally(by_day, (3, 1), key=8, start=tally(by_day, (3, 1), (4, 1), key=7)) == {7: {3: 1, 4: 1}, 8: {3: 1}}


@pytest.mark.parametrize(
    ("frequency", "weight", "days", "expected"),
    [
        (None, None, [(TODAY, 3), (5, 1)], Measure(4, 4, 4 * FULL)),
        (Frequency(3), None, [(TODAY, 3), (5, 1)], Measure(4, 3, 3 * FULL)),
        (Frequency(9), None, [(TODAY, 3), (5, 1)], Measure(4, 4, 4 * FULL)),
        (Frequency(None, 2), None, [(TODAY, 3), (5, 1)], Measure(4, 3, 3 * FULL)),
        (Frequency(3, 2), None, [(TODAY, 3), (TODAY - 1, 3), (TODAY - 2, 3)], Measure(9, 3, 3 * FULL)),
        (None, Weight(Decay.HALF_LIFE, 1), [(TODAY, 1), (TODAY - 2, 2)], Measure(3, 3, FULL + 2 * FULL // 4)),
        # Of more than may count in all, the newest do, in whichever order they came.
        (Frequency(3), Weight(Decay.HALF_LIFE, 1), [(TODAY - 2, 9), (TODAY, 2)], Measure(11, 3, 2 * FULL + FULL // 4)),
        (Frequency(3), Weight(Decay.HALF_LIFE, 1), [(TODAY, 2), (TODAY - 2, 9)], Measure(11, 3, 2 * FULL + FULL // 4)),
        (None, Weight(Decay.LINEAR, 4), [(TODAY + 1, 1), (TODAY - 3, 1), (TODAY - 4, 1)], Measure(3, 3, FULL * 5 // 4)),
    ],
)
def test_what_of_the_events_counts(
    frequency: Frequency | None, weight: Weight | None, days: list[tuple[int, int]], expected: Measure
) -> None:
    its = rule(frequency, weight)
    assert measure(its, tally(its, *days), TODAY) == expected


def test_by_a_key_the_limits_are_those_of_each_value() -> None:
    its = rule(Frequency(2, per="source"))
    both = tally(its, (1, 5), key=8, start=tally(its, (1, 1), key=7))
    assert measure(its, both, TODAY) == Measure(6, 3, 3 * FULL)


@pytest.mark.parametrize(
    ("weight", "days", "expected"),
    [
        (None, [TODAY], None),
        (Weight(Decay.HALF_LIFE, 1), [TODAY - 3], TODAY + 1),
        (Weight(Decay.HALF_LIFE, 1), [TODAY - 30], TODAY + 1),
        (Weight(Decay.HALF_LIFE, 1), [TODAY - 31], None),
        (Weight(Decay.LINEAR, 5), [TODAY - 4], TODAY + 1),
        (Weight(Decay.LINEAR, 5), [TODAY - 5, TODAY - 6], None),
        (Weight(Decay.LINEAR, 5), [TODAY + 2], TODAY + 3),
        (Weight(Decay.LINEAR, 5), [TODAY + 2, TODAY - 1, TODAY - 8], TODAY + 1),
        (Weight(Decay.FRAME, 5), [TODAY, TODAY - 3, TODAY - 9], TODAY + 2),
        (Weight(Decay.FRAME, 5), [TODAY - 4], TODAY + 1),
        (Weight(Decay.FRAME, 5), [TODAY - 5], None),
        (Weight(Decay.FRAME, 5), [TODAY + 1], TODAY + 6),
    ],
)
def test_the_day_when_time_changes_what_counts(weight: Weight | None, days: list[int], expected: int | None) -> None:
    its = rule(None, weight)
    assert changes_on(its, tally(its, *((day, 1) for day in days)), TODAY) == expected
    by_key = rule(Frequency(9, per="source"), weight)
    apart: Tally | None = None
    for day in days:
        apart = add(by_key, apart, day, key=day % 2)
    assert apart is not None
    assert changes_on(by_key, apart, TODAY) == expected


def test_of_more_values_than_are_told_apart_the_same_are_kept_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert KEYS_MAX == 10_000
    monkeypatch.setattr(tallies, "KEYS_MAX", 5)
    its, chance = rule(Frequency(2, per="source")), random.Random(1)
    keys = [key for key in range(100, 120) for _ in range(3)]
    for _ in range(20):
        chance.shuffle(keys)
        kept: Tally | None = None
        for key in keys:
            kept = add(its, kept, TODAY, key)
        assert kept == {100: 3, 101: 3, 102: 3, 103: 3, 104: 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), ([1, {"a": 2}], [1.0, {"a": 2.0}]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), (0, -0.0), (1e22, 10**22)],
)
def test_the_same_value_is_the_same_key_however_it_is_written(one: Any, other: Any) -> None:
    assert key_of(one) == key_of(other)


def test_other_values_are_other_keys() -> None:
    values = [None, True, False, 0, 1, 1.5, -1, "", "1", "ü", "u", [], [1], [1, 2], [2, 1], {}, {"a": 1}, {"b": 1}]
    keys = {key_of(value) for value in values}
    assert len(keys) == len(values)
    assert all(0 <= key < 2**64 for key in keys)
    assert max(keys) > 2**56


def test_a_key_is_the_same_for_ever_since_it_is_stored() -> None:
    assert key_of("ü") == 11_689_132_071_036_365_106
    assert key_of({"b": [1.0], "a": None}) == 7_236_509_041_576_505_262
    assert key_of(object) == key_of("<class 'object'>")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("source", "web"),
        ("properties.email", "x"),
        ("properties.cart.id", 5),
        ("properties.cart", {"id": 5}),
        ("properties.cart.none", None),
        ("properties.email.id", None),
        ("properties.none.id", None),
    ],
)
def test_a_path_leads_to_a_value_of_the_event_or_to_nothing(path: str, value: Any) -> None:
    fact = Fact("e1", "ada", "page_view", 0, {"email": "x", "cart": {"id": 5}}, "web")
    assert value_at(fact, path) == value


def test_an_event_without_properties_or_source_has_no_values() -> None:
    fact = Fact("e1", "ada", "page_view", 0)
    assert value_at(fact, "source") is value_at(fact, "properties.email") is None
