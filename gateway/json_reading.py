"""From JSON to messages of the contract, with the path of every fault.

Proto3 JSON, read strictly: unknown fields, repeated keys, numbers that are none or out of range, and halves of
surrogate pairs are refused where they stand. Field names are accepted as lowerCamelCase and as snake_case, enum values
with and without their prefix. A reader is compiled once for each kind of message.
"""

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.wrappers_pb2 import DESCRIPTOR as WRAPPERS

from gateway.json_faults import FAULTS_MAX, HALF_A_PAIR, TOO_DEEP, Fault, shown, wrong_kind
from gateway.json_scalars import converter_of, duration_parts, field_mask_paths, finite, seconds_and_nanos

LEVELS_MAX = 90
"""Messages within messages. A protobuf parser stops at 100, and a level of free JSON takes three."""

Fill = Callable[[Any, Any, int], None]
"""Reads a value into a message, or into a field of one, that may have so many levels. Raises Fault."""


def read_into(value: Any, message: Message, path: str = "") -> None:
    """Reads a JSON value into `message`. Raises InvalidRequest with the path of every fault, from `path` on."""
    descriptor: Any = message.DESCRIPTOR
    try:
        fill_of(descriptor)(value, message, LEVELS_MAX)
    except Fault as fault:
        raise fault.refusal(path) from None


def fill_of(descriptor: Descriptor) -> Fill:
    """What reads a kind of message."""
    if special := SPECIAL.get(descriptor.full_name):
        return special
    if descriptor.full_name in WRAPPED:
        return setter_of(descriptor.fields_by_name["value"])
    reader = _READERS.get(descriptor)
    if reader is None:
        reader = _READERS[descriptor] = _Reader()
        reader.compile(descriptor)
    return reader.fill


def setter_of(field: FieldDescriptor) -> Fill:
    """What reads a value into a field of a message."""
    if field.is_repeated:
        return _map_setter(field) if is_map(field) else _array_setter(field)
    name = field.name
    if field.message_type is not None:
        fill = fill_of(field.message_type)

        def set_message(value: Any, message: Message, levels: int) -> None:
            part = getattr(message, name)
            part.SetInParent()
            fill(value, part, levels - 1)

        return set_message
    convert = converter_of(field)

    def set_scalar(value: Any, message: Message, levels: int) -> None:
        try:
            setattr(message, name, convert(value))
        except UnicodeEncodeError:
            raise Fault(HALF_A_PAIR) from None

    return set_scalar


class _Reader:
    """Reads one kind of message. Compiled after it is known, because a message may contain its own kind."""

    def __init__(self) -> None:
        self._fields: dict[str, tuple[str, int, bool, Fill]] = {}
        self._groups: dict[str, str] = {}

    def compile(self, descriptor: Descriptor) -> None:
        for index, field in enumerate(descriptor.fields):
            bits = 1 << index
            if (group := field.containing_oneof) is not None and len(group.fields) > 1:
                bits |= 1 << (len(descriptor.fields) + group.index)
                self._groups[f".{field.json_name}"] = ", ".join(each.json_name for each in group.fields)
            takes_null = field.message_type is Value.DESCRIPTOR and not field.is_repeated
            known = (f".{field.json_name}", bits, takes_null, setter_of(field))
            self._fields[field.name] = self._fields[field.json_name] = known

    def fill(self, value: Any, message: Message, levels: int) -> None:
        if type(value) is not dict:
            raise wrong_kind(value, "an object")
        if levels <= 0:
            raise Fault(TOO_DEEP)
        faults: list[tuple[str, str]] = []
        fields, seen = self._fields, 0
        for name, item in value.items():
            known = fields.get(name)
            if known is None:
                faults.append((f".{shown(name)}", "is not a field that is known here"))
                if len(faults) >= FAULTS_MAX:
                    break
                continue
            step, bits, takes_null, set_field = known
            if item is None and not takes_null:
                continue
            if seen & bits:
                faults.append((step, self._twice(step)))
                continue
            seen |= bits
            try:
                set_field(item, message, levels)
            except Fault as fault:
                faults += fault.behind(step)
        if faults:
            raise Fault.all(faults)

    def _twice(self, step: str) -> str:
        group = self._groups.get(step)
        return f"only one of {group} may be given" if group else "is given under both of its names"


def _array_setter(field: FieldDescriptor) -> Fill:
    name = field.name
    add = _message_adder(field.message_type) if field.message_type is not None else _scalar_adder(field)

    def set_array(value: Any, message: Message, levels: int) -> None:
        if type(value) is not list:
            raise wrong_kind(value, "an array")
        items = getattr(message, name)
        faults: list[tuple[str, str]] = []
        for index, item in enumerate(value):
            try:
                add(item, items, levels)
            except Fault as fault:
                faults += fault.behind(f"[{index}]")
                if len(faults) >= FAULTS_MAX:
                    break
        if faults:
            raise Fault.all(faults)

    return set_array


def _message_adder(descriptor: Descriptor) -> Fill:
    fill = fill_of(descriptor)

    def add(value: Any, items: Any, levels: int) -> None:
        fill(value, items.add(), levels - 1)

    return add


def _scalar_adder(field: FieldDescriptor) -> Fill:
    convert = converter_of(field)

    def add(value: Any, items: Any, levels: int) -> None:
        try:
            items.append(convert(value))
        except UnicodeEncodeError:
            raise Fault(HALF_A_PAIR) from None

    return add


def _map_setter(field: FieldDescriptor) -> Fill:
    assert field.message_type is not None, "a map is a repeated message of keys and values"
    name = field.name
    put = _entry_putter(field.message_type)

    def set_map(value: Any, message: Message, levels: int) -> None:
        if type(value) is not dict:
            raise wrong_kind(value, "an object")
        _each(value, getattr(message, name), levels, put)

    return set_map


def _entry_putter(entry: Descriptor) -> Callable[[str, Any, Any, int], None]:
    key_of = _key_converter(entry.fields_by_name["key"])
    field = entry.fields_by_name["value"]
    if field.message_type is not None:
        fill = fill_of(field.message_type)
        return lambda key, value, entries, levels: fill(value, entries[key_of(key)], levels - 2)
    convert = converter_of(field)

    def put(key: str, value: Any, entries: Any, levels: int) -> None:
        entries[key_of(key)] = convert(value)

    return put


def _key_converter(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.type == FieldDescriptor.TYPE_STRING:
        return str
    if field.type == FieldDescriptor.TYPE_BOOL:
        convert, canonical = converter_of(field), re.compile("true|false")
        return lambda key: convert({"true": True, "false": False}[_canonical(key, canonical)])
    whole, canonical = converter_of(field), re.compile("0|-?[1-9][0-9]{0,19}")
    return lambda key: whole(_canonical(key, canonical))


def _canonical(key: str, pattern: re.Pattern[str]) -> str:
    """A key that is a number or a truth. In one spelling only, or two keys could be the same."""
    if not pattern.fullmatch(key):
        raise Fault("is not a key of this map")
    return key


def _struct(value: Any, message: Any, levels: int) -> None:
    if type(value) is not dict:
        raise wrong_kind(value, "an object")
    if levels <= 0:
        raise Fault(TOO_DEEP)
    _each(value, message.fields, levels, _put_value)


def _put_value(key: str, value: Any, entries: Any, levels: int) -> None:
    _value(value, entries[key], levels - 2)


def _each(value: dict[str, Any], entries: Any, levels: int, put: Callable[[str, Any, Any, int], None]) -> None:
    faults: list[tuple[str, str]] = []
    for key, item in value.items():
        try:
            put(key, item, entries, levels)
        except UnicodeEncodeError:
            faults.append((f".{shown(key)}", HALF_A_PAIR))
        except Fault as fault:
            faults += fault.behind(f".{shown(key)}")
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        raise Fault.all(faults)


def _list(value: Any, message: Any, levels: int) -> None:
    if type(value) is not list:
        raise wrong_kind(value, "an array")
    _LIST_ITEMS(value, message, levels)


def _value(value: Any, message: Any, levels: int) -> None:
    if levels <= 0:
        raise Fault(TOO_DEEP)
    kind = type(value)
    if kind is str:
        try:
            message.string_value = value
        except UnicodeEncodeError:
            raise Fault(HALF_A_PAIR) from None
    elif kind is bool:
        message.bool_value = value
    elif value is None:
        message.null_value = 0
    elif kind is list:
        message.list_value.SetInParent()
        _list(value, message.list_value, levels - 1)
    elif kind is int or kind is float:
        message.number_value = finite(value)
    else:
        message.struct_value.SetInParent()
        _struct(value, message.struct_value, levels - 1)


def _timestamp(value: Any, message: Any, levels: int) -> None:
    message.seconds, message.nanos = seconds_and_nanos(value)


def _duration(value: Any, message: Any, levels: int) -> None:
    message.seconds, message.nanos = duration_parts(value)


def _field_mask(value: Any, message: Any, levels: int) -> None:
    message.paths.extend(field_mask_paths(value))


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map, which the descriptor shows as a repeated message."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


WRAPPED = frozenset(str(each.full_name) for each in WRAPPERS.message_types_by_name.values())
"""Messages that hold one value and stand for it."""
TEXTUAL = WRAPPED | {"google.protobuf.Timestamp", "google.protobuf.Duration", str(FieldMask.DESCRIPTOR.full_name)}
"""Messages that JSON shows as a text or another single value, so that a parameter can say them."""
SPECIAL: dict[str, Fill] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    str(FieldMask.DESCRIPTOR.full_name): _field_mask,
    str(Struct.DESCRIPTOR.full_name): _struct,
    str(ListValue.DESCRIPTOR.full_name): _list,
    str(Value.DESCRIPTOR.full_name): _value,
}
_READERS: dict[Descriptor, _Reader] = {}
_LIST_ITEMS = _array_setter(ListValue.DESCRIPTOR.fields_by_name["values"])
