"""The sums as the scorer keeps them, and what queries over them have in common.

What a figure costs depends on days, names and partitions, never on the number of leads or events.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    SmallInteger,
    bindparam,
    cast,
    func,
    literal,
    select,
    union_all,
)

from services.query.analytics.periods import Period
from services.shared.clock import EPOCH
from services.shared.schema import ROLLUPS

SCORE_STEP = 10
"""How wide the steps are by which the scorer counts scores over time."""
PARTS_OF_A_POINT = 1024
"""The scorer sums points of rules in these parts, which binary fractions hold exactly."""


class Kind(IntEnum):
    """What is counted. The numbers are the scorer's, whose services/scorer/rollups.py says more about each."""

    EVENTS = 1
    ACTIVE_LEADS = 2
    GRADES = 3
    GRADES_BY_DAY = 4
    SCORES_BY_DAY = 5
    SOURCES = 6
    SOURCE_EVENTS = 7
    COMPANIES = 8
    STATUSES = 9
    REACHED = 10
    MOVES = 11
    RULES = 12
    EVENTS_BY_DAY = 13


OF_TENANT = ROLLUPS.c.tenant_id == bindparam("tenant_id")
START, END = bindparam("period_start", type_=ROLLUPS.c.at.type), bindparam("period_end", type_=ROLLUPS.c.at.type)
"""Statements are built once, and have parameters."""

COUNT = func.sum(ROLLUPS.c.count)
TOTAL = func.sum(ROLLUPS.c.total)


def whole(number: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum over the partitions as a whole number; 0 for that of no rows. PostgreSQL's own would be a decimal."""
    return cast(func.coalesce(number, 0), BigInteger)


def of_kind(kind: Kind) -> ColumnElement[bool]:
    """The condition for rows of a kind. A number in the statement's text: so PostgreSQL knows how many they are."""
    return ROLLUPS.c.kind == literal(kind, SmallInteger, literal_execute=True)


def by_name(kind: Kind) -> Select[tuple[str, int, int]]:
    """The count and the total of each name that has any, of a kind that is not counted by time."""
    sums = select(ROLLUPS.c.name, whole(COUNT).label("leads"), whole(TOTAL).label("total"))
    return sums.where(OF_TENANT, of_kind(kind), ROLLUPS.c.at == EPOCH).group_by(ROLLUPS.c.name).having(COUNT != 0)


def in_one(parts: Mapping[str, Select[Any]]) -> CompoundSelect[Any]:
    """Several queries with columns of the same types as one: the first column says which of them a row is of."""
    return union_all(*(select(literal(name).label("part"), *each.subquery().c) for name, each in parts.items()))


def within(kind: Kind) -> tuple[ColumnElement[bool], ...]:
    """The condition for rows of a kind in a period."""
    return OF_TENANT, of_kind(kind), ROLLUPS.c.at >= START, ROLLUPS.c.at <= END


def about(tenant_id: str, period: Period) -> dict[str, object]:
    """The parameters of a statement about a period."""
    return {"tenant_id": tenant_id, START.key: period.start, END.key: period.end}


def average(total: float, count: int) -> float:
    """0 of none."""
    return total / count if count else 0.0
