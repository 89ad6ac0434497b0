"""The orders in which leads can be listed: those that an index gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, true, tuple_

from services.query.pages import Ordering, Stretch
from services.query.reading import Key, Moment, Score
from services.shared.clock import to_datetime
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEADS

Stretches = Sequence[Stretch]

ALL = (Stretch(true()),)
WITHOUT_EVENTS = Stretch(LEADS.c.last_event_at.is_(None))
"""They come last, whatever the direction."""


@dataclass(frozen=True)
class Order:
    """An order of leads."""

    ordering: Ordering
    shape: Any
    """Of a key in a page token."""
    behind: Callable[[Any], Stretches]
    """The stretches of leads behind a key, or of all if it is None."""


def _from_high_scores(after: tuple[int, str] | None) -> Stretches:
    if after is None:
        return ALL
    score, lead_id = after
    level = and_(LEADS.c.score == score, LEADS.c.lead_id > lead_id)
    return [Stretch(level, fixed=1), Stretch(LEADS.c.score < score)]


def _from_low_scores(after: tuple[int, str] | None) -> Stretches:
    if after is None:
        return ALL
    score, lead_id = after
    level = and_(LEADS.c.score == score, LEADS.c.lead_id < lead_id)
    return [Stretch(level, fixed=1), Stretch(LEADS.c.score > score)]


def _from_first_id(after: tuple[str] | None) -> Stretches:
    return ALL if after is None else [Stretch(LEADS.c.lead_id > after[0])]


def _from_last_id(after: tuple[str] | None) -> Stretches:
    return ALL if after is None else [Stretch(LEADS.c.lead_id < after[0])]


def _from_late_events(after: tuple[int | None, str] | None) -> Stretches:
    if after is None:
        return [Stretch(LEADS.c.last_event_at.is_not(None)), WITHOUT_EVENTS]
    if after[0] is None:
        return [_without_events(LEADS.c.lead_id < after[1])]
    key = to_datetime(after[0]), after[1]
    return [Stretch(tuple_(LEADS.c.last_event_at, LEADS.c.lead_id) < key), WITHOUT_EVENTS]


def _from_early_events(after: tuple[int | None, str] | None) -> Stretches:
    if after is None:
        return [Stretch(LEADS.c.last_event_at.is_not(None)), WITHOUT_EVENTS]
    if after[0] is None:
        return [_without_events(LEADS.c.lead_id > after[1])]
    key = to_datetime(after[0]), after[1]
    return [Stretch(tuple_(LEADS.c.last_event_at, LEADS.c.lead_id) > key), WITHOUT_EVENTS]


def _without_events(of_ids: ColumnElement[bool]) -> Stretch:
    return Stretch(and_(LEADS.c.last_event_at.is_(None), of_ids))


BEST_FIRST = Order(Ordering([("score", True), ("lead_id", False)]), tuple[Score, Key], _from_high_scores)
"""The leaderboard's."""
BEST_LAST = Order(Ordering([("score", False), ("lead_id", True)]), tuple[Score, Key], _from_low_scores)
"""Exactly the other way round: another order of equal scores would need another index."""

ORDERS = {
    "score desc": BEST_FIRST,
    "score": BEST_LAST,
    "lead_id": Order(Ordering([("lead_id", False)]), tuple[Key], _from_first_id),
    "lead_id desc": Order(Ordering([("lead_id", True)]), tuple[Key], _from_last_id),
    "last_event_at desc": Order(
        Ordering([("last_event_at", True), ("lead_id", True)]), tuple[Moment | None, Key], _from_late_events
    ),
    "last_event_at": Order(
        Ordering([("last_event_at", False), ("lead_id", False)]), tuple[Moment | None, Key], _from_early_events
    ),
}


def order_named(name: str) -> Order:
    """The order of a name. Raises InvalidRequest for one that no index gives."""
    if name not in ORDERS:
        there_is = ", ".join(f'"{each}"' for each in ORDERS)
        raise InvalidRequest([FieldViolation("order_by", f"must be one of {there_is}")])
    return ORDERS[name]
