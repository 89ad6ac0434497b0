"""What makes a fact recognisable."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leadscore.event.v1 import event_pb2

from services.shared.facts.identity import content_digest, fold_type, made_event_id, message_id, partition_of
from services.shared.facts.publishing import identify


@pytest.mark.parametrize(
    ("sent", "folded"),
    [
        ("page_view", "page_view"),
        ("PAGE_VIEW", "page_view"),
        ("Page View", "page_view"),
        ("Pop-up  Email - Viewed", "pop_up_email_viewed"),
        ("a__b", "a_b"),
    ],
)
def test_types_are_folded_to_lower_snake_case(sent: str, folded: str) -> None:
    assert fold_type(sent) == folded


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9 _-]{0,63}", fullmatch=True))
def test_a_folded_type_stays_as_it_is(sent: str) -> None:
    assert fold_type(fold_type(sent)) == fold_type(sent)


@pytest.mark.parametrize(
    ("tenant", "lead", "partition"), [("demo", "ada", 12), ("demo", "grace", 9), ("other", "ada", 11)]
)
def test_the_partition_of_a_lead_never_changes(tenant: str, lead: str, partition: int) -> None:
    assert partition_of(tenant, lead, 16) == partition


def test_the_content_is_what_was_sent_before_anything_is_filled_in() -> None:
    first = event_pb2.Event(event_id="e1", lead_id="ada", type="Page View")
    second = event_pb2.Event(event_id="e1", lead_id="ada", type="page_view")
    early, late = identify(0, first, 1_000_000, None), identify(0, second, 9_000_000, None)
    assert early.digest == late.digest
    assert early.event.occurred_at != late.event.occurred_at


def test_properties_in_any_order_are_the_same_content() -> None:
    one, two = event_pb2.Event(event_id="e1"), event_pb2.Event(event_id="e1")
    one.properties.update({"a": 1, "b": {"c": [1, "x", None]}})
    two.properties.update({"b": {"c": [1, "x", None]}, "a": 1})
    assert content_digest(one) == content_digest(two)
    two.properties.update({"a": 2})
    assert content_digest(one) != content_digest(two)


def test_an_idempotency_key_makes_the_same_ids_again_and_none_makes_new_ones() -> None:
    assert made_event_id("key", 0, 1_000) == made_event_id("key", 0, 9_000)
    assert made_event_id("key", 0, 1_000) != made_event_id("key", 1, 1_000)
    assert len({made_event_id(None, 0, 1_000) for _ in range(1_000)}) == 1_000


@given(st.integers(min_value=0, max_value=2**57), st.integers(min_value=1_000, max_value=2**50))
def test_new_ids_are_in_the_order_in_which_they_were_made(now_us: int, later_us: int) -> None:
    early, late = made_event_id(None, 0, now_us), made_event_id(None, 0, now_us + later_us)
    assert early < late
    found = uuid.UUID(early)
    assert (found.version, found.variant, found.int >> 80) == (7, uuid.RFC_4122, now_us // 1_000)


def test_message_ids_carry_the_tenant_the_ids_and_the_contents() -> None:
    ids = {
        message_id("demo", ["e1", "e2"], b"x" * 32),
        message_id("other", ["e1", "e2"], b"x" * 32),
        message_id("demo", ["e1"], b"x" * 32),
        message_id("demo", ["e1", "e2"], b"y" * 32),
    }
    assert len(ids) == 4
