"""The field rules of the contracts: what they find wrong with a message, in words for its sender."""

from typing import Any

import protovalidate
from google.protobuf.message import Message
from leadscore.rule.v1 import rule_pb2

from services.shared.errors import FieldViolation, InvalidRequest


def violations_of(message: Message) -> list[FieldViolation]:
    """What the field rules of the contract find wrong with `message`, with paths such as `events[3].lead_id`."""
    return [
        FieldViolation(_path(violation.proto.field), _description(message.DESCRIPTOR, violation.proto))
        for violation in protovalidate.collect_violations(message)
    ]


def _description(descriptor: Any, violation: Any) -> str:
    """What is wrong; where a pattern is not matched, what the contract says that this means."""
    if violation.rule_id != "string.pattern":
        return str(violation.message)
    *way, last = (element.field_name for element in violation.field.elements)
    for name in way:
        descriptor = descriptor.fields_by_name[name].message_type
    return str(descriptor.fields_by_name[last].GetOptions().Extensions[rule_pb2.mismatch])


def check(message: Message) -> None:
    """Raises InvalidRequest if `message` breaks the field rules of its contract."""
    if violations := violations_of(message):
        raise InvalidRequest(violations)


def _path(field_path: Any) -> str:
    path = ""
    for element in field_path.elements if field_path is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return path
