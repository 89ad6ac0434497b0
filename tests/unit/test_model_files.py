"""Model files: how they are read and written, the examples in `models/` and in the documentation, and the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import protovalidate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from leadscore.model.v1 import model_pb2

from cli.model.canonical import to_json, to_plain, to_yaml
from cli.model.definition import Reading
from cli.model.faults import Refused
from cli.model.files import read_file
from cli.model.tree import BYTES_MAX, Unreadable, read_json, read_yaml
from services.scorer.conditions.expression import compile_model, faults_of_conditions
from services.scorer.models import read_definition, write_definition
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.evaluation import evaluate
from services.scorer.scoring.lead import DAY_US, PROFILE, Fact
from services.scorer.scoring.replay import History, replay
from services.scorer.scoring.validation import faults_of
from services.shared.facts.identity import fold_type
from tools.write_model_schema import SCHEMA, schema_text

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "models").iterdir())
DOCUMENTED = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "models.md").read_text(encoding="utf-8"), re.M | re.S)
EPOCH = date(1970, 1, 1)
each_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: str(path.name))


def parsed(text: str) -> model_pb2.ModelDefinition:
    reading = Reading(read_yaml(text))
    assert reading.faults == []
    return reading.definition


def all_faults(definition: model_pb2.ModelDefinition) -> list[Any]:
    model = read_definition(definition)
    broken = protovalidate.collect_violations(definition)
    return [*broken, *faults_of(model), *faults_of_conditions(model)]


def examples(path: Path) -> Iterator[dict[str, Any]]:
    """The leads in the comments of a file, each with the score that it should have."""
    for block in path.read_text(encoding="utf-8").split("# Example:\n")[1:]:
        lines = (re.match(r"#   (.*)", line) for line in block.splitlines())
        yield yaml.safe_load("\n".join(line[1] for line in lines if line))


# The examples.


def test_there_are_examples_of_models() -> None:
    assert {path.name for path in MODELS} >= {"default.yaml", "hubspot_like.yaml", "pardot_like.yaml", "shop.yaml"}


@each_model
def test_an_example_can_be_published(path: Path) -> None:
    assert all_faults(read_file(path).definition) == []


@each_model
def test_an_example_keeps_to_the_schema(path: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert list(violations(schema, schema, json.loads(to_json(read_file(path).definition)))) == []
    assert list(violations(schema, schema, yaml.safe_load(path.read_text(encoding="utf-8")))) == []


@each_model
def test_a_lead_of_an_example_has_the_score_that_it_says(path: Path) -> None:
    model = compile_model(read_definition(read_file(path).definition, version=1))
    leads = list(examples(path))
    assert leads
    for lead in leads:
        facts = [Fact("profile", "lead", PROFILE, 0, lead["profile"])]
        for event in lead["events"]:
            for _ in range(event.get("times", 1)):
                kind, at_us = fold_type(event["type"]), (event["day"] - EPOCH).days * DAY_US
                fact = Fact(f"e{len(facts)}", "lead", kind, at_us, event.get("properties"), event.get("source", ""))
                facts.append(fact)
        folded = replay(model, "lead", History(facts=facts))
        found = evaluate(model, folded, (lead["as_of"] - EPOCH).days * DAY_US)
        expected = (lead["engagement"], lead["fit"], lead["score"], lead["grade"])
        assert (found.engagement, found.fit, found.score, found.grade) == expected, found.lines


def test_the_default_model_is_in_its_file() -> None:
    assert to_plain(read_file(ROOT / "models" / "default.yaml").definition) == to_plain(
        write_definition(default_model())
    )


@pytest.mark.parametrize("text", DOCUMENTED)
def test_what_the_documentation_shows_is_a_good_model(text: str) -> None:
    assert all_faults(parsed(text)) == []


# The schema.


def test_the_schema_is_that_of_the_contract() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run tools/write_model_schema.py"


@pytest.mark.parametrize(
    "text",
    [
        "rulez: []",
        "rules: [{name: a, event_type: b, pionts: 5}]",
        "rules: [{name: a}]",
        "rules: [{event_type: b}]",
        "rules: [{name: a, event_type: B}]",
        "rules: [{name: '', event_type: b}]",
        "rules: [{name: a, event_type: b, weight: {}}]",
        "rules: [{name: a, event_type: b, weight: {lifespan_days: 1, half_life_days: 1}}]",
        "rules: [{name: a, event_type: b, minimum: 1.5}]",
        "rules: [{name: a, event_type: b, frequency: {count_max: '1'}}]",
        "thresholds: [{name: a, at: 1, of: engagment}]",
        "aliases: {A: b}",
        "criteria: [{name: a, key: b, words: {c: many}}]",
        f"groups: {[{'name': f'g{number}'} for number in range(101)]}",
    ],
)
def test_the_schema_refuses_what_the_suite_refuses(text: str) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert list(violations(schema, schema, yaml.safe_load(text)))
    reading = Reading(read_yaml(text))
    assert reading.faults or protovalidate.collect_violations(reading.definition)


KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def violations(root: dict[str, Any], schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """What of a value breaks a schema, as far as the schema of models goes."""
    for keyword, rule in schema.items():
        match keyword:
            case "$ref":
                yield from violations(root, root["$defs"][rule.rpartition("/")[2]], value, path)
            case "type":
                is_one = isinstance(value, KINDS[rule]) and isinstance(value, bool) == (rule == "boolean")
                yield from [] if is_one else [f"{path}: is no {rule}"]
            case "properties":
                for name in rule.keys() & _names(value):
                    yield from violations(root, rule[name], value[name], f"{path}.{name}")
            case "additionalProperties":
                for name in _names(value) - schema.get("properties", {}).keys():
                    yield from violations(root, rule, value[name], f"{path}.{name}") if rule else [f"{path}: {name}"]
            case "propertyNames":
                for name in _names(value):
                    yield from violations(root, rule, name, f"{path}.{name}")
            case "items":
                for index, item in enumerate(value if isinstance(value, list) else []):
                    yield from violations(root, rule, item, f"{path}[{index}]")
            case "oneOf":
                fitting = [each for each in rule if not list(violations(root, each, value, path))]
                yield from [] if len(fitting) == 1 else [f"{path}: fits {len(fitting)} of several"]
            case _:
                yield from [] if _keeps(keyword, rule, value) else [f"{path}: breaks {keyword} {rule}"]


def _names(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def _keeps(keyword: str, rule: Any, value: Any) -> bool:
    match keyword:
        case "$schema" | "title" | "description" | "$defs":
            return True
        case "required":
            return set(rule) <= _names(value)
        case "enum":
            return bool(value in rule)
        case "pattern":
            return not isinstance(value, str) or re.search(rule, value) is not None
        case "minimum" | "maximum":
            is_number = isinstance(value, int | float)
            return not is_number or bool(value >= rule if keyword == "minimum" else value <= rule)
        case "minLength":
            return not isinstance(value, str) or len(value) >= int(rule)
        case "maxLength":
            return not isinstance(value, str) or len(value) <= int(rule)
        case "maxItems":
            return not isinstance(value, list) or len(value) <= int(rule)
        case "maxProperties":
            return len(_names(value)) <= int(rule)
    raise AssertionError(f"the schema has a keyword {keyword!r}, which this does not know")


# Reading.


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\n---\nb: 2\n", "line 2: there is a second document; a model is one"),
        ("rules:\n- name: a\n  name: b\n", "line 3: 'name' stands twice, first in line 2"),
        ("rules: &r []\ngroups: *r\n", "line 1: &r makes a value that others refer to; write them out"),
        ("rules: *r\n", "line 1: *r refers to another place; write the value out"),
        ("rules: !!python/object:os.system []\n", "is a type; a model needs none"),
        ("rules: " + "[" * 100_000, "line 1: this is nested too deeply"),
        ("aliases:\n  1: a\n", "line 2: 1 is the name of a field or a word; put it in quotes"),
        ("? [a]\n: b\n", "line 1: this is the name of a field or a word; put it in quotes"),
        ("rules: [\n", "this is no YAML"),
        ("rules:\n\t- name: a\n", "this is no YAML"),
        ("a: \x01\n", "this is no YAML"),
        ("5\n", "must be fields with values, not 5"),
        ("rules: 5\n", "rules (line 1): must be a list, not 5"),
        ("rules:\n  name: a\n", "rules (line 1): must be a list, not fields"),
        ("rules: [a]\n", "rules[0] (line 1): must be fields with values, not 'a'"),
        ("aliases: [a]\n", "aliases (line 1): must be names with values, not a list"),
        ("aliases:\n  a:\n    b: c\n", "aliases[a] (line 2): must be a text, not fields"),
        ("rules:\n", "rules (line 1): has no value; leave it out for the default"),
        ("fit_max: 1.5\n", "fit_max (line 1): must be a whole number of at most 2147483647, not 1.5"),
        ("fit_max: 9999999999\n", "fit_max (line 1): must be a whole number of at most 2147483647"),
        ("fit_max: true\n", "fit_max (line 1): must be a whole number of at most 2147483647, not true"),
        ("rules:\n- name: 5\n", "rules[0].name (line 2): must be a text, not 5 (a text stands in quotes)"),
        ("rules:\n- points: .inf\n", "rules[0].points (line 2): must be a number, not '.inf'"),
        ("rules:\n- points: 1e999\n", "rules[0].points (line 2): must be a number"),
        ("rules:\n- points: " + "9" * 500 + "\n", "rules[0].points (line 2): must be a number"),
        ("criteria:\n- bands:\n  - exclusive: yes\n", "criteria[0].bands[0].exclusive (line 3): must be true or false"),
        ("rulez: []\n", "rulez (line 1): there is no such field; is 'rules' meant?"),
        ("rules:\n- eventType: a\n", "rules[0].eventType (line 2): there is no such field; is 'event_type' meant?"),
        ("x: []\n", "x (line 1): there is no such field; there are rules, criteria, groups"),
        (
            "rules:\n- weight: {half_life_days: 1, lifespan_days: 2}\n",
            "rules[0].weight (line 2): half_life_days and lifespan_days exclude one another",
        ),
    ],
)
def test_a_file_that_is_no_model_is_refused_with_field_and_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(Refused) as refused:
        read_file(path)
    assert fault in refused.value.message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: this is no JSON: Expecting value"),
        ("{\n  a\n}", "line 2: this is no JSON"),
        ('{"rules": [], "rules": []}', "'rules' stands twice"),
        ('{"fit_max": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 20 + "]" * 20, "nested too deeply"),
        ('{"fit_max": ' + "9" * 5_000 + "}", "a number is too long"),
        ('{"fit_max": ' + "9" * 500 + "}", "fit_max: must be a whole number"),
        ('{"rules": [{"name": "\\ud800"}]}', "rules[0].name: must be a text"),
        ('{"rules": [{"pionts": 1}]}', "rules[0].pionts: there is no such field; is 'points' meant?"),
    ],
)
def test_json_is_read_as_strictly(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "model.JSON"
    path.write_text(text)
    with pytest.raises(Refused) as refused:
        read_file(path)
    assert fault in refused.value.message


def test_all_faults_are_said_at_once() -> None:
    reading = Reading(read_yaml("fit_max: x\nrules: [{a: 1}, {b: 2}]\n"))
    assert [fault.field for fault in reading.faults] == ["fit_max", "rules[0].a", "rules[1].b"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"#" * (BYTES_MAX + 1), "larger than 1024 KiB"), (b"rules: [{name: \xff}]", "not UTF-8")],
)
def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(Refused, match=fault):
        read_file(path)


def test_a_mark_of_byte_order_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(b'\xef\xbb\xbf{\n\t"fit_max": 50.0}')
    assert read_file(path).definition.fit_max == 50


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "1:30", "2027-03-01", "1_000", "0x1F", "0o17", "<<", "=", "NaN"]
)
def test_what_only_old_yaml_takes_for_something_else_is_a_word(word: str) -> None:
    definition = parsed(f"criteria: [{{name: {word}, key: k, words: {{{word}: 5}}}}]")
    assert definition.criteria[0].name == word
    assert dict(definition.criteria[0].words) == {word: 5}


def test_an_empty_group_of_fields_is_not_the_same_as_none() -> None:
    definition = parsed("rules: [{name: a, event_type: b, weight: {}, minimum: 0}]")
    assert definition.rules[0].HasField("weight")
    assert definition.rules[0].HasField("minimum")


# Writing.

texts = st.text(st.characters(codec="utf-8", exclude_characters="\ud800"), max_size=12) | st.sampled_from(
    [
        "1e3",
        "no",
        "~",
        "null",
        "5",
        "1.5",
        "true",
        "a: b",
        "- a",
        "# a",
        "a\nb",
        "a\n",
        " a",
        "'",
        '"',
        "",
        "é",
        "\u2028",
    ]
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000).map(float)
wholes = st.none() | st.integers(-(1 << 31), (1 << 31) - 1)
definitions = st.builds(
    model_pb2.ModelDefinition,
    rules=st.lists(
        st.builds(model_pb2.Rule, name=texts, condition=texts, points=numbers, minimum=wholes, group=texts), max_size=3
    ),
    criteria=st.lists(
        st.builds(model_pb2.Criterion, name=texts, words=st.dictionaries(texts, numbers, max_size=3)), max_size=2
    ),
    aliases=st.dictionaries(texts, texts, max_size=3),
    score_max=wholes,
    grades=st.none() | st.builds(model_pb2.Grades, last_letter=texts, hysteresis=st.integers(0, 5)),
)


@settings(deadline=None)
@given(definitions)
def test_what_was_written_is_read_as_the_same(definition: model_pb2.ModelDefinition) -> None:
    plain = to_plain(definition)
    for part in (read_yaml(to_yaml(definition, "of a test")), read_json(to_json(definition))):
        reading = Reading(part)
        assert reading.faults == []
        assert to_plain(reading.definition) == plain


@settings(deadline=None)
@given(definitions)
def test_what_was_written_is_the_same_to_other_readers_of_yaml(definition: model_pb2.ModelDefinition) -> None:
    assert yaml.safe_load(to_yaml(definition)) == to_plain(definition)


def test_the_text_is_the_same_however_the_file_was_written() -> None:
    terse = parsed("criteria: [{name: a, key: k, words: {c: 1, b: 2}, group: fit}]\nfit_max: 100\ngrades: {}")
    assert to_yaml(terse) == "criteria:\n  - name: a\n    key: k\n    words:\n      b: 2\n      c: 1\n"


def test_what_a_reader_misses_is_written_even_if_it_is_nothing() -> None:
    definition = parsed("rules: [{name: a, event_type: b}]\nthresholds: [{name: t}]")
    assert to_plain(definition) == {
        "rules": [{"name": "a", "event_type": "b", "points": 0}],
        "thresholds": [{"name": "t", "at": 0}],
    }


@pytest.mark.parametrize(
    "text", ["rules: [{name: a, event_type: b, points: 1}]", (ROOT / "models" / "shop.yaml").read_text()]
)
def test_a_model_that_went_through_the_suite_shows_no_difference(text: str) -> None:
    definition = parsed(text)
    assert to_yaml(write_definition(read_definition(definition))) == to_yaml(definition)


def test_unreadable_says_where() -> None:
    with pytest.raises(Unreadable) as error:
        read_yaml("a:\n  b: [1,\n  c: 2\n")
    assert error.value.line > 0
