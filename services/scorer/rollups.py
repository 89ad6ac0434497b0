"""Sums over all leads and events, for analytics: pure, from what a batch changed to what is to be added.

Every sum is one over leads, of something that a lead alone decides, or one over events. A batch adds what its leads
give now and takes away what they gave before, so the sums are right whatever changed a lead: an event that came late, a
day that passed, another model, a score set by hand.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from services.scorer.scoring.evaluation import PARTS_OF_A_POINT, Lines
from services.scorer.scoring.lead import DAY_US, Fact, Lead, StatusChange
from services.shared.clock import US_PER_S

HOUR_US = 3_600 * US_PER_S
SCORE_STEP = 10
"""How wide the steps are by which scores are counted over time."""
ALWAYS_US = 0
"""The time of what is not counted by time."""
NAME_LENGTH_MAX = 200
"""A longer company is counted by its beginning; a profile may hold a text of any length."""

STAGE_BEFORE = {"qualified": "contacted", "won": "qualified"}
"""A lead may skip stages, so how many went on from one to the next cannot be told from how many reached each. Before
the others there is "new", which every lead has been.
"""


class Kind(IntEnum):
    """What is counted. `count` is a number of leads or events; `total` what is said here, else 0."""

    EVENTS = 1
    """Events by hour (of `occurred_at`) and type."""
    ACTIVE_LEADS = 2
    """Leads by day on which they had an event; the name is empty."""
    GRADES = 3
    """Leads by grade; the sum of their scores."""
    GRADES_BY_DAY = 4
    """How the numbers of leads by grade changed on a day (of the scorer's clock)."""
    SCORES_BY_DAY = 5
    """How the numbers of leads by score (steps of SCORE_STEP, named by their lowest score) changed on a day."""
    SOURCES = 6
    """Leads by the source of their earliest event; the sum of their scores."""
    SOURCE_EVENTS = 7
    """Events by source."""
    COMPANIES = 8
    """Leads by the profile's company; the sum of their scores."""
    STATUSES = 9
    """Leads by status; the sum of their scores."""
    REACHED = 10
    """Leads by status that they have or have had; how many of them have had the stage before it, too."""
    MOVES = 11
    """Changes of status by day (of the change) and "from>to"; the sum of the seconds that the former status lasted."""
    RULES = 12
    """Leads by line of their scores; the sum of the lines' points, in parts of a point (1/1024)."""
    EVENTS_BY_DAY = 13
    """Events by day and type: a year of days is 24 times fewer rows than one of hours."""


Key = tuple[str, int, int, str, int]
"""Tenant, kind, time in microseconds, name, shard."""
Share = tuple[str | None, int]
"""The group that a lead is in, and the score that it brings."""


GROUPS = (Kind.GRADES, Kind.STATUSES, Kind.SOURCES, Kind.COMPANIES)
"""What leads are grouped by, in the order of the fields of Standing."""


class Standing(NamedTuple):
    """What a lead gives to the sums. The groups that it is in are the fields from the second on."""

    score: int
    grade: str | None
    status: str | None
    source: str | None
    company: str | None
    lines: Lines
    first_day: int
    days: int
    statuses: tuple[StatusChange, ...]
    first_us: int


def standing_of(lead: Lead) -> Standing:
    """What a lead gives to the sums now."""
    company = lead.profile.get("company")
    company = company[:NAME_LENGTH_MAX] if company and isinstance(company, str) else None
    return Standing(
        lead.score, lead.grade, lead.status, lead.source, company, lead.lines, lead.first_day, lead.days,
        tuple(lead.statuses), lead.known_since_us,
    )  # fmt: skip


class Rollups:
    """What a batch adds to the sums."""

    def __init__(self, shard: int) -> None:
        """Adds to the rows of `shard`: no other scorer adds to them."""
        self._shard = shard
        self.counts: Counter[Key] = Counter()
        self.totals: Counter[Key] = Counter()
        # What is by far the most frequent is gathered by short keys: events, and points gained by leads that stay in
        # their groups and keep their lines.
        self._events: Counter[tuple[str, str, str, int]] = Counter()
        self._gains: Counter[tuple[str, str | None, str | None, str | None, str | None]] = Counter()
        self._line_gains: dict[tuple[str, str], float] = {}

    def add_event(self, tenant_id: str, fact: Fact) -> None:
        """Counts an event."""
        self._events[tenant_id, fact.type, fact.source, fact.occurred_us // HOUR_US] += 1

    def take_events(self, tenant_id: str, event_type: str, source: str, hour: int, number: int) -> None:
        """Takes events of an hour away that were counted."""
        self._events[tenant_id, event_type, source, hour] -= number

    def take_away(self, tenant_id: str, standing: Standing, at_us: int) -> None:
        """Takes away all that a lead gave; days that are over stay as they were."""
        given = Rollups(self._shard)
        given.move(tenant_id, None, standing, at_us)
        for key, count, total in given.rows():
            self.counts[key] -= count
            self.totals[key] -= total

    def rows(self) -> Iterator[tuple[Key, int, int]]:
        """Each sum that changes, with what is added to its count and its total."""
        self._gather()
        for key in sorted({*self.counts, *self.totals}):
            if self.counts[key] or self.totals[key]:
                yield key, self.counts[key], self.totals[key]

    def _gather(self) -> None:
        for (tenant_id, event_type, source, hour), number in self._events.items():
            day_us = hour * HOUR_US // DAY_US * DAY_US
            self.counts[tenant_id, Kind.EVENTS, hour * HOUR_US, event_type, self._shard] += number
            self.counts[tenant_id, Kind.EVENTS_BY_DAY, day_us, event_type, self._shard] += number
            self.counts[tenant_id, Kind.SOURCE_EVENTS, ALWAYS_US, source, self._shard] += number
        for (tenant_id, *names), gain in self._gains.items():
            for kind, name in zip(GROUPS, names, strict=True):
                if name is not None:
                    self.totals[tenant_id, kind, ALWAYS_US, name, self._shard] += gain
        for (tenant_id, line), points in self._line_gains.items():
            self.totals[tenant_id, Kind.RULES, ALWAYS_US, line, self._shard] += int(points * PARTS_OF_A_POINT)
        for gathered in (self._events, self._gains, self._line_gains):
            gathered.clear()

    def move(self, tenant_id: str, before: Standing | None, after: Standing, at_us: int) -> None:
        """Takes away what a lead gave before, and adds what it gives now."""
        today_us = at_us - at_us % DAY_US
        if before is None:
            before = Standing(0, None, None, None, None, {}, after.first_day, 0, (), after.first_us)
            self._add_statuses(tenant_id, after, 1)
            self._move_step(tenant_id, None, _step(after.score), today_us)
        else:
            if before.statuses != after.statuses or before.first_us != after.first_us:
                self._add_statuses(tenant_id, before, -1)
                self._add_statuses(tenant_id, after, 1)
            if before.score // SCORE_STEP != after.score // SCORE_STEP:
                self._move_step(tenant_id, _step(before.score), _step(after.score), today_us)
        if before[1:5] == after[1:5]:
            self._gains[(tenant_id, *after[1:5])] += after.score - before.score
        else:
            for kind, was, name in zip(GROUPS, before[1:5], after[1:5], strict=True):
                self._regroup(tenant_id, kind, (was, before.score), (name, after.score), today_us)
        if before.lines is not after.lines:
            self._move_lines(tenant_id, before.lines, after.lines)
        if before.days != after.days:
            for day in _new_days(before, after):
                self.counts[tenant_id, Kind.ACTIVE_LEADS, day * DAY_US, "", self._shard] += 1

    def _move_step(self, tenant_id: str, was: str | None, step: str, today_us: int) -> None:
        if was is not None:
            self.counts[tenant_id, Kind.SCORES_BY_DAY, today_us, was, self._shard] -= 1
        self.counts[tenant_id, Kind.SCORES_BY_DAY, today_us, step, self._shard] += 1

    def _regroup(self, tenant_id: str, kind: Kind, was: Share, now: Share, today_us: int) -> None:
        """A lead leaves one group with the score that it had, and enters another with the score that it has."""
        for (name, score), sign in ((was, -1), (now, 1)):
            if name is None:
                continue
            key = tenant_id, kind, ALWAYS_US, name, self._shard
            self.counts[key] += sign
            self.totals[key] += sign * score
            if kind is Kind.GRADES and was[0] != now[0]:
                self.counts[tenant_id, Kind.GRADES_BY_DAY, today_us, name, self._shard] += sign

    def _move_lines(self, tenant_id: str, before: Lines, after: Lines) -> None:
        gains = self._line_gains
        for name, points in after.items():
            was = before.get(name)
            if was == points:
                continue
            gains[tenant_id, name] = gains.get((tenant_id, name), 0) + points - (was or 0)
            if was is None:
                self.counts[tenant_id, Kind.RULES, ALWAYS_US, name, self._shard] += 1
        for name, was in before.items():
            if name not in after:
                gains[tenant_id, name] = gains.get((tenant_id, name), 0) - was
                self.counts[tenant_id, Kind.RULES, ALWAYS_US, name, self._shard] -= 1

    def _add_statuses(self, tenant_id: str, standing: Standing, sign: int) -> None:
        reached = {"new", *(change.status for change in standing.statuses)}
        for status in reached:
            key = tenant_id, Kind.REACHED, ALWAYS_US, status, self._shard
            self.counts[key] += sign
            self.totals[key] += sign * (STAGE_BEFORE.get(status, "new") in reached)
        status, since_us = "new", standing.first_us
        for change in standing.statuses:
            if change.status == status:
                continue
            day_us = change.occurred_us - change.occurred_us % DAY_US
            key = tenant_id, Kind.MOVES, day_us, f"{status}>{change.status}", self._shard
            self.counts[key] += sign
            self.totals[key] += sign * (max(0, change.occurred_us - since_us) // US_PER_S)
            status, since_us = change.status, change.occurred_us


def _step(score: int) -> str:
    return str(score - score % SCORE_STEP)


def _new_days(before: Standing | None, after: Standing) -> Iterator[int]:
    """Days of events that a lead did not have before; it never loses one."""
    known = before.days << (before.first_day - after.first_day) if before and before.days else 0
    new, day = after.days & ~known, after.first_day
    while new:
        skipped = (new & -new).bit_length() - 1
        yield day + skipped
        new >>= skipped + 1
        day += skipped + 1


NAMES_MAX = 20
"""Of one lead: an id, a name, an e-mail, a company, and their words."""


def names_of(lead_id: str, profile: Mapping[str, Any]) -> frozenset[str]:
    """What a lead can be found by, in lower case: its id, and the name, e-mail and company of its profile, with the
    words of these.
    """
    found = [lead_id.lower()]
    for key in ("name", "email", "company"):
        value = profile.get(key)
        if isinstance(value, str) and value.strip():
            whole = " ".join(value.lower().split())[:NAME_LENGTH_MAX]
            found += [whole, *whole.split(" ")]
    return frozenset(found[:NAMES_MAX])
