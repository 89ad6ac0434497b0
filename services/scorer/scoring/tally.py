"""How many events of a lead a rule has seen, and what of them counts on a day.

A tally is as small as its rule allows: one number; a number for each day, where the day matters; and either of them for
each value of a key, where events are counted by one. All of them are sums, so the order of events cannot show.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from services.scorer.scoring.model import Decay, Rule
from services.scorer.scoring.weights import FULL, weight_at, weightless_from

KEYS_MAX = 10_000
"""Values of a key that a rule tells apart for one lead. Of more, those with the smallest hashes are kept: which these
are does not depend on the order."""

Tally: TypeAlias = int | dict[int, Any]
"""By the rule's needs: a number; numbers by day; and each of them by the value of a key."""


@dataclass(slots=True, init=False)
class Measure:
    """What a rule makes of its events on a day: how many it has seen, how many count, for how much (parts of FULL)."""

    matched: int
    count: int
    weight: int

    def __init__(self, matched: int = 0, count: int = 0, weight: int = 0) -> None:
        self.matched = matched
        self.count = count
        self.weight = weight


def key_of(value: Any) -> int:
    """Tells values of a key apart, by content: 64 bits of a digest. All events without the key share one value.

    Whether a number was written 12 or 12.0 does not matter, nor may it: a database may not write it as the sender did.
    """
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=True, default=str)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def add(rule: Rule, tally: Tally | None, day: int, key: int, number: int = 1) -> Tally:
    """The tally with more events of a day (and, for a rule that counts by a key, of a value of it)."""
    if not rule.per:
        return _more(rule, tally, day, number)
    by_key = tally if isinstance(tally, dict) else {}
    by_key[key] = _more(rule, by_key.get(key), day, number)
    if len(by_key) > KEYS_MAX:
        del by_key[max(by_key)]
    return by_key


def measure(rule: Rule, tally: Tally, today: int) -> Measure:
    """What of the events counts today (in days since 1970)."""
    if not rule.per:
        return _measure(rule, tally, today)
    assert isinstance(tally, dict)
    parts = [_measure(rule, counts, today) for counts in tally.values()]
    return Measure(
        sum(part.matched for part in parts), sum(part.count for part in parts), sum(part.weight for part in parts)
    )


def changes_on(rule: Rule, tally: Tally, today: int) -> int | None:
    """The next day on which time alone may change what counts; None if there is none."""
    if rule.weight is None:
        return None
    horizon = weightless_from(rule.weight)
    alive = [day for day in _days(rule, tally) if today - day < horizon]
    if not alive:
        return None
    if rule.weight.decay is Decay.FRAME:
        return min(alive) + horizon
    return max(today, min(alive)) + 1


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _days(rule: Rule, tally: Tally) -> set[int]:
    assert isinstance(tally, dict)
    if not rule.per:
        return set(tally)
    return {day for days in tally.values() for day in days}


def _more(rule: Rule, counts: Tally | None, day: int, number: int) -> Tally:
    if not rule.by_day:
        return (counts if isinstance(counts, int) else 0) + number
    days = counts if isinstance(counts, dict) else {}
    days[day] = days.get(day, 0) + number
    return days


def _measure(rule: Rule, counts: Tally, today: int) -> Measure:
    limit = rule.frequency.count_max if rule.frequency else None
    if not isinstance(counts, dict):
        count = counts if limit is None else min(counts, limit)
        return Measure(counts, count, count * FULL)
    return _measure_days(rule, counts, today, limit)


def _measure_days(rule: Rule, days: Mapping[int, int], today: int, limit: int | None) -> Measure:
    of_a_day = rule.frequency.count_max_per_day if rule.frequency else None
    matched = count = weight = 0
    for day in days if limit is None else sorted(days, reverse=True):
        number = days[day]
        matched += number
        if of_a_day is not None:
            number = min(number, of_a_day)
        if limit is not None:
            number = min(number, limit - count)
        count += number
        weight += number * (FULL if rule.weight is None else weight_at(rule.weight, today - day))
    return Measure(matched, count, weight)
