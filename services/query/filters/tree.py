"""What a filter says, as a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.shared.errors import FieldViolation, InvalidRequest

Value = str | Decimal | bool | datetime

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Comparison:
    """A field and what it is compared with. `!=` is true where `=` is not: also where there is nothing to compare."""

    field: str
    key: str
    """Of the profile; empty for other fields."""
    operator: str
    value: Value
    is_beginning: bool = False
    """Whether the field is to begin with the value, rather than to be it."""


@dataclass(frozen=True)
class Not:
    """What a part does not let pass."""

    part: "Node"


@dataclass(frozen=True)
class AllOf:
    """What all parts let pass."""

    parts: Sequence["Node"]


@dataclass(frozen=True)
class AnyOf:
    """What one part at least lets pass."""

    parts: Sequence["Node"]


Node = Comparison | Not | AllOf | AnyOf


def comparisons_in(tree: Node | None) -> int:
    """How many comparisons a filter makes."""
    match tree:
        case None:
            return 0
        case Comparison():
            return 1
        case Not():
            return comparisons_in(tree.part)
    return sum(comparisons_in(part) for part in tree.parts)


def wrong(column: int, description: str) -> InvalidRequest:
    """The error for a part of a filter; columns count characters from 1."""
    return InvalidRequest([FieldViolation("filter", f"column {column}: {description}")])
