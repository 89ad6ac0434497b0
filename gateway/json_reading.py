"""From JSON to messages of the contract, with the path of every fault.

Proto3 JSON, read strictly: unknown fields, repeated keys, NaN, lone surrogates and numbers out of range are refused by
name. Field names are accepted as lowerCamelCase and as snake_case, enum values with and without their prefix. A reader
is compiled once for each kind of message.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from services.shared.errors import FieldViolation, InvalidRequest

DEPTH_MAX = 64
"""Of JSON; the contract's own limit for properties is far below. Keeps the parser's recursion short."""
VIOLATIONS_MAX = 100
"""Faults named in one answer; a client that sends more than that has read none of them."""
RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
"""Whole numbers, as the contracts use them."""
TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")
WHOLE_NUMBER = re.compile(r"-?\d{1,20}")

Read = Callable[[Any, Message, str, list[FieldViolation]], None]
Convert = Callable[[Any], Any]


class Unfit(Exception):
    """A value that its field cannot take; says what the field takes."""


def parse_json(body: bytes) -> Any:
    """The value in a JSON document. Raises InvalidRequest for what is not strict JSON."""
    if not body.strip():
        raise _malformed("the body is empty; a JSON document is expected")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8, from byte {error.start} on") from None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _malformed(f"the body is not JSON: {error.msg.lower()} at {place}") from None
    except RecursionError:
        raise _malformed(f"the body is nested deeper than {DEPTH_MAX} levels") from None
    except ValueError as error:
        raise _malformed(f"the body is not JSON: {error}") from None


def read_into(value: Any, message: Message, path: str = "") -> None:
    """Reads a JSON value into `message`. Raises InvalidRequest with the path of every fault."""
    violations: list[FieldViolation] = []
    if _depth_exceeds(value, DEPTH_MAX):
        raise _malformed(f"the body is nested deeper than {DEPTH_MAX} levels")
    reader_of(message.DESCRIPTOR)(value, message, path, violations)
    if violations:
        raise InvalidRequest(violations[:VIOLATIONS_MAX])


def read_parameters(parameters: Iterable[tuple[str, str]], message: Message, taken: Iterable[str]) -> None:
    """Reads query parameters into the fields of `message`, but for those that are `taken` by path or body."""
    fields = {name: field for name, field in fields_by_name(message.DESCRIPTOR).items() if field.name not in set(taken)}
    violations: list[FieldViolation] = []
    found: dict[str, list[str]] = {}
    for name, value in parameters:
        field = fields.get(name)
        if field is None or field.message_type is not None:
            violations.append(FieldViolation(name, "is not a parameter of this call"))
        else:
            found.setdefault(field.name, []).append(value)
    for name, values in found.items():
        field = fields[name]
        if not field.is_repeated and len(values) > 1:
            violations.append(FieldViolation(field.json_name, "is given more than once"))
            continue
        typed = [_parameter(field, value) for value in values]
        _field_reader(field)(typed if field.is_repeated else typed[0], message, field.json_name, violations)
    if violations:
        raise InvalidRequest(violations[:VIOLATIONS_MAX])


@cache
def fields_by_name(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message by both of their names."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


@cache
def reader_of(descriptor: Descriptor) -> Read:
    """The reader for a kind of message."""
    if special := SPECIAL.get(descriptor.full_name):
        return special
    readers = {name: (field, _field_reader(field)) for name, field in fields_by_name(descriptor).items()}

    def read(value: Any, message: Message, path: str, violations: list[FieldViolation]) -> None:
        if type(value) is not dict:
            violations.append(FieldViolation(path, f"must be an object, not {_kind(value)}"))
            return
        prefix = f"{path}." if path else ""
        seen = set()
        for name, item in value.items():
            known = readers.get(name)
            if known is None:
                violations.append(FieldViolation(f"{prefix}{_shown(name)}", "is not a field that is known here"))
                continue
            field, read_field = known
            if field.name in seen:
                violations.append(FieldViolation(prefix + field.json_name, "is given under both of its names"))
            seen.add(field.name)
            if item is not None or field.message_type is Value.DESCRIPTOR:
                read_field(item, message, prefix + field.json_name, violations)

    return read


def _field_reader(field: FieldDescriptor) -> Read:
    if field.is_repeated:
        return _repeated_reader(field)
    if field.message_type is not None:
        return _message_reader(field)
    name, convert = field.name, converter_of(field)

    def read(value: Any, message: Message, path: str, violations: list[FieldViolation]) -> None:
        try:
            setattr(message, name, convert(value))
        except Unfit as error:
            violations.append(FieldViolation(path, str(error)))
        except UnicodeEncodeError:
            violations.append(FieldViolation(path, "contains a lone surrogate, which is no character"))

    return read


def _message_reader(field: FieldDescriptor) -> Read:
    name, descriptor = field.name, field.message_type

    def read(value: Any, message: Message, path: str, violations: list[FieldViolation]) -> None:
        part = getattr(message, name)
        part.SetInParent()
        reader_of(descriptor)(value, part, path, violations)

    return read


def _repeated_reader(field: FieldDescriptor) -> Read:
    name, descriptor = field.name, field.message_type
    convert = converter_of(field) if descriptor is None else None

    def read(value: Any, message: Message, path: str, violations: list[FieldViolation]) -> None:
        if type(value) is not list:
            violations.append(FieldViolation(path, f"must be an array, not {_kind(value)}"))
            return
        items = getattr(message, name)
        for index, item in enumerate(value):
            if convert is None:
                reader_of(descriptor)(item, items.add(), f"{path}[{index}]", violations)
                continue
            try:
                items.append(convert(item))
            except Unfit as error:
                violations.append(FieldViolation(f"{path}[{index}]", str(error)))
            except UnicodeEncodeError:
                violations.append(
                    FieldViolation(f"{path}[{index}]", "contains a lone surrogate, which is no character")
                )

    return read


def converter_of(field: FieldDescriptor) -> Convert:
    """From a JSON value to a scalar of a field. Raises Unfit."""
    if field.type in RANGES:
        lowest, highest = RANGES[field.type]
        return lambda value: _whole(value, lowest, highest)
    if field.enum_type is not None:
        numbers = enum_numbers(field.enum_type)
        return lambda value: _enum(value, numbers)
    return SCALARS[field.type]


@cache
def enum_numbers(enum: EnumDescriptor) -> dict[str, int]:
    """The values of an enum by name, with and without the prefix that all of them share."""
    prefix = enum_prefix(enum)
    return {name: value.number for value in enum.values for name in (value.name, value.name.removeprefix(prefix))}


def enum_prefix(enum: EnumDescriptor) -> str:
    """The prefix of an enum's values: what comes before UNSPECIFIED."""
    zero = str(enum.values_by_number[0].name)
    return zero.removesuffix("UNSPECIFIED") if zero.endswith("UNSPECIFIED") else ""


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unfit(f"must be a text, not {_kind(value)}")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise Unfit(f"must be true or false, not {_kind(value)}")
    return value


def _number(value: Any) -> float:
    if type(value) is str and value:
        try:
            value = float(value)
        except ValueError:
            raise Unfit(f"must be a number, not {_shown(value)!r}") from None
    if type(value) not in (int, float):
        raise Unfit(f"must be a number, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unfit("must be a finite number")
    return number


def _raw_bytes(value: Any) -> bytes:
    text = _text(value)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & set("-_") else None)
    except (binascii.Error, ValueError):
        raise Unfit("must be base64") from None


def _whole(value: Any, lowest: int, highest: int) -> int:
    if (type(value) is str and WHOLE_NUMBER.fullmatch(value)) or (type(value) is float and value.is_integer()):
        value = int(value)
    if type(value) is not int:
        raise Unfit(f"must be a whole number, not {_kind(value)}")
    if not lowest <= value <= highest:
        raise Unfit(f"must be a whole number from {lowest} to {highest}")
    return value


def _enum(value: Any, numbers: dict[str, int]) -> int:
    if type(value) is str and value in numbers:
        return numbers[value]
    if type(value) is int and value in numbers.values():
        return value
    names = sorted({name for name, number in numbers.items() if number}, key=len)[: len(set(numbers.values())) - 1]
    raise Unfit(f"must be one of {', '.join(sorted(names))}")


SCALARS: dict[int, Convert] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BOOL: _truth,
    FieldDescriptor.TYPE_DOUBLE: _number,
    FieldDescriptor.TYPE_FLOAT: _number,
    FieldDescriptor.TYPE_BYTES: _raw_bytes,
}


def _timestamp(value: Any, message: Any, path: str, violations: list[FieldViolation]) -> None:
    found = TIMESTAMP.fullmatch(value) if type(value) is str else None
    try:
        if found is None:
            raise ValueError
        day, time, fraction, zone = found.groups()
        moment = datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone in 'Zz' else zone}")
        message.seconds = int(moment.timestamp())
        message.nanos = int((fraction or "0").ljust(9, "0"))
    except (ValueError, OverflowError):
        description = 'must be a time with an offset, such as "2026-03-31T09:30:00Z"'
        violations.append(FieldViolation(path, description))


def _duration(value: Any, message: Any, path: str, violations: list[FieldViolation]) -> None:
    found = DURATION.fullmatch(value) if type(value) is str else None
    if found is None:
        violations.append(FieldViolation(path, 'must be a duration in seconds, such as "3.5s"'))
        return
    sign = -1 if found[1] else 1
    message.seconds, message.nanos = sign * int(found[2]), sign * int((found[3] or "0").ljust(9, "0"))


def _struct(value: Any, message: Any, path: str, violations: list[FieldViolation]) -> None:
    if type(value) is not dict:
        violations.append(FieldViolation(path, f"must be an object, not {_kind(value)}"))
        return
    for key, item in value.items():
        try:
            part = message.fields[key]
        except UnicodeEncodeError:
            violations.append(FieldViolation(path, "has a key with a lone surrogate, which is no character"))
            continue
        _value(item, part, f"{path}.{key}", violations)


def _list(value: Any, message: Any, path: str, violations: list[FieldViolation]) -> None:
    if type(value) is not list:
        violations.append(FieldViolation(path, f"must be an array, not {_kind(value)}"))
        return
    for index, item in enumerate(value):
        _value(item, message.values.add(), f"{path}[{index}]", violations)


def _value(value: Any, message: Any, path: str, violations: list[FieldViolation]) -> None:
    kind = type(value)
    if kind is str:
        try:
            message.string_value = value
        except UnicodeEncodeError:
            violations.append(FieldViolation(path, "contains a lone surrogate, which is no character"))
    elif kind is bool:
        message.bool_value = value
    elif kind is dict:
        message.struct_value.SetInParent()
        _struct(value, message.struct_value, path, violations)
    elif kind is list:
        message.list_value.SetInParent()
        _list(value, message.list_value, path, violations)
    elif value is None:
        message.null_value = 0
    else:
        try:
            message.number_value = _number(value)
        except Unfit as error:
            violations.append(FieldViolation(path, str(error)))


SPECIAL: dict[str, Read] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    Struct.DESCRIPTOR.full_name: _struct,
    ListValue.DESCRIPTOR.full_name: _list,
    Value.DESCRIPTOR.full_name: _value,
}


def _parameter(field: FieldDescriptor, value: str) -> Any:
    """A query parameter's text as the JSON value that its field takes."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(value.lower(), value)
    if field.enum_type is not None and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _malformed(f"the key {_shown(repeated)!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise _malformed(f"{name} is not a number in JSON")


def _malformed(description: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation("", description)])


def _depth_exceeds(value: Any, levels: int) -> bool:
    if type(value) is dict:
        return levels == 0 or any(_depth_exceeds(item, levels - 1) for item in value.values())
    if type(value) is list:
        return levels == 0 or any(_depth_exceeds(item, levels - 1) for item in value)
    return False


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shown(name: str) -> str:
    """A name that a caller sent, short and without characters that cannot be shown."""
    return name[:64].encode("ascii", "backslashreplace").decode() if not name.isprintable() else name[:64]
