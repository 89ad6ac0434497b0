"""The values of a file as a definition. Strict, so that nothing of a file is passed over: every name must be a field,
every value of the field's kind; and all that is wrong is said at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from leadscore.model.v1 import model_pb2

from cli.model.tree import Part, Value

INT32_MAX = (1 << 31) - 1
SHOWN_MAX = 40
"""Characters of a value that a sentence shows."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with a file or a definition: where, and what. The line is 0 where it is not known."""

    field: str
    description: str
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.field} (line {self.line})" if self.line and self.field else self.field
        where = where or (f"line {self.line}" if self.line else "")
        return f"{where}: {self.description}" if where else self.description


class Reading:
    """What was read of a file: the definition, its faults, and the line of each field by its path."""

    def __init__(self, root: Part) -> None:
        self.definition = model_pb2.ModelDefinition()
        self.faults: list[Fault] = []
        self.lines: dict[str, int] = {}
        self._message(root, self.definition, "")

    def _message(self, part: Part, message: Any, path: str) -> None:
        if not isinstance(part.value, dict):
            self._fault(path, f"must be fields with values, not {_shown(part.value)}")
            return
        descriptor = message.DESCRIPTOR
        for name, child in part.value.items():
            below = self._below(child, f"{path}.{name}" if path else name)
            if (field := descriptor.fields_by_name.get(name)) is not None:
                self._field(child, message, field, below)
            else:
                self._fault(below, f"there is no such field{_meant(name, descriptor)}")
        self._one_of_each(part.value, descriptor, path)

    def _one_of_each(self, fields: Mapping[str, Part], descriptor: Descriptor, path: str) -> None:
        for oneof in descriptor.oneofs:
            given = [field.name for field in oneof.fields if field.name in fields]
            if len(given) > 1:
                self._fault(path, f"{' and '.join(given)} exclude one another")

    def _field(self, part: Part, message: Any, field: FieldDescriptor, path: str) -> None:
        if part.value is None:
            self._fault(path, "has no value; leave it out for the default")
        elif _is_map(field):
            self._map(part, getattr(message, field.name), field, path)
        elif field.is_repeated:
            self._list(part, getattr(message, field.name), field, path)
        elif field.message_type is not None:
            below = getattr(message, field.name)
            below.SetInParent()
            self._message(part, below, path)
        elif (value := self._scalar(part, field, path)) is not None:
            setattr(message, field.name, value)

    def _map(self, part: Part, target: Any, field: FieldDescriptor, path: str) -> None:
        if not isinstance(part.value, dict):
            self._fault(path, f"must be names with values, not {_shown(part.value)}")
            return
        for name, child in part.value.items():
            value = self._scalar(child, _map_value(field), self._below(child, f"{path}[{name}]"))
            if value is not None:
                target[name] = value

    def _list(self, part: Part, target: Any, field: FieldDescriptor, path: str) -> None:
        if not isinstance(part.value, list):
            self._fault(path, f"must be a list, not {_shown(part.value)}")
            return
        for index, child in enumerate(part.value):
            self._message(child, target.add(), self._below(child, f"{path}[{index}]"))

    def _scalar(self, part: Part, field: FieldDescriptor, path: str) -> Any:
        wanted, value = _KINDS[field.type]
        found = value(part.value)
        if found is None:
            self._fault(path, f"must be {wanted}, not {_shown(part.value)}")
        return found

    def _below(self, part: Part, path: str) -> str:
        self.lines[path] = part.line
        return path

    def _fault(self, path: str, description: str) -> None:
        self.faults.append(Fault(path, description, self.lines.get(path, 0)))


def line_of(lines: Mapping[str, int], path: str) -> int:
    """The line of a field, or of the innermost part that it is in; 0 if none of them stands in the file."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path, 0)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _map_value(field: FieldDescriptor) -> FieldDescriptor:
    entry = field.message_type
    assert entry is not None
    return entry.fields_by_name["value"]


def _meant(name: str, descriptor: Descriptor) -> str:
    close = get_close_matches(name.lower(), descriptor.fields_by_name, n=1)
    return f"; is {close[0]!r} meant?" if close else f"; there are {', '.join(descriptor.fields_by_name)}"


def _text(value: Value) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(float(value)) else None
    except OverflowError:
        return None


def _whole(value: Value) -> int | None:
    number = _number(value)
    if number is None or not number.is_integer() or not -INT32_MAX - 1 <= number <= INT32_MAX:
        return None
    return int(number)


def _truth(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


_KINDS: dict[int, tuple[str, Any]] = {
    FieldDescriptor.TYPE_STRING: ("a text", _text),
    FieldDescriptor.TYPE_DOUBLE: ("a number", _number),
    FieldDescriptor.TYPE_INT32: (f"a whole number of at most {INT32_MAX}", _whole),
    FieldDescriptor.TYPE_BOOL: ("true or false", _truth),
}


def _shown(value: Value) -> str:
    """A value for a sentence; of a long one its beginning."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "fields"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}...")
    shown = json.dumps(value)
    return f"{shown if len(shown) <= SHOWN_MAX else f'{shown[:SHOWN_MAX]}...'} (a text stands in quotes)"
