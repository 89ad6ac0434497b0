"""A filter's tree as a condition of the database: always true or false, never NULL, and all values are parameters."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Numeric,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from services.query.filters.fields import PROFILE, TIMES
from services.query.filters.tree import AllOf, AnyOf, Comparison, Node, Not, Value

Columns = ReadOnlyColumnCollection[str, Any]


def condition_of(tree: Node, leads: Columns) -> ColumnElement[bool]:
    """Whether a filter lets a lead pass, by the columns of a selection of leads."""
    match tree:
        case Not():
            return not_(condition_of(tree.part, leads))
        case AllOf():
            return and_(*(condition_of(part, leads) for part in tree.parts))
        case AnyOf():
            return or_(*(condition_of(part, leads) for part in tree.parts))
    if tree.operator == "!=":
        return not_(_holds(tree, "=", leads))
    return _holds(tree, tree.operator, leads)


def _holds(comparison: Comparison, operator: str, leads: Columns) -> ColumnElement[bool]:
    if comparison.field == PROFILE:
        return func.coalesce(_profile_holds(comparison, operator, leads[PROFILE][comparison.key]), false())
    column = leads[comparison.field]
    if comparison.field in TIMES:
        return func.coalesce(_compared(column, operator, comparison.value), false())
    return (
        _text_holds(column, operator, comparison)
        if isinstance(comparison.value, str)
        else _compared(column, operator, comparison.value)
    )


def _profile_holds(comparison: Comparison, operator: str, value: Any) -> ColumnElement[bool]:
    """Whether a key's value compares so; NULL if there is none, or one of another type."""
    wanted = comparison.value
    if isinstance(wanted, str):
        text = case((func.jsonb_typeof(value) == "string", value.astext))
        return _text_holds(text, operator, comparison)
    kind = "boolean" if isinstance(wanted, bool) else "number"
    same_type = case((func.jsonb_typeof(value) == kind, value))
    return _by_operator(same_type, operator, func.to_jsonb(_parameter(wanted)))


def _text_holds(text: Any, operator: str, comparison: Comparison) -> ColumnElement[bool]:
    if comparison.is_beginning:
        return func.starts_with(text, _parameter(comparison.value))
    # By code point, so that the order is the same on every machine.
    return _compared(text.collate("C"), operator, comparison.value)


def _compared(left: Any, operator: str, value: Value) -> ColumnElement[bool]:
    return _by_operator(left, operator, _parameter(value))


def _by_operator(left: Any, operator: str, right: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = left.bool_op(operator)(right)
    return found


def _parameter(value: Value) -> ColumnElement[Any]:
    match value:
        case bool():
            return cast(literal(value), Boolean)
        case Decimal():
            return cast(literal(value, Numeric), Numeric)
        case datetime():
            return literal(value, DateTime(timezone=True))
    return cast(literal(value), Text)
