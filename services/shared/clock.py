"""Time as a value that tests can move."""

import time
from datetime import UTC, datetime
from typing import Protocol

US_PER_S = 1_000_000


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
    seconds, microseconds = divmod(time_us, US_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970, exact."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * US_PER_S + since.microseconds
