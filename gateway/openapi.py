"""The OpenAPI document, made from the contracts: their comments, field rules and REST paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from grpc import StatusCode
from leadscore.event.v1 import event_pb2

from gateway.json_reading import is_map
from gateway.json_scalars import enum_prefix
from gateway.parameters import parameters_of
from gateway.problems import STATUSES
from gateway.routes import Route
from gateway.stream_docs import over_websocket, stream_parameters, stream_response

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
BODY_ERRORS = ("408", "413", "415")
"""What a call with a body may answer."""
TOLD = (StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION, StatusCode.ABORTED)
"""What a call may answer if its comment says when: "NOT_FOUND if ..."."""

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
        about = self._comments.get(route.method.full_name, "")
        return {
            "operationId": route.method.name,
            "tags": [route.method.containing_service.name],
            "summary": about.partition(". ")[0].rstrip("."),
            "description": f"{about} {over_websocket(route, _shown(route).name)}" if route.is_stream else about,
            "parameters": self._parameters(route),
            **({"requestBody": self._body(route)} if route.body else {}),
            "responses": {"200": self._response(route), **dict.fromkeys(self._errors(route), PROBLEM)},
        }

    def _errors(self, route: Route) -> list[str]:
        comment = self._comments.get(route.method.full_name, "")
        said = {str(STATUSES[code].value) for code in TOLD if f"{code.name} if" in comment}
        return sorted({*ERRORS, *said, *(BODY_ERRORS if route.body else ())})

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
        if _makes_ids(route.method):
            parameters.append(_header("Idempotency-Key", "Makes the ids of what comes without one."))
        return [*parameters, *stream_parameters(route)]

    def _body(self, route: Route) -> dict[str, Any]:
        message: Descriptor = route.method.input_type
        if route.body != "*":
            message = _message_of(message.fields_by_name[route.body])
        without = route.template.variables
        needed = any(_is_required(field) for field in message.fields if field.name not in without)
        return {"required": needed, "content": {JSON: {"schema": self._reference(message, without)}}}

    def _response(self, route: Route) -> dict[str, Any]:
        reference = self._reference(_shown(route))
        if route.is_stream:
            return stream_response(route, _shown(route).name)
        return {"description": "OK", "content": {JSON: {"schema": reference}}}

    def _reference(self, message: Descriptor, without: Sequence[str] = ()) -> dict[str, Any]:
        if message.full_name in WELL_KNOWN:
            return WELL_KNOWN[message.full_name]
        # A message whose path says some of it may be a part of another message too, and whole there.
        partial = any(name in message.fields_by_name for name in without)
        name = f"{message.name.removesuffix('Request')}Body" if partial else message.name
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name] = self._schema(message, without)
        return {"$ref": f"#/components/schemas/{name}"}

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


def _shown(route: Route) -> Descriptor:
    """What is answered: the message of the RPC, or the one field of it that the contract names."""
    answer: Descriptor = route.method.output_type
    return _message_of(answer.fields_by_name[route.response_body]) if route.response_body else answer


def _makes_ids(method: MethodDescriptor) -> bool:
    """Whether a call publishes facts, whose ids may be left out."""
    request = method.input_type
    messages = (request, *(field.message_type for field in request.fields if field.message_type is not None))
    publishes = "consistency_token" in method.output_type.fields_by_name
    return publishes and any("event_id" in message.fields_by_name for message in messages)


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
