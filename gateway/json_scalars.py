"""Single values between JSON and the contract: numbers, texts, enums, bytes, times. What does not fit is a Fault."""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.json_faults import Fault, shown, wrong_kind

Convert = Callable[[Any], Any]

INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
FLOAT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
INTEGRAL_MAX = 2**53
"""Above it a double has no room for every whole number."""
FLOAT_DIGITS = range(6, 10)
"""Every float of 32 bits is known by at most nine digits; most by six."""

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
DURATION_S_MAX = 315_576_000_000
"""Ten thousand years, as protobuf has it."""
FIELD_MASK = re.compile(r"[A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*")
EPOCH = datetime(1970, 1, 1)
SECOND = timedelta(seconds=1)
FIRST_SECOND, LAST_SECOND = (
    (moment - EPOCH) // SECOND for moment in (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59))
)
NOT_A_TIME = 'must be a time with an offset, such as "2026-03-31T09:30:00Z"'
NOT_A_DURATION = 'must be a duration in seconds, such as "3.5s"'


def converter_of(field: FieldDescriptor) -> Convert:
    """From a JSON value to a value of a field that is no message. Raises Fault."""
    if field.type in INTEGERS:
        lowest, highest = INTEGERS[field.type]
        return lambda value: _whole(value, lowest, highest)
    if field.enum_type is not None:
        numbers = enum_numbers(field.enum_type)
        return lambda value: _enum(value, numbers)
    return _CONVERTERS[field.type]


def printer_of(field: FieldDescriptor) -> Convert | None:
    """From a value of a field that is no message to a JSON value; None if it is one as it is."""
    if field.enum_type is not None:
        prefix = enum_prefix(field.enum_type)
        names = {number: value.name.removeprefix(prefix) for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    return _PRINTERS.get(field.type)


@cache
def enum_numbers(enum: EnumDescriptor) -> dict[str, int]:
    """The values of an enum by name, with and without the prefix that all of them share."""
    prefix = enum_prefix(enum)
    return {name: value.number for value in enum.values for name in (value.name.removeprefix(prefix), value.name)}


def enum_prefix(enum: EnumDescriptor) -> str:
    """The prefix of an enum's values: what comes before UNSPECIFIED in the first of them."""
    first = str(enum.values[0].name)
    prefix = first.removesuffix("UNSPECIFIED")
    return prefix if prefix != first and all(value.name.startswith(prefix) for value in enum.values) else ""


def finite(value: Any) -> float:
    """A JSON number as a double."""
    if type(value) is str and DECIMAL.fullmatch(value):
        value = float(value)
    if type(value) is not float and type(value) is not int:
        raise wrong_kind(value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Fault("must be a finite number")
    return number


def number(value: float) -> float | int | str:
    """A double as JSON shows it: without a fraction as a whole number; what is none by its name."""
    if value.is_integer():
        return int(value) if abs(value) <= INTEGRAL_MAX else value
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def seconds_and_nanos(value: Any) -> tuple[int, int]:
    """A time as RFC 3339 writes it, as seconds and nanoseconds since 1970."""
    found = TIMESTAMP.fullmatch(value) if type(value) is str else None
    if found is None:
        raise wrong_kind(value, "a time") if type(value) is not str else Fault(NOT_A_TIME)
    moment, fraction, sign, hours, minutes = found.groups()
    try:
        seconds = (datetime.fromisoformat(moment) - EPOCH) // SECOND
    except ValueError:
        raise Fault(NOT_A_TIME) from None
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise Fault(NOT_A_TIME)
        offset = int(hours) * 3_600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
        if not FIRST_SECOND <= seconds <= LAST_SECOND:
            raise Fault("must be in the years 1 to 9999")
    return seconds, _nanos(fraction)


def timestamp_text(seconds: int, nanos: int) -> str:
    """A time as RFC 3339 writes it."""
    moment = EPOCH + timedelta(seconds=seconds)
    return f"{moment.isoformat()}{_fraction(nanos)}Z"


def duration_parts(value: Any) -> tuple[int, int]:
    """A duration such as "3.5s", as seconds and nanoseconds of the same sign."""
    found = DURATION.fullmatch(value) if type(value) is str else None
    if found is None or int(found[2]) > DURATION_S_MAX:
        raise wrong_kind(value, "a duration") if type(value) is not str else Fault(NOT_A_DURATION)
    sign = -1 if found[1] else 1
    return sign * int(found[2]), sign * _nanos(found[3])


def duration_text(seconds: int, nanos: int) -> str:
    """A duration in seconds."""
    return f"{'-' if seconds < 0 or nanos < 0 else ''}{abs(seconds)}{_fraction(abs(nanos))}s"


def field_mask_paths(value: Any) -> list[str]:
    """The paths of a field mask, in the contract's names."""
    text = _text(value)
    if not text:
        return []
    if not FIELD_MASK.fullmatch(text):
        raise Fault('must be names of fields with commas between them, such as "status,profile.name"')
    return [re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", path) for path in text.split(",")]


def field_mask_text(paths: list[str]) -> str:
    """A field mask as JSON has it."""
    return ",".join(re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), path) for path in paths)


def _nanos(fraction: str | None) -> int:
    return int(fraction.ljust(9, "0")) if fraction else 0


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    for kept in (3, 6):
        if digits.endswith("0" * (9 - kept)):
            return f".{digits[:kept]}"
    return f".{digits}"


def _text(value: Any) -> str:
    if type(value) is not str:
        raise wrong_kind(value, "a text")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise wrong_kind(value, "true or false")
    return value


def _float(value: Any) -> float:
    found = finite(value)
    try:
        struct.pack("<f", found)
    except OverflowError:
        raise Fault(f"must be a number from {-FLOAT_MAX:.9g} to {FLOAT_MAX:.9g}") from None
    return found


def _float_number(value: float) -> float | int | str:
    for digits in FLOAT_DIGITS:
        short = float(f"{value:.{digits}g}")
        if struct.pack("<f", short) == struct.pack("<f", value):
            return number(short)
    return number(value)


def _raw_bytes(value: Any) -> bytes:
    text = _text(value)
    try:
        if BASE64.fullmatch(text):
            return base64.b64decode(
                text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), _altchars(text), validate=True
            )
    except binascii.Error:
        pass
    raise Fault("must be base64")


def _altchars(text: str) -> bytes | None:
    return b"-_" if "-" in text or "_" in text else None


def _whole(value: Any, lowest: int, highest: int) -> int:
    if type(value) is not int:
        if type(value) is str:
            if not WHOLE_NUMBER.fullmatch(value):
                raise Fault(f"must be a whole number, not '{shown(value)}'")
        elif type(value) is not float:
            raise wrong_kind(value, "a whole number")
        elif not value.is_integer():
            raise Fault(f"must be a whole number, not {value!r}")
        value = int(value)
    if not lowest <= value <= highest:
        raise Fault(f"must be a whole number from {lowest} to {highest}")
    return int(value)


def _enum(value: Any, numbers: dict[str, int]) -> int:
    if type(value) is str and value in numbers:
        return numbers[value]
    if type(value) is int and value in numbers.values():
        return value
    short = {number: name for name, number in reversed(numbers.items())}
    names = [name for number, name in sorted(short.items()) if number or name != "UNSPECIFIED"]
    raise Fault(f"must be one of {', '.join(names)}")


_CONVERTERS: dict[int, Convert] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BOOL: _truth,
    FieldDescriptor.TYPE_DOUBLE: finite,
    FieldDescriptor.TYPE_FLOAT: _float,
    FieldDescriptor.TYPE_BYTES: _raw_bytes,
}
_PRINTERS: dict[int, Convert] = {
    FieldDescriptor.TYPE_DOUBLE: number,
    FieldDescriptor.TYPE_FLOAT: _float_number,
    FieldDescriptor.TYPE_BYTES: lambda raw: base64.b64encode(raw).decode(),
}
