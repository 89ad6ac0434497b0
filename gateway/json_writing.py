"""From messages of the contract to JSON.

Proto3 JSON with lowerCamelCase names, but for what REST users would trip over: 64-bit whole numbers are numbers (none
of ours is above 2^53), enum values come without their prefix, fields at their default are shown. Only messages that are
not set are left out. A writer is compiled once for each kind of message.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from gateway.json_reading import enum_prefix

INTEGER_MAX = 2**53

Write = Callable[[Any], Any]


def to_json(message: Message) -> bytes:
    """A message as a JSON document."""
    return msgspec.json.encode(plain(message))


def plain(message: Message) -> Any:
    """A message as plain values."""
    return writer_of(message.DESCRIPTOR)(message)


@cache
def writer_of(descriptor: Descriptor) -> Write:
    """The writer for a kind of message."""
    if special := SPECIAL.get(descriptor.full_name):
        return special
    fields = [(field.name, field.json_name, _field_writer(field), _has_presence(field)) for field in descriptor.fields]

    def write(message: Any) -> dict[str, Any]:
        return {
            json_name: write_field(getattr(message, name))
            for name, json_name, write_field, has_presence in fields
            if not has_presence or message.HasField(name)
        }

    return write


def _has_presence(field: FieldDescriptor) -> bool:
    return bool(field.has_presence) and not field.is_repeated


def _field_writer(field: FieldDescriptor) -> Write:
    write = _item_writer(field)
    return (lambda items: [write(item) for item in items]) if field.is_repeated else write


def _item_writer(field: FieldDescriptor) -> Write:
    if field.message_type is not None:
        descriptor = field.message_type
        return lambda message: writer_of(descriptor)(message)
    if field.enum_type is not None:
        prefix = enum_prefix(field.enum_type)
        names = {number: value.name.removeprefix(prefix) for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda raw: base64.b64encode(raw).decode()
    return lambda value: value


def number(value: float) -> float | int:
    """A double; without a fraction it is shown as a whole number."""
    return int(value) if value.is_integer() and abs(value) <= INTEGER_MAX else value


def _timestamp(message: Any) -> str:
    moment = datetime.fromtimestamp(message.seconds, UTC)
    fraction = f".{message.nanos:09d}".rstrip("0") if message.nanos else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _duration(message: Any) -> str:
    sign = "-" if message.seconds < 0 or message.nanos < 0 else ""
    fraction = f".{abs(message.nanos):09d}".rstrip("0") if message.nanos else ""
    return f"{sign}{abs(message.seconds)}{fraction}s"


def _struct(message: Any) -> dict[str, Any]:
    return {key: _value(value) for key, value in message.fields.items()}


def _list(message: Any) -> list[Any]:
    return [_value(value) for value in message.values]


def _value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return number(message.number_value)
        case "bool_value":
            return message.bool_value
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return _list(message.list_value)
    return None


SPECIAL: dict[str, Write] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    Struct.DESCRIPTOR.full_name: _struct,
    ListValue.DESCRIPTOR.full_name: _list,
    Value.DESCRIPTOR.full_name: _value,
}
