"""The days that a figure is about."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from services.shared.clock import Clock, SystemClock, to_datetime
from services.shared.errors import FieldViolation, InvalidRequest

DAYS_BEFORE = 30
"""Where a period begins that says only where it ends, or not even that."""
DAYS_BEFORE_MAX = 1_100
"""Three years, for a comparison with the years before."""

SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Period:
    """Whole days (UTC), the first and the last one included."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return start_of(self.first)

    @property
    def end(self) -> datetime:
        """Its last moment; not the one after it, which the last day of the calendar does not have."""
        return datetime.combine(self.last, time.max, UTC)

    def __len__(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    def __reversed__(self) -> Iterator[date]:
        """Its days, the last one first."""
        return map(date.fromordinal, range(self.last.toordinal(), self.first.toordinal() - 1, -1))


def period_of(request: Any, clock: Clock = SYSTEM_CLOCK) -> Period:
    """The period that a request asks for by `from` and `to`. Raises InvalidRequest with the field that is wrong."""
    last = _day(request, "to") or to_datetime(clock.now_us()).date()
    first = _day(request, "from") or date.fromordinal(max(date.min.toordinal(), last.toordinal() - DAYS_BEFORE))
    if first > last:
        raise InvalidRequest([FieldViolation("from", f"must not be after {_end_in_words(request, last)}")])
    if (last - first).days > DAYS_BEFORE_MAX:
        description = f"must be at most {DAYS_BEFORE_MAX} days before {_end_in_words(request, last)}"
        raise InvalidRequest([FieldViolation("from", description)])
    return Period(first, last)


def start_of(day: date) -> datetime:
    """The first moment of a day."""
    return datetime.combine(day, time.min, UTC)


def _day(request: Any, field: str) -> date | None:
    if not request.HasField(field):
        return None
    try:
        found: datetime = getattr(request, field).ToDatetime()
    except (ValueError, OverflowError):
        raise InvalidRequest([FieldViolation(field, "is no time of the years 1 to 9999")]) from None
    return found.date()


def _end_in_words(request: Any, last: date) -> str:
    return f"`to`, which is {last}" if request.HasField("to") else f"today, {last}"
