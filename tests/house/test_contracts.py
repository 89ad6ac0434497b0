"""What holds for all contracts beyond what their linter looks at."""

from collections.abc import Iterator
from pathlib import Path

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2
from leadscore.model.v1 import model_pb2
from leadscore.rule.v1 import rule_pb2

from services.shared.field_rules import violations_of

CONTRACT = Path(__file__).resolve().parents[2] / "gen" / "contract.binpb"


def options() -> Iterator[tuple[str, descriptor_pb2.FieldOptions]]:
    for file in descriptor_pb2.FileDescriptorSet.FromString(CONTRACT.read_bytes()).file:
        if file.package.startswith("leadscore."):
            for message in file.message_type:
                for field in message.field:
                    yield f"{file.package}.{message.name}.{field.name}", field.options


def patterns(found: descriptor_pb2.FieldOptions) -> list[str]:
    rules = found.Extensions[validate_pb2.field]
    strings = (rules.string, rules.repeated.items.string, rules.map.keys.string, rules.map.values.string)
    return [each.pattern for each in strings if each.pattern]


def test_every_pattern_says_in_words_what_a_value_must_be() -> None:
    said = {name: found.Extensions[rule_pb2.mismatch] for name, found in options() if patterns(found)}
    assert len(said) > 40
    assert [name for name, text in said.items() if not text.startswith("must ")] == []


def test_no_field_is_checked_by_an_expression_where_a_pattern_would_do() -> None:
    # An expression takes ten times as long as a pattern, and is evaluated for each event.
    assert [name for name, found in options() if found.Extensions[validate_pb2.field].cel] == []


def test_an_alias_that_is_no_event_type_is_called_so() -> None:
    (violation,) = violations_of(model_pb2.ModelDefinition(aliases={"Form Submit": "form_submission"}))
    assert violation.field == "aliases[Form Submit]"
    assert violation.description == "must be an event type in lower snake case, of 1 to 64 characters"
