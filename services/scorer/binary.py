"""Values in PostgreSQL's binary format, made in bulk.

The driver turns one value after the other into bytes, in Python where the value is a time, a document or an array. Here
times stay numbers and documents stay the bytes that they were encoded to; both are what goes over the wire in the end.
"""

from typing import Any

import msgspec

from services.shared.clock import US_PER_S

POSTGRES_EPOCH_US = 946_684_800 * US_PER_S
"""PostgreSQL counts microseconds from the year 2000."""
POSTGRES_FIRST_DAY = 10_957
"""The same day, in days since 1970."""
TIME_US_MAX = 253_402_300_800 * US_PER_S
"""The end of the year 9999, the last that a datetime can hold: later times could be written, and never read."""
TIME_US_MIN = -62_135_596_800 * US_PER_S
"""The beginning of the year 1."""

JSONB_VERSION = b"\x01"

ON_THE_WIRE = {"timestamptz": "int8", "date": "int4", "jsonb": "bytea"}
"""Types that look like another one on the wire, for values made by `moment`, `day` and `jsonb`."""


def moment(time_us: int) -> int:
    """A time in microseconds since 1970 as a timestamptz. Raises OverflowError beyond the years 1 to 9999."""
    if not TIME_US_MIN <= time_us < TIME_US_MAX:
        raise OverflowError(f"{time_us} us since 1970 is no time of the years 1 to 9999")
    return time_us - POSTGRES_EPOCH_US


def day(days: int) -> int:
    """A day in days since 1970 as a date."""
    return days - POSTGRES_FIRST_DAY


def jsonb(value: Any) -> bytes:
    """A value as a JSONB."""
    return JSONB_VERSION + msgspec.json.encode(value)
