"""Times as files hold them, to the microsecond.

| in the file | meaning |
|---|---|
| `2022-12-13T01:32:00.956Z`, `2022-12-13 01:32+02:00`, `2022-12-13 01:32:00 UTC` | as it says |
| `2022-12-13 01:32:00.956000` | in the mapping's time zone |
| `2022-12-13` | midnight in the mapping's time zone |
| a number below 10^11, such as `1670895120.956` | seconds since 1970 (UTC) |
| a number below 10^14, below 10^17 | milliseconds, microseconds since 1970 (UTC) |

The bounds leave no doubt for any time from 2000 on: 10^11 seconds is the year 5138, and 10^11 milliseconds was 1973.
A local time that a change of clocks skips is read with the offset before the change; one that comes twice is the first.
"""

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal

US_PER_S = 1_000_000
NANOS_PER_US = 1_000
SECONDS_PER_DAY = 86_400
SECONDS_END = 10**11
MILLISECONDS_END = 10**14

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?)?)(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,17}(?:\.\d{1,12})?", re.ASCII)
_DAY_OF_1970 = date(1970, 1, 1).toordinal()


def parse_time(text: str, zone: tzinfo) -> tuple[int, int]:
    """A time as seconds and nanoseconds since 1970 (UTC). `zone` is for times without an offset. Raises ValueError for
    what is not a time.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return _since_1970(text)
    local, offset = written.groups()
    if offset is None:
        return _in_zone(datetime.fromisoformat(local), zone)
    if offset[0] not in "+-":
        return _in_zone(datetime.fromisoformat(local), UTC)
    moment = datetime.fromisoformat(local + offset)
    assert moment.tzinfo is not None, "it was written with an offset"
    return _in_zone(moment, moment.tzinfo)


def _in_zone(moment: datetime, zone: tzinfo) -> tuple[int, int]:
    days = moment.toordinal() - _DAY_OF_1970
    seconds = days * SECONDS_PER_DAY + moment.hour * 3_600 + moment.minute * 60 + moment.second
    offset = zone.utcoffset(moment)
    assert offset is not None, "the zones that we use have an offset at any time"
    return seconds - offset.days * SECONDS_PER_DAY - offset.seconds, moment.microsecond * NANOS_PER_US


def _since_1970(text: str) -> tuple[int, int]:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a time")
    number = Decimal(text)
    if number < SECONDS_END:
        total_us = int(number * US_PER_S)
    elif number < MILLISECONDS_END:
        total_us = int(number * 1_000)
    else:
        total_us = int(number)
    seconds, microseconds = divmod(total_us, US_PER_S)
    return seconds, microseconds * NANOS_PER_US
