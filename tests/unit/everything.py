"""A message with a field of every kind, built for the tests of the JSON codec."""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

PACKAGE = "leadscore.everything.v1"
Field = descriptor_pb2.FieldDescriptorProto
WHOLE = ("int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64")
SCALARS = (*WHOLE, "double", "float", "bool", "string", "bytes")
WELL_KNOWN = {
    "moment": "Timestamp",
    "length": "Duration",
    "mask": "FieldMask",
    "free": "Struct",
    "any_value": "Value",
    "some_values": "ListValue",
    "maybe_number": "Int64Value",
    "maybe_text": "StringValue",
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="leadscore/everything.proto", package=PACKAGE, syntax="proto3")
    for module in (timestamp_pb2, duration_pb2, field_mask_pb2, struct_pb2, wrappers_pb2):
        file.dependency.append(module.DESCRIPTOR.name)
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(("UNSPECIFIED", "RED", "DARK_BLUE")):
        colour.value.add(name=f"COLOUR_{name}", number=number)
    message = file.message_type.add(name="Everything")
    message.oneof_decl.add(name="choice")

    def add(name: str, kind: str, *, repeated: bool = False, oneof: bool = False) -> None:
        number = len(message.field) + 1
        label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
        field = message.field.add(name=name, number=number, label=label)
        if kind in SCALARS:
            field.type = Field.Type.Value(f"TYPE_{kind.upper()}")
        else:
            field.type = Field.TYPE_ENUM if kind == "Colour" else Field.TYPE_MESSAGE
            field.type_name = f".google.protobuf.{kind}" if kind in WELL_KNOWN.values() else f".{PACKAGE}.{kind}"
        if oneof:
            field.oneof_index = 0

    for kind in SCALARS:
        add(f"a_{kind}", kind)
        add(f"many_{kind}", kind, repeated=True)
    for name, kind in WELL_KNOWN.items():
        add(name, kind)
    add("many_moments", "Timestamp", repeated=True)
    add("colour", "Colour")
    add("many_colours", "Colour", repeated=True)
    add("inner", "Everything")
    add("many_inner", "Everything", repeated=True)
    add("one_text", "string", oneof=True)
    add("one_number", "int32", oneof=True)
    for name, key, value in (
        ("by_text", "string", "int64"),
        ("by_number", "int32", "Everything"),
        ("by_bool", "bool", "string"),
    ):
        camel = name.title().replace("_", "")
        entry = message.nested_type.add(name=f"{camel}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=Field.Type.Value(f"TYPE_{key.upper()}"))
        if value == "Everything":
            entry.field.add(
                name="value", number=2, label=1, type=Field.TYPE_MESSAGE, type_name=f".{PACKAGE}.Everything"
            )
        else:
            entry.field.add(name="value", number=2, label=1, type=Field.Type.Value(f"TYPE_{value.upper()}"))
        add(name, f"Everything.{camel}Entry", repeated=True)
    return file


POOL = descriptor_pool.Default()
POOL.AddSerializedFile(_file().SerializeToString())
Everything: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.Everything"))
