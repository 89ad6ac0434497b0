"""Writes `docs/model.schema.json`: the JSON Schema of model files, from the contract, its comments and its field rules.

Editors complete and check model files by it. It says what a file may look like; what makes a model contradict itself,
`leadscore model validate` says.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "docs" / "model.schema.json"
CONTRACT = "leadscore/model/v1/model.proto"
DEFINITION = "ModelDefinition"
MESSAGES, FIELDS = 4, 2
"""Where a file's messages and a message's fields are, in the paths of comments."""

TYPES: dict[int, dict[str, Any]] = {
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_INT32: {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1},
}


def main() -> None:
    """Writes the schema."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    print(f"wrote {SCHEMA.relative_to(ROOT)}")


def schema_text() -> str:
    """The schema as it stands in its file."""
    files = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen" / "contract.binpb").read_bytes())
    file = next(each for each in files.file if each.name == CONTRACT)
    return json.dumps(_Schemas(file).schema(), indent=2) + "\n"


class _Schemas:
    """The schemas of a contract's messages."""

    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self._messages = {message.name: (index, message) for index, message in enumerate(file.message_type)}
        self._comments = {
            tuple(location.path): _description(location.leading_comments) for location in file.source_code_info.location
        }

    def schema(self) -> dict[str, Any]:
        """The schema of a definition, and of all that stands in one."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A scoring model of leadscore",
            **self._message(DEFINITION),
            "$defs": {name: self._message(name) for name in sorted(self._within(DEFINITION))},
        }

    def _within(self, name: str) -> Iterator[str]:
        _, message = self._messages[name]
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_MESSAGE and _map_entry(message, field) is None:
                yield _name(field)
                yield from self._within(_name(field))

    def _message(self, name: str) -> dict[str, Any]:
        index, message = self._messages[name]
        schema: dict[str, Any] = {
            "description": self._comments[MESSAGES, index],
            "type": "object",
            "properties": {
                field.name: {
                    "description": self._comments[MESSAGES, index, FIELDS, number],
                    **_field(message, field),
                }
                for number, field in enumerate(message.field)
            },
            "additionalProperties": False,
        }
        if required := [field.name for field in message.field if _is_required(field)]:
            schema["required"] = required
        if choices := list(_choices(message)):
            schema["oneOf"] = [{"required": [name]} for name in choices]
        return schema


def _description(comment: str) -> str:
    """A comment without its line breaks, but for those around what is indented or stands apart."""
    joined = re.sub(r"(?<=\S)\n (?=\S)", " ", comment)
    return "\n".join(line.removeprefix(" ") for line in joined.rstrip().splitlines())


def _field(message: DescriptorProto, field: FieldDescriptorProto) -> dict[str, Any]:
    rules = field.options.Extensions[validate_pb2.field]
    if (entry := _map_entry(message, field)) is not None:
        values = {**TYPES[entry.field[1].type], **_text_rules(rules.map.values)}
        schema: dict[str, Any] = {"type": "object", "additionalProperties": values}
        if names := _text_rules(rules.map.keys):
            schema["propertyNames"] = names
        return schema | ({"maxProperties": rules.map.max_pairs} if rules.map.max_pairs else {})
    if field.type != FieldDescriptorProto.TYPE_MESSAGE:
        return {**TYPES[field.type], **_text_rules(rules)}
    reference = {"$ref": f"#/$defs/{_name(field)}"}
    if field.label != FieldDescriptorProto.LABEL_REPEATED:
        return reference
    most = {"maxItems": rules.repeated.max_items} if rules.repeated.max_items else {}
    return {"type": "array", "items": reference, **most}


def _text_rules(rules: validate_pb2.FieldRules) -> dict[str, Any]:
    text = rules.string
    schema: dict[str, Any] = {}
    if getattr(text, "in"):
        schema["enum"] = list(getattr(text, "in"))
    if text.min_len:
        schema["minLength"] = text.min_len
    if text.max_len:
        schema["maxLength"] = text.max_len
    return schema | ({"pattern": text.pattern} if text.pattern else {})


def _is_required(field: FieldDescriptorProto) -> bool:
    """Whether leaving a text out, which is the same as an empty one, breaks its rules."""
    text = field.options.Extensions[validate_pb2.field].string
    return bool(text.min_len) or (bool(text.pattern) and re.search(text.pattern, "") is None)


def _choices(message: DescriptorProto) -> Iterator[str]:
    for index, oneof in enumerate(message.oneof_decl):
        if oneof.options.Extensions[validate_pb2.oneof].required:
            yield from (
                field.name for field in message.field if field.HasField("oneof_index") and field.oneof_index == index
            )


def _map_entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    entries = (each for each in message.nested_type if each.options.map_entry and each.name == _name(field))
    return next(entries, None)


def _name(field: FieldDescriptorProto) -> str:
    return field.type_name.rpartition(".")[2]


if __name__ == "__main__":
    main()
