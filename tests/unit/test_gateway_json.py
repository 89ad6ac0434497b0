"""JSON and messages of the contract say the same, and every fault is named with its path."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from gateway.json_faults import FAULTS_MAX
from gateway.json_reading import LEVELS_MAX, read_into
from gateway.json_text import parse_json
from gateway.json_writing import plain, to_json
from services.shared.errors import InvalidRequest
from tests.unit.everything import SCALARS, Everything

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
"""Without a negative zero: zero has no sign in answers."""
FREE: Any = st.recursive(
    st.none() | st.booleans() | FINITE | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
STRUCTS: Any = st.dictionaries(TEXTS, FREE, max_size=4)
I32, I64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
VALUES: dict[str, Any] = {
    "double": FINITE,
    # Up to what protobuf's own parser takes; it refuses the very largest float as it prints it.
    "float": st.floats(-(2.0**127), 2.0**127, width=32).map(lambda value: value + 0.0),
    "bool": st.booleans(),
    "string": TEXTS,
    "bytes": st.binary(max_size=9),
    **{kind: U64 if kind in ("uint64", "fixed64") else I64 for kind in SCALARS if kind.endswith("64")},
    **{kind: U32 if kind in ("uint32", "fixed32") else I32 for kind in SCALARS if kind.endswith("32")},
}
SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
NANOS = st.sampled_from([0, 1, 500_000_000, 123_000, 999_999_999])


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> Any:
    """Any message with every kind of field, some set and some not."""
    message = Everything()
    values: Any = st.lists(FREE, max_size=3)
    for kind in draw(st.sets(st.sampled_from(SCALARS))):
        setattr(message, f"a_{kind}", draw(VALUES[kind]))
        getattr(message, f"many_{kind}").extend(draw(st.lists(VALUES[kind], max_size=2)))
    if draw(st.booleans()):
        message.moment.seconds, message.moment.nanos = draw(SECONDS), draw(NANOS)
        message.many_moments.add(seconds=draw(SECONDS), nanos=draw(NANOS))
        message.length.FromTimedelta(timedelta(microseconds=draw(st.integers(-(10**15), 10**15))))
        message.mask.paths.extend(["lead_id", "profile.name"])
        message.free.update(draw(STRUCTS))
        json_format.ParseDict(draw(FREE), message.any_value)
        json_format.ParseDict(draw(values), message.some_values)
        message.maybe_number.value = draw(I64)
        message.maybe_text.value = draw(TEXTS)
    message.colour = draw(st.integers(0, 2))
    message.many_colours.extend(draw(st.lists(st.integers(0, 2), max_size=2)))
    if draw(st.booleans()):
        message.one_text = draw(TEXTS)
    for key, value in draw(st.dictionaries(TEXTS, I64, max_size=2)).items():
        message.by_text[key] = value
    for truth in draw(st.sets(st.booleans())):
        message.by_bool[truth] = draw(TEXTS)
    if depth < 1 and draw(st.booleans()):
        message.inner.CopyFrom(draw(messages(depth + 1)))
        message.many_inner.add().CopyFrom(draw(messages(depth + 1)))
        message.by_number[draw(I32)].CopyFrom(draw(messages(depth + 1)))
    return message


def read(document: Any, kind: Any = Everything) -> Any:
    message = kind()
    read_into(document if not isinstance(document, bytes) else parse_json(document), message)
    return message


def faults(document: bytes | str, kind: Any = ingest.PublishEventsRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        read(document.encode() if isinstance(document, str) else document, kind)
    return {each.field: each.description for each in refused.value.violations}


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(messages())
def test_what_is_written_is_read_back_the_same(message: Any) -> None:
    assert read(to_json(message)) == message


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(messages(), st.booleans())
def test_what_protobuf_writes_is_read_as_protobuf_reads_it(message: Any, original_names: bool) -> None:
    text = json_format.MessageToJson(message, preserving_proto_field_name=original_names)
    assert read(text.encode()) == message


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(messages())
def test_protobuf_reads_what_is_written(message: Any) -> None:
    def with_prefix(document: Any) -> Any:
        if isinstance(document, list):
            return [with_prefix(each) for each in document]
        if not isinstance(document, dict):
            return document
        return {
            key: f"COLOUR_{value}"
            if key == "colour"
            else [f"COLOUR_{each}" for each in value]
            if key == "manyColours"
            else value
            if key in ("free", "anyValue", "someValues", "byText", "byBool")
            else with_prefix(value)
            for key, value in document.items()
        }

    assert json_format.ParseDict(with_prefix(json.loads(to_json(message))), Everything()) == message


@given(STRUCTS)
def test_the_same_message_is_always_the_same_text(free: dict[str, Any]) -> None:
    one, other = Event(), Event()
    one.properties.update(free)
    other.properties.update(dict(reversed(free.items())))
    assert to_json(one) == to_json(other)


def test_answers_look_as_rest_users_expect_them() -> None:
    lead = query.Lead(lead_id="a", rank=3, version=2**53 - 1)
    lead.profile.update({"budget": 50_000, "share": 0.5})
    assert plain(lead) == {
        "leadId": "a",
        "score": 0,
        "engagement": 0,
        "fit": 0,
        "grade": "",
        "rank": 3,
        "version": 2**53 - 1,
        "profile": {"budget": 50_000, "share": 0.5},
        "status": "",
        "owner": "",
        "source": "",
        "machineScore": 0,
        "notes": [],
        "eventCount": 0,
        "modelVersion": 0,
    }
    answer = ingest.PublishEventsResponse(results=[ingest.EventResult(event_id="e", outcome=ingest.OUTCOME_DUPLICATE)])
    assert plain(answer)["results"] == [{"eventId": "e", "outcome": "DUPLICATE", "violations": []}]
    assert plain(Everything(by_text={"b": 2, "a": 9}))["byText"] == {"a": 9, "b": 2}
    assert plain(Everything(a_double=float("nan"), a_float=0.1))["aDouble"] == "NaN"
    assert plain(Everything(a_float=0.1))["aFloat"] == 0.1


@pytest.mark.parametrize(
    ("document", "field", "description"),
    [
        ("{", "", "not JSON"),
        ("{} x", "", "extra data at line 1, column 4"),
        ("", "", "empty"),
        (" \n ", "", "empty"),
        (b"\xff{}", "", "not UTF-8, from byte 0 on"),
        ("[]", "", "must be an object, not an array"),
        ("null", "", "must be an object, not null"),
        ('"x"', "", "must be an object, not a text"),
        ("NaN", "", "must be an object, not a number"),
        ("9" * 5000, "", "4300 digits"),
        ("[" * 100_000, "", "too deeply"),
        ('{"events": {}}', "events", "must be an array, not an object"),
        ('{"events": [null]}', "events[0]", "must be an object, not null"),
        ('{"evnets": []}', "evnets", "not a field"),
        ('{"a\\u0000b": 1}', "a\\x00b", "not a field"),
        ('{"\\ud800": 1}', "\\ud800", "not a field"),
        ('{"allOrNothing": "yes"}', "allOrNothing", "must be true or false, not a text"),
        ('{"allOrNothing": true, "all_or_nothing": true}', "allOrNothing", "both of its names"),
        ('{"events": [], "events": []}', "events", "stands twice"),
        ('{"events": [{"leadId": "a", "leadId": "b"}]}', "events[0].leadId", "stands twice"),
        ('{"events": [{}, {"leadId": 5}]}', "events[1].leadId", "must be a text, not a number"),
        ('{"events": [{"leadId": "\\ud800"}]}', "events[0].leadId", "surrogate"),
        ('{"events": [{"occurredAt": "yesterday"}]}', "events[0].occurredAt", "must be a time"),
        ('{"events": [{"occurredAt": "2026-01-01T00:00:00"}]}', "events[0].occurredAt", "with an offset"),
        ('{"events": [{"occurredAt": "2026-02-30T00:00:00Z"}]}', "events[0].occurredAt", "must be a time"),
        ('{"events": [{"occurredAt": "2026-01-01T23:59:60Z"}]}', "events[0].occurredAt", "must be a time"),
        ('{"events": [{"occurredAt": "0001-01-01T00:00:00+01:00"}]}', "events[0].occurredAt", "years 1 to 9999"),
        ('{"events": [{"occurredAt": 1700000000}]}', "events[0].occurredAt", "must be a time, not a number"),
        ('{"events": [{"properties": []}]}', "events[0].properties", "must be an object"),
        ('{"events": [{"properties": {"a": NaN}}]}', "events[0].properties.a", "finite"),
        ('{"events": [{"properties": {"a": [1, -Infinity]}}]}', "events[0].properties.a[1]", "finite"),
        ('{"events": [{"properties": {"a": 1e999}}]}', "events[0].properties.a", "finite"),
        ('{"events": [{"properties": {"a": ' + "9" * 400 + "}}]}", "events[0].properties.a", "finite"),
        ('{"events": [{"properties": {"a": {"b": 1, "b": 2}}}]}', "events[0].properties.a.b", "stands twice"),
        ('{"events": [{"properties": {"a": "\\udfff"}}]}', "events[0].properties.a", "surrogate"),
        ('{"events": [{"properties": {"\\udfff": 1}}]}', "events[0].properties.\\udfff", "surrogate"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_path(document: Any, field: str, description: str) -> None:
    found = faults(document)
    assert list(found) == [field]
    assert description in found[field]


@pytest.mark.parametrize(
    ("document", "field", "description"),
    [
        ('{"aInt32": 2147483648}', "aInt32", "from -2147483648 to 2147483647"),
        ('{"aUint64": -1}', "aUint64", "from 0 to 18446744073709551615"),
        ('{"aInt64": "9223372036854775808"}', "aInt64", "whole number from"),
        ('{"aInt32": 1.5}', "aInt32", "whole number, not 1.5"),
        ('{"aInt32": "1.0"}', "aInt32", "whole number, not '1.0'"),
        ('{"aInt32": true}', "aInt32", "not true or false"),
        ('{"aInt32": NaN}', "aInt32", "whole number, not nan"),
        ('{"aDouble": "NaN"}', "aDouble", "a number, not a text"),
        ('{"aFloat": 1e39}', "aFloat", "must be a number from"),
        ('{"aBytes": "?"}', "aBytes", "base64"),
        ('{"aBytes": "a"}', "aBytes", "base64"),
        ('{"manyInt32": [1, "x"]}', "manyInt32[1]", "whole number"),
        ('{"manyString": ["\\ud800"]}', "manyString[0]", "surrogate"),
        ('{"colour": "GREEN"}', "colour", "must be one of RED, DARK_BLUE"),
        ('{"colour": 7}', "colour", "must be one of"),
        ('{"oneText": "a", "oneNumber": 1}', "oneNumber", "only one of oneText, oneNumber"),
        ('{"byText": {"a": "x"}}', "byText.a", "whole number"),
        ('{"byNumber": {"01": {}}}', "byNumber.01", "not a key"),
        ('{"byNumber": {"1": {"inner": 5}}}', "byNumber.1.inner", "must be an object"),
        ('{"byBool": {"yes": ""}}', "byBool.yes", "not a key"),
        ('{"byBool": {"true": "\\ud800"}}', "byBool.true", "surrogate"),
        ('{"length": "soon"}', "length", "duration"),
        ('{"mask": "a b"}', "mask", "names of fields"),
        ('{"maybeNumber": "x"}', "maybeNumber", "whole number"),
        ('{"someValues": {}}', "someValues", "must be an array"),
    ],
)  # fmt: skip
def test_every_kind_of_field_names_what_it_takes(document: str, field: str, description: str) -> None:
    found = faults(document, Everything)
    assert list(found) == [field]
    assert description in found[field]


def test_all_faults_are_named_at_once_but_not_without_an_end() -> None:
    document = '{"events": [{"leadId": 1, "type": 2, "when": 3}]}'
    assert list(faults(document)) == ["events[0].leadId", "events[0].type", "events[0].when"]
    assert len(faults(json.dumps({"events": [{"leadId": 1}] * 1_000}))) == FAULTS_MAX
    assert len(faults(json.dumps({f"field{each}": 1 for each in range(1_000)}))) == FAULTS_MAX


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]], ids=["objects", "arrays"])
def test_what_is_accepted_can_be_parsed_at_the_other_end(wrap: Any) -> None:
    """Deep JSON is refused by us, with its path, before it would be refused by protobuf, without one."""
    inner: Any = 1
    accepted = 0
    for depth in range(LEVELS_MAX):
        document = {"events": [{"properties": {"deep": inner}}]}
        try:
            message = read(document, ingest.PublishEventsRequest)
        except InvalidRequest as refused:
            assert "nested too deeply" in refused.violations[0].description
        else:
            accepted = depth
            assert ingest.PublishEventsRequest.FromString(message.SerializeToString()) == message
        inner = wrap(inner)
    assert 20 < accepted < LEVELS_MAX - 1


def test_names_values_and_numbers_are_taken_in_all_their_spellings() -> None:
    for document in ('{"colour": "DARK_BLUE"}', '{"colour": "COLOUR_DARK_BLUE"}', '{"colour": 2}'):
        assert read(document.encode()).colour == 2
    for document in (
        '{"aInt64": 5}',
        '{"aInt64": "5"}',
        '{"a_int64": 5.0}',
        '{"a_int64": 0.5e1}',
        "\ufeff" + '{"aInt64": 5}',
    ):
        assert read(document.encode()).a_int64 == 5
    assert read(b'{"aString": null, "colour": null, "inner": null, "manyString": null}') == Everything()
    assert read(b'{"anyValue": null}').any_value.HasField("null_value")
    assert read({"aBytes": "-_8"}).a_bytes == read({"aBytes": "+/8="}).a_bytes == b"\xfb\xff"
    one, other = read({"moment": "2026-01-01T01:30:00+01:30"}), read({"moment": "2026-01-01T00:00:00.000Z"})
    assert one == other
