"""Time as a value that tests can move."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

US_PER_S = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Microseconds since 1970 (UTC)."""


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000


def to_datetime(time_us: int) -> datetime:
    """A time in microseconds since 1970 as an aware datetime, exact to the microsecond."""
    return EPOCH + timedelta(microseconds=time_us)


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970, exact."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * US_PER_S + since.microseconds
