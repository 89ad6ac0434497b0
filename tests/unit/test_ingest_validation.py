"""What a fact must be, and how a request says what is wrong with one."""

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from services.ingest.validation import EVENT_BYTES_MAX, event_violations, profile_violations
from services.shared.facts.properties import faults
from services.shared.field_rules import violations_of

NOW_US = 1_700_000_000_000_000


def event(**fields: Any) -> event_pb2.Event:
    return event_pb2.Event(**{"event_id": "e1", "lead_id": "ada", "type": "page_view", **fields})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("lead_id", "", "at least 1"),
        ("lead_id", "x" * 201, "at most 200"),
        ("lead_id", "a\0b", "control characters"),
        ("lead_id", "line\nbreak", "control characters"),
        ("event_id", "x" * 10_000, "at most 200"),
        ("event_id", "tab\t", "control characters"),
        ("type", "", "at least 1"),
        ("type", "x" * 65, "at most 64"),
        ("type", "9lives", "start with a letter"),
        ("type", "page/view", "start with a letter"),
        ("source", "\x7f", "control characters"),
        ("source", "\x9f", "control characters"),
        ("lead_id", "two\u2028lines", "control characters"),
        ("event_id", "two\u2029paragraphs", "control characters"),
        ("event_id", "ends\n", "control characters"),
    ],
)
def test_a_bad_field_is_named_with_what_is_wrong(field: str, value: str, said: str) -> None:
    request = contract.PublishEventRequest(event=event(**{field: value}))
    violations = violations_of(request)
    assert f"event.{field}" in [each.field for each in violations]
    assert any(said in each.description for each in violations), violations


@pytest.mark.parametrize(
    "lead_id",
    ["1mZz80IUovW2CofPjgSxdmLcO5i5/64ThtdQ06bl8Kc=", "a+b@example.org", "Jürgen Müller", "100%", "🦊", "..", "a:b"],
)
def test_lead_ids_may_hold_any_printable_character(lead_id: str) -> None:
    assert violations_of(contract.PublishEventRequest(event=event(lead_id=lead_id))) == []


def test_a_violation_in_a_batch_names_its_index() -> None:
    request = contract.PublishEventsRequest(events=[event(), event(lead_id=""), event()])
    assert [each.field for each in violations_of(request)] == ["events[1].lead_id"]


@pytest.mark.parametrize("seconds", [NOW_US // 1_000_000 + 301, 2_051_222_400, 253_402_300_799])
def test_an_event_from_the_future_is_refused(seconds: int) -> None:
    early = event()
    early.occurred_at.seconds = seconds
    assert [each.field for each in event_violations(early, NOW_US)] == ["occurred_at"]


def test_a_clock_that_is_five_minutes_ahead_is_accepted() -> None:
    early = event()
    early.occurred_at.seconds = NOW_US // 1_000_000 + 300
    assert event_violations(early, NOW_US) == []


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_nanoseconds_outside_a_second_are_refused(nanos: int) -> None:
    odd = event()
    odd.occurred_at.seconds, odd.occurred_at.nanos = 1_600_000_000, nanos
    fields = [each.field for each in event_violations(odd, NOW_US)]
    assert fields == ["occurred_at"] or violations_of(contract.PublishEventRequest(event=odd))


def test_an_event_larger_than_the_limit_is_refused_with_both_sizes() -> None:
    large = event()
    large.properties.update({"text": "x" * EVENT_BYTES_MAX})
    (violation,) = event_violations(large, NOW_US)
    assert str(EVENT_BYTES_MAX) in violation.description


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"a": {"b": math.nan}}, "properties.a.b"),
        ({"a": [0, math.inf]}, "properties.a[1]"),
        ({"a": "x\0y"}, "properties.a"),
        ({"a\0": 1}, "properties"),
        ({"a": [[[[[[[[1]]]]]]]]}, "properties.a[0][0][0][0][0][0][0]"),
    ],
)
def test_properties_that_cannot_be_kept_are_named(properties: dict[str, Any], field: str) -> None:
    odd = event()
    odd.properties.update(properties)
    assert [each.field for each in faults(odd.properties, "properties")] == [field]


def test_a_value_without_a_kind_is_refused() -> None:
    odd = event()
    odd.properties.fields["empty"].CopyFrom(Value())
    assert [each.field for each in faults(odd.properties, "properties")] == ["properties.empty"]


def test_properties_of_eight_levels_are_accepted() -> None:
    deep: Any = 1
    for _ in range(8):
        deep = {"a": deep}
    fine = event()
    fine.properties.update(deep)
    assert faults(fine.properties, "properties") == []


def test_a_profile_needs_a_key_of_a_bounded_length() -> None:
    empty, long = Struct(), Struct()
    long.update({"k" * 65: 1, "": 2})
    assert [each.field for each in profile_violations(empty)] == ["profile"]
    assert len(profile_violations(long)) == 2
