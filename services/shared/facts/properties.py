"""What facts hold beside their fields: a Struct as senders send it, JSON in the stream and in the database."""

from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from services.shared.errors import FieldViolation, InvalidRequest

DEPTH_MAX = 8
"""Levels: deeper than anything people read; keeps every walk short."""
INTEGER_MAX = 2**53
"""Up to here a double holds every whole number, so one without a fraction is taken for a whole number."""


class Unfit(Exception):
    """Something that no fact can hold; `faults` says what, and where."""


def to_json(struct: Struct) -> bytes:
    """A Struct as a JSON object. Raises Unfit."""
    return msgspec.json.encode(to_dict(struct))


def to_dict(struct: Struct, depth: int = 1) -> dict[str, Any]:
    """A Struct as plain values; numbers without a fraction as whole numbers. Raises Unfit at the first fault: almost no
    Struct has one, and to look for all of them takes as long again.
    """
    if depth > DEPTH_MAX:
        raise Unfit
    found = {key: _plain(value, depth) for key, value in struct.fields.items()}
    if "\0" in "".join(found):
        raise Unfit
    return found


def _plain(value: Value, depth: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        if "\0" in text:
            raise Unfit
        return text
    if kind == "number_value":
        number = value.number_value
        if number.is_integer():
            return int(number) if abs(number) <= INTEGER_MAX else number
        if number - number != 0:
            raise Unfit
        return number
    if kind == "struct_value":
        return to_dict(value.struct_value, depth + 1)
    if kind == "list_value":
        if depth >= DEPTH_MAX:
            raise Unfit
        return [_plain(item, depth + 1) for item in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    if kind is None:
        raise Unfit
    return None


def read(struct: Struct, field: str) -> dict[str, Any]:
    """The plain values of a request's field. Raises InvalidRequest with all that is wrong with them."""
    try:
        return to_dict(struct)
    except Unfit:
        raise InvalidRequest(faults(struct, field)) from None


def faults(struct: Struct, path: str, depth: int = 1) -> list[FieldViolation]:
    """All that no fact can hold: numbers that are not finite, NUL, values without a kind, levels that are too deep."""
    if depth > DEPTH_MAX:
        return [_too_deep(path)]
    violations = []
    for key, value in struct.fields.items():
        if "\0" in key:
            violations.append(FieldViolation(path, "has a key that contains NUL"))
        violations += _faults_of_value(value, f"{path}.{key}", depth)
    return violations


def _faults_of_list(values: ListValue, path: str, depth: int) -> list[FieldViolation]:
    if depth > DEPTH_MAX:
        return [_too_deep(path)]
    items: Sequence[Value] = values.values
    return [
        violation
        for index, value in enumerate(items)
        for violation in _faults_of_value(value, f"{path}[{index}]", depth)
    ]


def _faults_of_value(value: Value, path: str, depth: int) -> list[FieldViolation]:
    match value.WhichOneof("kind"):
        case "number_value" if value.number_value - value.number_value != 0:
            return [FieldViolation(path, "must be a finite number")]
        case "string_value" if "\0" in value.string_value:
            return [FieldViolation(path, "must not contain NUL")]
        case "struct_value":
            return faults(value.struct_value, path, depth + 1)
        case "list_value":
            return _faults_of_list(value.list_value, path, depth + 1)
        case None:
            return [FieldViolation(path, "has no value")]
    return []


def _too_deep(path: str) -> FieldViolation:
    return FieldViolation(path, f"is nested deeper than {DEPTH_MAX} levels")
