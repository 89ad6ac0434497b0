"""What Segment's calls become: types, times, properties and profiles."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from gateway.segment.calls import BATCH_BYTES_MAX, BATCH_CALLS_MAX, CALL_BYTES_MAX, read_batch
from gateway.segment.facts import KINDS, CallReader, Facts
from gateway.segment.mapping import SegmentMapping, parse_segment_mapping
from gateway.segment.names import type_of
from gateway.segment.times import STEP_S, corrected, correction_s
from services.shared.errors import InvalidRequest, SettingError
from services.shared.field_rules import violations_of

NOW_S = 1_790_000_000
NOW_US = NOW_S * 1_000_000
CONTRACT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")


def facts_of(*calls: Any, mapping: SegmentMapping | None = None, **around: Any) -> Facts:
    """What a batch becomes."""
    batch, context = read_batch(json.dumps({"batch": calls, **around}).encode())
    return CallReader(mapping or SegmentMapping(), NOW_US).read_batch(batch.batch, batch.sent_at, context)


def event_of(call: dict[str, Any], mapping: SegmentMapping | None = None, **around: Any) -> dict[str, Any]:
    facts = facts_of({"userId": "ada", **call}, mapping=mapping, **around)
    assert not facts.refused, facts.refused
    (event,) = facts.events
    shown: dict[str, Any] = MessageToDict(event)
    return shown


def profile_of(call: dict[str, Any], mapping: SegmentMapping | None = None) -> dict[str, Any]:
    facts = facts_of({"userId": "ada", "type": "identify", **call}, mapping=mapping)
    assert not facts.refused, facts.refused
    (change,) = facts.changes
    shown: dict[str, Any] = MessageToDict(change.profile)
    return shown


def refusal_of(call: Any) -> tuple[str, str]:
    """The field and the description of what is wrong with a call."""
    (refused,) = facts_of(call).refused
    (violation,) = refused.violations
    return violation.field, violation.description


@given(st.text(max_size=100))
def test_every_name_becomes_a_type_of_the_contract_or_none(name: str) -> None:
    found = type_of(name)
    assert not found or CONTRACT_TYPE.fullmatch(found)
    assert type_of(found) == found
    if CONTRACT_TYPE.fullmatch(name):
        assert found == name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Order Completed", "Order Completed"),
        ("Order Completed!", "Order Completed"),
        ("checkout/step.2", "checkout_step_2"),
        ("Bestellung über 100 €", "Bestellung uber 100"),
        ("3D viewed", "event_3D viewed"),
        ("_private", "private"),
        ("x" * 70, "x" * 64),
        ("注文完了", ""),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_names_are_made_to_fit_in_the_way_that_the_documentation_says(name: str, found: str) -> None:
    assert type_of(name) == found


def test_a_name_that_was_changed_is_kept_as_a_property_and_one_that_is_mapped_is_not() -> None:
    mapping = SegmentMapping(types={"Order Completed": "purchase"})
    assert event_of({"type": "track", "event": "Order Completed"}, mapping)["type"] == "purchase"
    changed = event_of({"type": "track", "event": "a.b", "properties": {"revenue": 5}}, mapping)
    assert (changed["type"], changed["properties"]) == ("a_b", {"event": "a.b", "revenue": 5})
    assert event_of({"type": "track", "event": "a.b", "properties": {"event": 1}})["properties"] == {"event": 1}
    assert "properties" not in event_of({"type": "track", "event": "plain"})


def test_a_track_call_becomes_an_event() -> None:
    call = {
        "type": "track",
        "messageId": "m-1",
        "event": "demo_request",
        "timestamp": "2026-09-20T10:00:00.5Z",
        "properties": {"plan": "pro", "seats": 3, "tags": ["a", None, True]},
        "context": {
            "campaign": {"source": "newsletter", "name": "autumn", "odd": "x"},
            "page": {"path": "/pricing", "url": 5, "title": ""},
            "ip": "203.0.113.9",
            "userAgent": "Mozilla",
            "locale": "de-DE",
            "library": {"name": "analytics.js"},
        },
        "integrations": {"All": False},
    }
    assert event_of(call) == {
        "eventId": "m-1",
        "leadId": "ada",
        "type": "demo_request",
        "occurredAt": "2026-09-20T10:00:00.500Z",
        "source": "segment",
        "properties": {
            "plan": "pro",
            "seats": 3,
            "tags": ["a", None, True],
            "context": {
                "campaign": {"source": "newsletter", "name": "autumn"},
                "page": {"path": "/pricing", "url": 5},
                "locale": "de-DE",
            },
        },
    }


def test_pages_and_screens_are_views_with_their_names_as_properties() -> None:
    page = event_of({"type": "page", "name": "Pricing", "category": "Docs", "properties": {"url": "/p"}})
    assert (page["type"], page["properties"]) == ("page_view", {"name": "Pricing", "category": "Docs", "url": "/p"})
    screen = event_of({"type": "screen", "name": "Home", "properties": {"name": "own"}})
    assert (screen["type"], screen["properties"]) == ("screen_view", {"name": "own"})


def test_the_lead_is_the_user_and_failing_one_the_anonymous_visitor() -> None:
    both = {"type": "page", "anonymousId": "anon-1"}
    assert event_of(both)["leadId"] == "ada"
    assert event_of({**both, "userId": None})["leadId"] == "anon-1"
    assert event_of({**both, "userId": ""})["leadId"] == "anon-1"
    assert event_of({**both, "userId": 42, "messageId": 7})["leadId"] == "42"


def test_what_calls_of_a_batch_share_is_in_each_but_gives_way_to_their_own() -> None:
    shared = {"campaign": {"source": "mail"}, "locale": "en"}
    found = event_of({"type": "page", "context": {"locale": "de"}}, context=shared)
    assert found["properties"]["context"] == {"campaign": {"source": "mail"}, "locale": "de"}


def test_an_identify_call_becomes_keys_of_the_profile() -> None:
    traits = {
        "email": "ada@example.org",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "industry": "tech",
        "phone": None,
        "company": {"name": "Engines", "employee_count": 200, "industry": "finance", "plan": "pro", "id": "c-1"},
    }
    assert profile_of({"traits": traits, "anonymousId": "anon-1"}) == {
        "email": "ada@example.org",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "name": "Ada Lovelace",
        "industry": "tech",
        "phone": None,
        "company": "Engines",
        "company_size": 200,
        "company_plan": "pro",
        "company_id": "c-1",
        "anonymous_id": "anon-1",
    }
    assert profile_of({"traits": {"company": "Engines", "name": "A", "firstName": "B"}}) == {
        "company": "Engines",
        "name": "A",
        "firstName": "B",
    }


def test_traits_are_renamed_and_left_out_as_the_mapping_says() -> None:
    mapping = parse_segment_mapping('{"traits": {"companySize": "company_size", "phone": ""}}')
    assert profile_of({"traits": {"companySize": 9, "phone": "1", "a": 1}}, mapping) == {"company_size": 9, "a": 1}


def test_a_group_call_says_what_company_a_lead_belongs_to() -> None:
    call = {"type": "group", "groupId": "g-1", "traits": {"name": "Initech", "employees": 420, "plan": "pro"}}
    assert profile_of(call) == {
        "company": "Initech",
        "company_size": 420,
        "company_plan": "pro",
        "company_id": "g-1",
    }


def test_what_says_nothing_for_a_profile_is_kept_as_an_event() -> None:
    assert event_of({"type": "identify"})["type"] == "identify"
    assert event_of({"type": "group", "traits": {}})["type"] == "group"
    alias = event_of({"type": "alias", "previousId": "anon-1"})
    assert (alias["type"], alias["leadId"], alias["properties"]) == ("alias", "ada", {"previousId": "anon-1"})


@pytest.mark.parametrize(
    ("call", "field", "words"),
    [
        ({"userId": "a", "type": "track"}, "event", "is needed"),
        ({"userId": "a", "type": "track", "event": "注文"}, "event", "LEADSCORE_SEGMENT_MAPPING"),
        ({"userId": "a", "type": "buy"}, "type", "track, identify"),
        ({"userId": "a"}, "type", "must be one of"),
        ({"type": "page"}, "userId", "anonymousId is needed"),
        ({"type": "alias", "anonymousId": "x"}, "userId", "is needed"),
        ({"userId": 1.5, "type": "page"}, "userId", "expected"),
        ({"userId": "a", "type": "page", "properties": []}, "properties", "expected `object"),
        ({"userId": "a", "type": "page", "timestamp": "2015-2-02T00:30:08Z"}, "timestamp", "is not a time"),
        ({"userId": "a", "type": "page", "sentAt": "soon"}, "sentAt", "is not a time"),
        ({"userId": "a", "type": "page", "properties": {"a": "x" * CALL_BYTES_MAX}}, "", "at most 32768"),
        ("page", "", "expected `object`"),
        (None, "", "expected `object`"),
    ],
)
def test_what_is_wrong_with_a_call_is_named(call: Any, field: str, words: str) -> None:
    found, description = refusal_of(call)
    assert found == field
    assert words in description


def test_a_call_that_is_wrong_spoils_no_other() -> None:
    good = {"userId": "ada", "type": "page", "messageId": "m"}
    facts = facts_of(good, {"type": "page", "messageId": "bad"}, good, 7)
    assert [(each.index, each.message_id) for each in facts.refused] == [(1, "bad"), (3, "")]
    assert [each.index for each in facts.event_sources] == [0, 2]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"[]", "", "expected `object`"),
        (b"{}", "", "required field `batch`"),
        (b'{"batch": []}', "batch", "1 to 2500"),
        (b'{"batch": [' + b",".join([b"{}"] * (BATCH_CALLS_MAX + 1)) + b"]}", "batch", "2501"),
        (b'{"batch": [{}, {}, {}], "context": {"x": "' + b"a" * (BATCH_BYTES_MAX // 3) + b'"}}', "context", "once"),
        (b'{"batch": [{}', "", "is not JSON"),
        (b"\xff", "", "is not JSON"),
        (b'{"batch": [{}], "sentAt": "\xff"}', "", "is not UTF-8"),
        (b'{"batch": [{}], "sentAt": ' + b"9" * 5_000 + b"}", "sentAt", "out of range"),
        (b'{"x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "", "nested too deeply"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(body: bytes, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_batch(body)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert words in violation.description


@given(ahead_s=st.integers(-(10**8), 10**8), ago_s=st.integers(0, 10**7))
def test_a_sender_whose_clock_is_wrong_has_the_right_time_to_half_a_step(ahead_s: int, ago_s: int) -> None:
    sent_at = NOW_S + ahead_s
    found = corrected(sent_at - ago_s, correction_s(sent_at, NOW_US))
    assert found is not None
    assert abs(found[0] - (NOW_S - ago_s)) <= STEP_S / 2


@given(first_ms=st.integers(0, 29_000), second_ms=st.integers(0, 29_000), later_s=st.integers(0, 86_400))
def test_a_call_that_is_sent_again_is_the_same_however_long_its_way_was(
    first_ms: int, second_ms: int, later_s: int
) -> None:
    def received(way_ms: int, at_s: int) -> Facts:
        batch, _ = read_batch(json.dumps({"batch": [call], "sentAt": at_s}).encode())
        reader = CallReader(SegmentMapping(), at_s * 1_000_000 + way_ms * 1_000)
        return reader.read_batch(batch.batch, batch.sent_at, None)

    call = {"type": "page", "userId": "ada", "messageId": "m", "timestamp": NOW_S - 5}
    assert received(first_ms, NOW_S).events == received(second_ms, NOW_S + later_s).events


def test_times_without_a_sending_time_are_as_they_say_and_a_missing_one_is_left_to_ingest() -> None:
    assert event_of({"type": "page", "timestamp": 1_700_000_000_123})["occurredAt"] == "2023-11-14T22:13:20.123Z"
    assert event_of({"type": "page", "originalTimestamp": 1_700_000_000})["occurredAt"] == "2023-11-14T22:13:20Z"
    assert "occurredAt" not in event_of({"type": "page"}, sentAt=NOW_S + 3600)
    hour_ahead = {"type": "page", "timestamp": NOW_S + 3540, "sentAt": NOW_S + 3600}
    shifted = facts_of({"userId": "a", **hour_ahead}).events[0]
    assert shifted.occurred_at.seconds == NOW_S - 60
    assert facts_of({"userId": "a", **hour_ahead}, sentAt=NOW_S).events[0].occurred_at.seconds == NOW_S - 60


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.dictionaries(
    st.sampled_from(
        [
            "type",
            "messageId",
            "userId",
            "anonymousId",
            "previousId",
            "groupId",
            "event",
            "name",
            "category",
            "timestamp",
            "originalTimestamp",
            "sentAt",
            "properties",
            "traits",
            "context",
            "writeKey",
        ]
    ),
    VALUES | st.sampled_from([*KINDS, "ada", "2026-01-01T00:00:00Z"]),
)


@given(CALLS)
def test_every_call_is_taken_or_refused_and_what_is_taken_keeps_to_the_contract(call: dict[str, Any]) -> None:
    document = json.dumps(call).encode()
    try:
        batch, _ = read_batch(b'{"batch": [' + document + b"]}")
    except InvalidRequest:
        return  # NaN, which is not JSON.
    facts = CallReader(SegmentMapping(), NOW_US).read_batch(batch.batch, None, None)
    assert len(facts.events) + len(facts.changes) + len(facts.refused) == 1
    assert len(facts.events) == len(facts.event_sources)
    assert len(facts.changes) == len(facts.change_sources)
    wrong = {each.field.split(".")[0] for fact in (*facts.events, *facts.changes) for each in violations_of(fact)}
    assert wrong <= {"event_id", "lead_id", "occurred_at"}, "only texts and times that are for ingest to judge"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is not as it must be"),
        ("{", "is not as it must be"),
        ('{"columns": {}}', "columns"),
        ('{"types": {"a": "!"}}', "cannot be a type"),
        ('{"traits": {"a": "' + "x" * 65 + '"}}', "more than 64 characters"),
    ],
)
def test_a_mapping_that_is_wrong_is_a_setting_that_is_wrong(text: str, words: str) -> None:
    with pytest.raises(SettingError, match="LEADSCORE_SEGMENT_MAPPING") as caught:
        parse_segment_mapping(text)
    assert words in str(caught.value)
    assert parse_segment_mapping("") == SegmentMapping()
