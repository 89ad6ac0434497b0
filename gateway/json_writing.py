"""From messages of the contract to JSON.

Proto3 JSON with lowerCamelCase names, but for what REST users would trip over: 64-bit whole numbers are numbers (none
of ours is above 2^53), enum values come without their prefix, fields at their default are shown. Only messages that are
not set are left out. A writer is compiled once for each kind of message.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from gateway.json_reading import WRAPPED, is_map
from gateway.json_scalars import duration_text, field_mask_text, number, printer_of, timestamp_text

Write = Callable[[Any], Any]


def to_json(message: Message) -> bytes:
    """A message as a JSON document. The same message always gives the same bytes."""
    return msgspec.json.encode(plain(message))


def plain(message: Message) -> Any:
    """A message as plain values."""
    descriptor: Any = message.DESCRIPTOR
    return write_of(descriptor)(message)


def write_of(descriptor: Descriptor) -> Write:
    """What writes a kind of message."""
    if special := SPECIAL.get(descriptor.full_name):
        return special
    if descriptor.full_name in WRAPPED:
        write = printer_of(descriptor.fields_by_name["value"]) or _as_it_is
        return lambda message: write(message.value)
    writer = _WRITERS.get(descriptor)
    if writer is None:
        writer = _WRITERS[descriptor] = _Writer()
        writer.compile(descriptor)
    return writer.write


class _Writer:
    """Writes one kind of message. Compiled after it is known, because a message may contain its own kind."""

    def __init__(self) -> None:
        self._fields: list[tuple[str, str, Write | None, bool]] = []

    def compile(self, descriptor: Descriptor) -> None:
        self._fields = [
            (field.name, field.json_name, _field_writer(field), bool(field.has_presence)) for field in descriptor.fields
        ]

    def write(self, message: Any) -> dict[str, Any]:
        found = {}
        for name, json_name, write, may_be_unset in self._fields:
            if may_be_unset and not message.HasField(name):
                continue
            value = getattr(message, name)
            found[json_name] = value if write is None else write(value)
        return found


def _field_writer(field: FieldDescriptor) -> Write | None:
    if is_map(field):
        return _map_writer(field)
    write = _item_writer(field)
    if not field.is_repeated:
        return write
    return list if write is None else lambda items: [write(item) for item in items]


def _item_writer(field: FieldDescriptor) -> Write | None:
    return write_of(field.message_type) if field.message_type is not None else printer_of(field)


def _map_writer(field: FieldDescriptor) -> Write:
    assert field.message_type is not None, "a map is a repeated message of keys and values"
    write = _item_writer(field.message_type.fields_by_name["value"]) or _as_it_is
    return lambda entries: {_key(key): write(entries[key]) for key in sorted(entries)}


def _key(key: Any) -> str:
    return str(key).lower() if type(key) is bool else str(key)


def _as_it_is(value: Any) -> Any:
    return value


def _struct(message: Any) -> dict[str, Any]:
    fields = message.fields
    return {key: _value(fields[key]) for key in sorted(fields)}


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
    "google.protobuf.Timestamp": lambda message: timestamp_text(message.seconds, message.nanos),
    "google.protobuf.Duration": lambda message: duration_text(message.seconds, message.nanos),
    str(FieldMask.DESCRIPTOR.full_name): lambda message: field_mask_text(message.paths),
    str(Struct.DESCRIPTOR.full_name): _struct,
    str(ListValue.DESCRIPTOR.full_name): _list,
    str(Value.DESCRIPTOR.full_name): _value,
}
_WRITERS: dict[Descriptor, _Writer] = {}
