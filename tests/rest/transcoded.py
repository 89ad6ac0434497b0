"""Requests as REST has them, and its answers as messages again: by the contract's options and protobuf's own JSON, and
by nothing that the gateway uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor

VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class HttpRequest:
    """A request to the gateway."""

    verb: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    body: Any
    """The JSON of the body; None for none."""


@dataclass(frozen=True)
class Binding:
    """What the contract says of an RPC's REST path."""

    verb: str
    template: str
    body: str
    response_body: str

    def request(self, message: Any) -> HttpRequest:
        """A message as a request."""
        fields = json_format.MessageToDict(message)
        path = self.template
        for name in re.findall(r"\{(\w+)\}", self.template):
            fields.pop(message.DESCRIPTOR.fields_by_name[name].json_name, None)
            path = path.replace(f"{{{name}}}", quote(str(getattr(message, name)), safe=""))
        body = None
        if self.body == "*":
            body, fields = fields, {}
        elif self.body:
            body = fields.pop(message.DESCRIPTOR.fields_by_name[self.body].json_name, {})
        return HttpRequest(self.verb, path, tuple(_parameters(fields)), body)


def binding_of(method: MethodDescriptor) -> Binding | None:
    """The REST path of an RPC; None if it has none."""
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return None
    rule = options.Extensions[annotations_pb2.http]
    verb = next(verb for verb in VERBS if rule.HasField(verb))
    return Binding(verb.upper(), getattr(rule, verb), rule.body, rule.response_body)


def message_of(document: Any, descriptor: Descriptor) -> Any:
    """A document as a message. Unknown fields and values are errors."""
    message = message_factory.GetMessageClass(descriptor)()
    return json_format.ParseDict(_with_whole_names(document, descriptor), message, ignore_unknown_fields=False)


def json_path(path: str, descriptor: Descriptor, body: str) -> str:
    """A path of the contract's names as the gateway shows it: in JSON's names, from the body on."""
    shown: list[str] = []
    at: Descriptor | None = descriptor
    for part in path.split("."):
        name, bracket, rest = part.partition("[")
        field = at.fields_by_name.get(name) if at is not None else None
        shown.append((field.json_name if field is not None else name) + bracket + rest)
        at = field.message_type if field is not None and not _is_free(field) else None
    if body not in ("", "*") and shown[0] == descriptor.fields_by_name[body].json_name:
        shown = shown[1:]
    return ".".join(shown)


def _parameters(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _parameters(value, f"{prefix}{name}.")
            continue
        for each in value if isinstance(value, list) else [value]:
            yield prefix + name, str(each).lower() if isinstance(each, bool) else str(each)


def _with_whole_names(document: Any, descriptor: Descriptor) -> Any:
    """The gateway leaves out what the names of an enum's values have in common; protobuf does not."""
    assert isinstance(document, dict), document
    fields = {field.json_name: field for field in descriptor.fields}
    return {name: _whole(value, fields.get(name)) for name, value in document.items()}


def _whole(value: Any, field: FieldDescriptor | None) -> Any:
    if field is None or _is_free(field):
        return value
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {key: _whole(each, of) for key, each in value.items()}
    if isinstance(value, list):
        return [_one(each, field) for each in value]
    return _one(value, field)


def _one(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _with_whole_names(value, field.message_type)
    return value if field.enum_type is None else _prefix(field.enum_type) + value


def _prefix(enum: EnumDescriptor) -> str:
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")


def _is_free(field: FieldDescriptor) -> bool:
    """Whether a field has no names of the contract's inside: free JSON, or a time."""
    return field.message_type is not None and str(field.message_type.full_name).startswith("google.protobuf.")
