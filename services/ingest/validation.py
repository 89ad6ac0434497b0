"""What a fact must be beyond the field rules of its contract."""

from google.protobuf.struct_pb2 import Struct
from leadscore.event.v1 import event_pb2

from services.shared.clock import US_PER_S
from services.shared.errors import FieldViolation

EVENT_BYTES_MAX = 32 * 1024
"""An event is a fact, not a document; a batch of them must fit a message of the stream."""
AHEAD_MAX_US = 5 * 60 * US_PER_S
"""Clocks of senders may be wrong by this much."""
NANOS_PER_S = 1_000_000_000
KEY_LENGTH_MAX = 64
"""Of a profile's key."""


def event_violations(event: event_pb2.Event, now_us: int) -> list[FieldViolation]:
    """What is wrong with an event that the field rules have passed, but for its properties."""
    violations = []
    if event.HasField("occurred_at"):
        violations += _time_violations(event, now_us)
    if (size := event.ByteSize()) > EVENT_BYTES_MAX:
        violations.append(FieldViolation("", f"the event has {size} bytes; at most {EVENT_BYTES_MAX} are taken"))
    return violations


def profile_violations(profile: Struct) -> list[FieldViolation]:
    """What is wrong with the keys of a profile."""
    if not profile.fields:
        return [FieldViolation("profile", "must name at least one key")]
    return [
        FieldViolation(f"profile.{key[:KEY_LENGTH_MAX]}", f"a key must have 1 to {KEY_LENGTH_MAX} characters")
        for key in profile.fields
        if not 1 <= len(key) <= KEY_LENGTH_MAX
    ]


def time_us(event: event_pb2.Event) -> int:
    """When an event happened, in microseconds since 1970."""
    occurred_at = event.occurred_at
    return int(occurred_at.seconds) * US_PER_S + occurred_at.nanos // 1_000


def _time_violations(event: event_pb2.Event, now_us: int) -> list[FieldViolation]:
    if not 0 <= event.occurred_at.nanos < NANOS_PER_S:
        return [FieldViolation("occurred_at", "nanos must be 0 to 999999999")]
    if time_us(event) > now_us + AHEAD_MAX_US:
        return [FieldViolation("occurred_at", "must be at most 5 minutes ahead of now")]
    return []
