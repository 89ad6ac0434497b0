"""The OpenAPI document, made from the contracts: their comments, field rules and REST paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from leadscore.event.v1 import event_pb2

from gateway.json_reading import is_map
from gateway.json_scalars import enum_prefix
from gateway.parameters import parameters_of
from gateway.routes import Route

CONTRACT = Path(event_pb2.__file__).parents[3] / "contract.binpb"
"""The contracts with their comments, generated beside the stubs."""
JSON = "application/json"
ABOUT = (
    "Lead scores that can be trusted. Field names are lowerCamelCase (snake_case is taken too); whole numbers of 64 "
    "bits are JSON numbers, and all below 2^53 (texts are taken too); values of enums come without their prefix (and "
    "are taken with it); times are RFC 3339. Unknown fields and parameters are refused. In a path, an id is one "
    "percent-encoded segment; in a query a plus is a space. Errors are RFC 9457 problems with a stable `reason`."
)
PROBLEM = {"$ref": "#/components/responses/Problem"}
ERRORS = ("400", "401", "403", "429", "503", "504")
"""What any call may answer."""

NUMBERS: dict[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.TYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}
WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
}


def openapi_document(routes: Sequence[Route], uploads: dict[str, Any]) -> dict[str, Any]:
    """The document for the routes of the contracts and, beside them, the paths of `uploads`."""
    writer = _Writer(read_comments())
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.template.text, {})[route.verb.lower()] = writer.operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "leadscore", "version": "1", "description": ABOUT},
        "security": [{"key": []}, {}],
        "paths": {**paths, **uploads},
        "components": {
            "schemas": {**writer.schemas, "Problem": _problem_schema()},
            "responses": {
                "Problem": {
                    "description": "The request failed; the document says why.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "writeKey": {"type": "http", "scheme": "basic", "description": "The key as user name, no password."},
            },
        },
    }


def read_comments() -> dict[str, str]:
    """The comments of the contracts by full name."""
    comments: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(CONTRACT.read_bytes()).file:
        if not file.package.startswith("leadscore."):
            continue
        for location in file.source_code_info.location:
            if location.leading_comments and (name := _name_at(file, list(location.path))):
                comments[f"{file.package}.{name}"] = " ".join(location.leading_comments.split())
    return comments


def _name_at(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """The name of what stands at a path of a file's descriptor; empty for what has none."""
    at: Any = file
    names = []
    for number, index in zip(path[::2], path[1::2], strict=False):
        field = at.DESCRIPTOR.fields_by_number[number].name
        items = getattr(at, field)
        if field not in ("message_type", "enum_type", "service", "method", "field", "value", "nested_type"):
            return ""
        at = items[index]
        names.append(at.name)
    return ".".join(names)


class _Writer:
    """Writes operations, and the schemas that they need on the way."""

    def __init__(self, comments: dict[str, str]) -> None:
        self._comments = comments
        self.schemas: dict[str, Any] = {}

    def operation(self, route: Route) -> dict[str, Any]:
        description = self._comments.get(route.method.full_name, "")
        return {
            "operationId": route.method.name,
            "tags": [route.method.containing_service.name],
            "summary": description.partition(". ")[0].rstrip("."),
            "description": description,
            "parameters": self._parameters(route),
            **({"requestBody": self._body(route)} if route.body else {}),
            "responses": {"200": self._response(route), **dict.fromkeys(self._errors(route), PROBLEM)},
        }

    def _errors(self, route: Route) -> list[str]:
        found = list(ERRORS)
        if "NOT_FOUND" in self._comments.get(route.method.full_name, ""):
            found.append("404")
        if route.body:
            found += ["413", "415"]
        if any(code in self._comments.get(route.method.full_name, "") for code in ("FAILED_PRECONDITION", "ABORTED")):
            found.append("409")
        return sorted(found)

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        parameters = []
        for name, parameter in parameters_of(route.method.input_type).items():
            field = parameter.field
            in_path = name in route.template.variables
            if not in_path and route.body in ("*", parameter.path[0]):
                continue
            parameters.append(
                {
                    "name": name if in_path else parameter.name,
                    "in": "path" if in_path else "query",
                    "required": in_path,
                    "description": self._comments.get(field.full_name, ""),
                    "schema": self._field(field),
                }
            )
        if route.body:
            parameters.append(_header("Idempotency-Key", "Makes the ids of events that come without one."))
        if route.is_resumable:
            parameters.append(_header("Last-Event-ID", "The `id:` of the last event seen: go on behind it."))
        return parameters

    def _body(self, route: Route) -> dict[str, Any]:
        message: Descriptor = route.method.input_type
        if route.body != "*":
            message = _message_of(message.fields_by_name[route.body])
        without = route.template.variables
        return {"required": True, "content": {JSON: {"schema": self._reference(message, without)}}}

    def _response(self, route: Route) -> dict[str, Any]:
        if not route.is_stream:
            answer: Descriptor = route.method.output_type
            if route.response_body:
                answer = _message_of(answer.fields_by_name[route.response_body])
            return {"description": "OK", "content": {JSON: {"schema": self._reference(answer)}}}
        update = route.method.output_type
        if route.response_body:
            update = _message_of(update.fields_by_name[route.response_body])
        shown = f"`data:` is the JSON of [{update.name}](#/components/schemas/{update.name})"
        description = f"Server-sent events: {shown}."
        if route.is_resumable:
            description = f"Server-sent events: `id:` is a resume token, {shown}; comments are heartbeats."
        self._reference(update)
        return {"description": description, "content": {"text/event-stream": {"schema": {"type": "string"}}}}

    def _reference(self, message: Descriptor, without: Sequence[str] = ()) -> dict[str, Any]:
        if message.full_name in WELL_KNOWN:
            return WELL_KNOWN[message.full_name]
        if message.name not in self.schemas:
            self.schemas[message.name] = {}
            self.schemas[message.name] = self._schema(message, without)
        return {"$ref": f"#/components/schemas/{message.name}"}

    def _schema(self, message: Descriptor, without: Sequence[str]) -> dict[str, Any]:
        fields = [field for field in message.fields if field.name not in without]
        required = [field.json_name for field in fields if _is_required(field)]
        return {
            "type": "object",
            "description": self._comments.get(message.full_name, ""),
            "properties": {field.json_name: self._described(field) for field in fields},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _described(self, field: FieldDescriptor) -> dict[str, Any]:
        return {**self._field(field), "description": self._comments.get(field.full_name, "")}

    def _field(self, field: FieldDescriptor) -> dict[str, Any]:
        if is_map(field):
            value = self._item(_message_of(field).fields_by_name["value"])
            return {"type": "object", "additionalProperties": value}
        if not field.is_repeated:
            return {**self._item(field), **_rules(field)}
        return {"type": "array", "items": self._item(field), **_rules(field)}

    def _item(self, field: FieldDescriptor) -> dict[str, Any]:
        if field.message_type is not None:
            return self._reference(field.message_type)
        return _enum(field.enum_type) if field.enum_type is not None else NUMBERS[field.type]


def _message_of(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None, f"{field.full_name} is no message"
    return field.message_type


def _enum(enum: EnumDescriptor) -> dict[str, Any]:
    prefix = enum_prefix(enum)
    return {"type": "string", "enum": [value.name.removeprefix(prefix) for value in enum.values]}


def _is_required(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    at_least_one = rules.string.min_len > 0 or rules.repeated.min_items > 0
    return bool(rules.required or at_least_one)


def _rules(field: FieldDescriptor) -> dict[str, Any]:
    """The field rules that JSON Schema knows too."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    names = {
        "string": {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"},
        "repeated": {"min_items": "minItems", "max_items": "maxItems"},
        "int32": {"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum"},
        "int64": {"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum"},
    }
    kind = rules.WhichOneof("type")
    if kind not in names:
        return {}
    of_kind = getattr(rules, kind)
    return {shown: getattr(of_kind, name) for name, shown in names[kind].items() if of_kind.HasField(name)}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    violation = {"type": "object", "properties": {"field": text, "description": text}}
    return {
        "type": "object",
        "description": "RFC 9457, with the stable `reason` and the fields that are wrong.",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "reason": text,
            "violations": {"type": "array", "items": violation},
        },
        "required": ["type", "title", "status", "detail", "reason"],
    }
