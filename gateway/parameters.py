"""What paths and query strings say, as fields of a request."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.json_faults import Fault, shown
from gateway.json_reading import LEVELS_MAX, TEXTUAL, WRAPPED, setter_of
from services.shared.errors import FieldViolation, InvalidRequest

PARAMETERS_MAX = 2_000
"""More than any call takes: a filter of a thousand leads, and the rest."""
NESTING_MAX = 3
"""How deep a parameter may reach into a message, as in `filter.period.from`."""
TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter:
    """A field that can be said in one text, or in several."""

    name: str
    """In JSON's names: `filter.minScore`."""
    path: tuple[str, ...]
    """In the contract's names."""
    field: FieldDescriptor

    def read(self, texts: list[str], message: Message) -> None:
        """Reads the texts given for it into `message`. Raises InvalidRequest."""
        if len(texts) > 1 and not self.field.is_repeated:
            raise InvalidRequest([FieldViolation(self.name, "is given more than once")])
        values = [self._value(text) for text in texts]
        target: Any = message
        for step in self.path[:-1]:
            target = getattr(target, step)
        try:
            setter_of(self.field)(values if self.field.is_repeated else values[0], target, LEVELS_MAX)
        except Fault as fault:
            raise fault.refusal(self.name) from None

    def _value(self, text: str) -> Any:
        """A text as the JSON value that the field takes."""
        field = self.field
        if field.message_type is not None and field.message_type.full_name in WRAPPED:
            field = field.message_type.fields_by_name["value"]
        if field.type == FieldDescriptor.TYPE_BOOL:
            return TRUTHS.get(text, text)
        return int(text) if field.enum_type is not None and text.isascii() and text.isdigit() else text


@cache
def parameters_of(descriptor: Descriptor) -> Mapping[str, Parameter]:
    """All fields of a request that can be parameters, by their names in the contract, with dots between levels."""
    return {".".join(each.path): each for each in _parameters(descriptor, (), ())}


def read_parameters(
    query: bytes, message: Message, taken: AbstractSet[str], aliases: Mapping[str, str] | None = None
) -> None:
    """Reads a query string into the fields of `message`, but for those that are `taken` by the path or the body. Some
    may have another name too, by `aliases`. Raises InvalidRequest.
    """
    known = _by_either_name(message.DESCRIPTOR)
    given: dict[Parameter, list[str]] = {}
    violations = []
    for name, text in _pairs(query):
        parameter = known.get((aliases or {}).get(name, name))
        if parameter is None or not taken.isdisjoint(_prefixes(parameter.path)):
            violations.append(FieldViolation(shown(name), "is not a parameter of this call"))
        else:
            given.setdefault(parameter, []).append(text)
    for parameter, texts in given.items():
        try:
            parameter.read(texts, message)
        except InvalidRequest as error:
            violations += error.violations
    if violations:
        raise InvalidRequest(violations)


def read_variables(variables: Mapping[str, str], message: Message) -> None:
    """Reads what the path says into `message`. A body may say the same, but nothing else. Raises InvalidRequest."""
    for name, text in variables.items():
        parameter = parameters_of(message.DESCRIPTOR)[name]
        said = type(message)()
        parameter.read([text], said)
        if _at(message, parameter.path) not in (_at(type(message)(), parameter.path), _at(said, parameter.path)):
            raise InvalidRequest([FieldViolation(parameter.name, "differs from the one in the path")])
        parameter.read([text], message)


def _parameters(descriptor: Descriptor, path: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Parameter]:
    for field in descriptor.fields:
        here, shown_here = (*path, field.name), (*names, field.json_name)
        inner = field.message_type
        if inner is None or inner.full_name in TEXTUAL:
            yield Parameter(".".join(shown_here), here, field)
        elif not field.is_repeated and len(here) < NESTING_MAX and inner.file.package != "google.protobuf":
            yield from _parameters(inner, here, shown_here)


@cache
def _by_either_name(descriptor: Descriptor) -> Mapping[str, Parameter]:
    parameters = parameters_of(descriptor)
    return {**parameters, **{each.name: each for each in parameters.values()}}


def _prefixes(path: tuple[str, ...]) -> set[str]:
    return {".".join(path[:length]) for length in range(1, len(path) + 1)}


def _at(message: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        message = getattr(message, step)
    return message


def _pairs(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query string, as HTML forms write it: a plus is a space there."""
    parts = [part for part in query.split(b"&") if part]
    if len(parts) > PARAMETERS_MAX:
        raise InvalidRequest([FieldViolation("", f"the query has more than {PARAMETERS_MAX} parameters")])
    pairs = []
    for part in parts:
        name, _, value = (unquote_to_bytes(each) for each in part.replace(b"+", b" ").partition(b"="))
        try:
            pairs.append((name.decode(), value.decode()))
        except UnicodeDecodeError:
            field = shown(name.decode(errors="replace"))
            raise InvalidRequest([FieldViolation(field, "is not UTF-8")]) from None
    return pairs
