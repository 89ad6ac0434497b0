"""Times on the command line: UTC in and out."""

from datetime import UTC, datetime
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""Whatever the locale is."""


class Time(click.ParamType[Timestamp]):
    """A time as in ISO 8601: `2027-03-01`, `2027-03-01T09:30+01:00`. Without an offset it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        """The time as a message."""
        if isinstance(value, Timestamp):
            return value
        found = Timestamp()
        try:
            time = datetime.fromisoformat(str(value))
            found.FromDatetime(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time like 2027-03-01 or 2027-03-01T09:30:00Z", param, ctx)
        return found


def to_the_minute(time: Timestamp) -> str:
    """A time for people; empty for one that is not set."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M") if time.seconds or time.nanos else ""


def to_the_second(time: Timestamp) -> str:
    """A time for people; empty for one that is not set."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if time.seconds or time.nanos else ""


def day_in_words(time: Timestamp) -> str:
    """The UTC day of a time for a sentence: `3 March 2027`."""
    day = time.ToDatetime()
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
