"""What is read from the stream, and what is known of it."""

from dataclasses import dataclass

EVENTS = "EVENTS"
SCORES = "SCORES"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message as it was read: its place, whose it is, and its payload. Announced score changes have partition -1."""

    sequence: int
    partition: int
    tenant_id: str
    payload: bytes
    published_us: int


@dataclass(frozen=True, slots=True)
class Published:
    """Where a message stands in the stream; `duplicate` if the stream had it already."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits behind a position of a partition."""

    last_sequence: int
    pending: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a stream keeps: the first sequence (one more than the last, if nothing), the last, and when the stream was
    made: one that was made anew counts from 1 again, so that its sequences mean other messages.
    """

    made_us: int
    first: int
    last: int
