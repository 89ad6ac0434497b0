"""When a call happened, by our clock: senders' clocks are wrong, and say by how much.

A sender says when something happened (`timestamp`) and when it sent the call (`sentAt`), both by its own clock; what
lies between them is right however wrong the clock is. So the time is `timestamp + (received - sentAt)`.
"""

from datetime import UTC

from intake.times import parse_time
from services.shared.clock import US_PER_S
from services.shared.errors import FieldViolation, InvalidRequest

STEP_S = 60
"""What a clock is wrong by is taken in whole steps. A call that is sent again has the same `timestamp`, but a `sentAt`
of its own, and takes another time on its way: corrected to the millisecond, it would be the same event with another
time, which is a conflict and no duplicate."""

Written = str | int | float | None


def correction_s(sent_at: Written, received_us: int) -> int:
    """What is to be added to the times of a sender. Raises InvalidRequest for what is not a time."""
    if sent_at is None or sent_at == "":
        return 0
    seconds, nanos = _parse("sentAt", sent_at)
    behind_s = received_us / US_PER_S - (seconds + nanos / 1e9)
    return round(behind_s / STEP_S) * STEP_S


def corrected(timestamp: Written, correction: int) -> tuple[int, int] | None:
    """A sender's time by our clock, as seconds and nanoseconds since 1970; None if it gave none. Raises InvalidRequest
    for what is not a time.
    """
    if timestamp is None or timestamp == "":
        return None
    seconds, nanos = _parse("timestamp", timestamp)
    return seconds + correction, nanos


def _parse(field: str, written: str | int | float) -> tuple[int, int]:
    try:
        return parse_time(str(written).strip(), UTC)
    except ValueError as error:
        raise InvalidRequest([FieldViolation(field, f"{str(written)[:64]!r} is not a time: {error}")]) from None
