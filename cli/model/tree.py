"""The text of a model file as values that know their lines.

YAML is read as its version 1.2 says, so `no` is a word and `1:30` is no number; what has no place in a model (anchors,
aliases, tags, a second document) is refused, as is a key that stands twice, of which one would be lost.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

BYTES_MAX = 1 << 20
"""A model of 500 rules is a tenth of that."""
DEPTH_MAX = 16
"""A model is five levels deep."""
NUMBER_LENGTH_MAX = 100
"""Longer numbers take long to read, and fit no field."""

WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
"""What is no text although it looks like one."""
WHOLE = re.compile(r"[-+]?[0-9]+")
FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Value: TypeAlias = "str | int | float | bool | list[Part] | dict[str, Part] | None"


@dataclass(frozen=True, slots=True)
class Part:
    """A value and the line it stands in, from 1; 0 where that is not known."""

    value: Value
    line: int = 0


class Unreadable(Exception):
    """A text that is not what it should be."""

    def __init__(self, description: str, line: int = 0) -> None:
        super().__init__(description)
        self.description = description
        self.line = line


def read_yaml(text: str) -> Part:
    """The values of a YAML document. Raises Unreadable."""
    try:
        return _document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise Unreadable(f"this is no YAML: {why}", mark.line + 1 if mark else 0) from None


def read_json(text: str) -> Part:
    """The values of a JSON document. Raises Unreadable."""
    try:
        return _part(json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant), 0)
    except json.JSONDecodeError as error:
        raise Unreadable(f"this is no JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise Unreadable("this is nested too deeply") from None
    except ValueError:
        raise Unreadable("this is no JSON: a number is too long") from None


def _document(events: Iterator[Any]) -> Part:
    for event in events:
        if isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            continue
        if isinstance(event, yaml.StreamEndEvent):
            raise Unreadable("the file is empty")
        document = _node(event, events, 0)
        break
    next(events)
    if not isinstance(after := next(events), yaml.StreamEndEvent):
        raise Unreadable("there is a second document; a model is one", _line(after))
    return document


def _node(event: Any, events: Iterator[Any], depth: int) -> Part:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent):
        raise Unreadable(f"*{event.anchor} refers to another place; write the value out", line)
    if event.anchor:
        raise Unreadable(f"&{event.anchor} makes a value that others refer to; write them out", line)
    if event.tag:
        raise Unreadable(f"{event.tag} is a type; a model needs none", line)
    if depth > DEPTH_MAX:
        raise Unreadable("this is nested too deeply", line)
    if isinstance(event, yaml.ScalarEvent):
        return Part(_scalar(event.value) if event.implicit[0] else event.value, line)
    if isinstance(event, yaml.SequenceStartEvent):
        return Part(_items(events, depth + 1), line)
    return Part(_fields(events, depth + 1), line)


def _items(events: Iterator[Any], depth: int) -> "list[Part]":
    items = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        items.append(_node(event, events, depth))
    return items


def _fields(events: Iterator[Any], depth: int) -> "dict[str, Part]":
    fields: dict[str, Part] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _node(event, events, depth)
        if not isinstance(key.value, str):
            shown = getattr(event, "value", "this")
            raise Unreadable(f"{shown} is the name of a field or a word; put it in quotes", key.line)
        if key.value in fields:
            raise Unreadable(f"{key.value!r} stands twice, first in line {fields[key.value].line}", key.line)
        value = _node(next(events), events, depth)
        # Of a value that begins a line lower, people look for the key.
        fields[key.value] = Part(value.value, key.line)
    return fields


def _scalar(text: str) -> str | int | float | bool | None:
    if text in WORDS:
        return WORDS[text]
    if len(text) <= NUMBER_LENGTH_MAX:
        if WHOLE.fullmatch(text):
            return int(text)
        if FRACTION.fullmatch(text):
            return float(text)
    return text


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"{twice!r} stands twice")
    return fields


def _no_constant(name: str) -> None:
    raise Unreadable(f"{name} is no number")


def _part(value: Any, depth: int) -> Part:
    if depth > DEPTH_MAX:
        raise Unreadable("this is nested too deeply")
    if isinstance(value, dict):
        return Part({name: _part(each, depth + 1) for name, each in value.items()})
    if isinstance(value, list):
        return Part([_part(each, depth + 1) for each in value])
    return Part(value)
