"""A definition as text: always the same for the same rules, so that files can be compared and kept in git.

Fields stand in the order of the contract, words and aliases in the order of the alphabet, and what the suite takes for
granted is left out.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from leadscore.model.v1 import model_pb2

WIDTH = 1 << 20
"""Lines are not folded: a condition that grew by a word would differ in all its lines."""
EXACT_MAX = 2.0**53
"""Up to here a double is as exact as a whole number, and is written as one."""
BREAKS = re.compile("[\r\x85\u2028\u2029]")
"""What some readers take for the end of a line: it is written by its number."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "ModelDefinition": {"engagement_max": 1000, "fit_max": 100, "score_max": 1000, "grades": {}},
    "Rule": {"group": "engagement"},
    "Criterion": {"group": "fit"},
    "Grades": {
        "letters": [{"name": "A", "at_least": 75}, {"name": "B", "at_least": 50}, {"name": "C", "at_least": 25}],
        "last_letter": "D",
        "digits": [{"name": "1", "at_least": 200}, {"name": "2", "at_least": 50}],
        "last_digit": "3",
    },
    "Threshold": {"of": "score"},
}
"""What the contract takes for granted, beside nothing."""
ALWAYS: Mapping[str, frozenset[str]] = {
    "Rule": frozenset({"points"}),
    "Band": frozenset({"at_least", "points"}),
    "Level": frozenset({"at_least"}),
    "Threshold": frozenset({"at"}),
}
"""What a reader misses even if it is 0."""


def to_yaml(definition: model_pb2.ModelDefinition, comment: str = "") -> str:
    """The definition as YAML, with a comment in the first line if there is one."""
    text = yaml.dump(
        to_plain(definition), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=False
    )
    return f"# {comment}\n{text}" if comment else str(text)


def to_json(definition: model_pb2.ModelDefinition) -> str:
    """The definition as JSON."""
    return json.dumps(to_plain(definition), indent=2, ensure_ascii=False) + "\n"


def to_plain(message: Any) -> dict[str, Any]:
    """A definition, or a part of one, as plain values."""
    kind = message.DESCRIPTOR.name
    defaults, always = DEFAULTS.get(kind, {}), ALWAYS.get(kind, frozenset())
    plain = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_given = message.HasField(field.name) if field.has_presence else bool(value)
        if is_given or field.name in always:
            plain[field.name] = _value(field, value)
    return {name: value for name, value in plain.items() if name not in defaults or value != defaults[name]}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return _scalar(value)
    if field.message_type.GetOptions().map_entry:
        return {name: _scalar(value[name]) for name in sorted(value)}
    return [to_plain(each) for each in value] if field.is_repeated else to_plain(value)


def _scalar(value: Any) -> Any:
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < EXACT_MAX
    return int(value) if is_whole else value


class _Dumper(yaml.SafeDumper):
    """Writes as people do: items stand further in than the name of their list, and texts of several lines as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
# A number by YAML 1.2 that is a text by YAML 1.1, such as 1e3: as a text it stands in quotes.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
