"""The orders in which leads can be listed: those that an index gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, true, tuple_

from services.query import reading
from services.query.pages import Key, Ordering, Stretch
from services.query.reading import Moment, Score
from services.shared.clock import to_datetime
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEADS

Stretches = Sequence[Stretch]
After = tuple[Any, ...] | None
Form = tuple[bool, ...] | None

TIMES = ("last_event_at",)

ALL = (Stretch(true()),)
WITHOUT_EVENTS = Stretch(LEADS.c.last_event_at.is_(None))
"""They come last, whatever the direction."""


@dataclass(frozen=True)
class Order:
    """An order of leads."""

    ordering: Ordering
    shape: Any
    """Of a key in a page token."""
    from_key: Callable[[Any], Stretches]
    """The stretches of leads behind a key, or of all if it is None."""

    def behind(self, form: Form) -> Stretches:
        """The stretches of leads behind a key of a form, whose values are parameters."""
        return self.from_key(form and tuple(map(_placeholder, self._names, form)))

    def parameters(self, key: Key | None) -> dict[str, object]:
        """The values of a key."""
        named = zip(self._names, key or (), strict=False)
        return {
            f"after_{name}": to_datetime(value) if name in TIMES else value
            for name, value in named
            if value is not None
        }

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self.ordering.columns]


def form_of(key: Key | None) -> Form:
    """Which of a key's columns have values; leads behind keys of one form are found by one statement."""
    return key and tuple(value is not None for value in key)


def _placeholder(name: str, has_value: bool) -> ColumnElement[Any] | None:
    return bindparam(f"after_{name}", type_=LEADS.c[name].type) if has_value else None


def _from_high_scores(after: After) -> Stretches:
    if after is None:
        return ALL
    score, lead_id = after
    level = and_(LEADS.c.score == score, LEADS.c.lead_id > lead_id)
    return [Stretch(level, fixed=1), Stretch(LEADS.c.score < score)]


def _from_low_scores(after: After) -> Stretches:
    if after is None:
        return ALL
    score, lead_id = after
    level = and_(LEADS.c.score == score, LEADS.c.lead_id < lead_id)
    return [Stretch(level, fixed=1), Stretch(LEADS.c.score > score)]


def _from_first_id(after: After) -> Stretches:
    return ALL if after is None else [Stretch(LEADS.c.lead_id > after[0])]


def _from_last_id(after: After) -> Stretches:
    return ALL if after is None else [Stretch(LEADS.c.lead_id < after[0])]


def _from_late_events(after: After) -> Stretches:
    if after is None:
        return [Stretch(LEADS.c.last_event_at.is_not(None)), WITHOUT_EVENTS]
    if after[0] is None:
        return [_without_events(LEADS.c.lead_id < after[1])]
    return [Stretch(tuple_(LEADS.c.last_event_at, LEADS.c.lead_id) < tuple_(*after)), WITHOUT_EVENTS]


def _from_early_events(after: After) -> Stretches:
    if after is None:
        return [Stretch(LEADS.c.last_event_at.is_not(None)), WITHOUT_EVENTS]
    if after[0] is None:
        return [_without_events(LEADS.c.lead_id > after[1])]
    return [Stretch(tuple_(LEADS.c.last_event_at, LEADS.c.lead_id) > tuple_(*after)), WITHOUT_EVENTS]


def _without_events(of_ids: ColumnElement[bool]) -> Stretch:
    return Stretch(and_(LEADS.c.last_event_at.is_(None), of_ids))


BEST_FIRST = Order(Ordering([("score", True), ("lead_id", False)]), tuple[Score, reading.Key], _from_high_scores)
"""The leaderboard's."""
BEST_LAST = Order(Ordering([("score", False), ("lead_id", True)]), tuple[Score, reading.Key], _from_low_scores)
"""Exactly the other way round: another order of equal scores would need another index."""

ORDERS = {
    "score desc": BEST_FIRST,
    "score": BEST_LAST,
    "lead_id": Order(Ordering([("lead_id", False)]), tuple[reading.Key], _from_first_id),
    "lead_id desc": Order(Ordering([("lead_id", True)]), tuple[reading.Key], _from_last_id),
    "last_event_at desc": Order(
        Ordering([("last_event_at", True), ("lead_id", True)]), tuple[Moment | None, reading.Key], _from_late_events
    ),
    "last_event_at": Order(
        Ordering([("last_event_at", False), ("lead_id", False)]), tuple[Moment | None, reading.Key], _from_early_events
    ),
}


def order_named(name: str) -> Order:
    """The order of a name. Raises InvalidRequest for one that no index gives."""
    if name not in ORDERS:
        there_is = ", ".join(f'"{each}"' for each in ORDERS)
        raise InvalidRequest([FieldViolation("order_by", f"must be one of {there_is}")])
    return ORDERS[name]
