"""Arrays in PostgreSQL's binary format, of values that are made by `binary`."""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format


class Array(bytes):
    """An array as it goes to the server. Its type is what the statement says it is."""


class ArrayDumper(Dumper):
    """Hands an array on as it is."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        """The bytes of an Array."""
        return bytes(obj)


psycopg.adapters.register_dumper(Array, ArrayDumper)

_LENGTH = Struct("!i").pack
_HEADER = Struct("!iiiii").pack
_EMPTY = Struct("!iii").pack
_NULL = _LENGTH(-1)

_SMALL, _WHOLE, _LARGE = (Struct(layout).pack for layout in ("!ih", "!ii", "!iq"))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH(len(encoded)) + encoded


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


_KINDS: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "text": (25, _text),
    "bytea": (17, _bytes),
    "jsonb": (3802, _bytes),
    "int2": (21, lambda value: _SMALL(2, value)),
    "int4": (23, lambda value: _WHOLE(4, value)),
    "date": (1082, lambda value: _WHOLE(4, value)),
    "int8": (20, lambda value: _LARGE(8, value)),
    "timestamptz": (1184, lambda value: _LARGE(8, value)),
}
"""The types that arrays are made of: PostgreSQL's number for each, and a value as its length and its bytes."""
_ONE = {kind: _HEADER(1, 0, number, 1, 1) for kind, (number, _) in _KINDS.items()}
"""What an array of one value begins with."""


def array(kind: str, values: Sequence[Any]) -> Array:
    """An array of a type. Raises what encoding a value of another type raises."""
    number, encode = _KINDS[kind]
    if not values:
        return Array(_EMPTY(0, 0, number))
    if len(values) == 1:  # A single event is some seventy of these.
        return Array(_ONE[kind] + (_NULL if values[0] is None else encode(values[0])))
    parts = [_NULL if value is None else encode(value) for value in values]
    return Array(_HEADER(1, 0, number, len(values), 1) + b"".join(parts))


def arrays(kinds: Iterable[str], rows: Iterable[Sequence[Any]]) -> list[Array]:
    """Rows as arrays of their columns."""
    return [array(kind, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]
