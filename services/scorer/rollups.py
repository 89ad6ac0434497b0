"""Sums over all leads and events, for analytics: pure, from what a batch changed to what is to be added.

Every sum is one over leads, of something that a lead alone decides, or one over events. A batch adds what its leads
give now and takes away what they gave before, so the sums are right whatever changed a lead: an event that came late, a
day that passed, another model, a score set by hand.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.scorer.scoring.evaluation import PARTS_OF_A_POINT, Lines
from services.scorer.scoring.lead import DAY_US, FIRST_STATUS, Fact, Lead, StatusChange
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
Groups = tuple[str | None, ...]
"""The groups that a lead is in, in the order of GROUPS."""

GROUPS = (Kind.GRADES, Kind.STATUSES, Kind.SOURCES, Kind.COMPANIES)
"""What leads are grouped by."""


@dataclass(slots=True, init=False)
class Standing:
    """What a lead gives to the sums."""

    score: int
    groups: Groups
    lines: Lines
    first_day: int
    days: int
    statuses: tuple[StatusChange, ...]
    first_us: int

    def __init__(
        self,
        score: int,
        groups: Groups,
        lines: Lines,
        first_day: int,
        days: int,
        statuses: tuple[StatusChange, ...],
        first_us: int,
    ) -> None:
        self.score = score
        self.groups = groups
        self.lines = lines
        self.first_day = first_day
        self.days = days
        self.statuses = statuses
        self.first_us = first_us

    @property
    def grade(self) -> str:
        """The grade."""
        return self.groups[0] or ""


def standing_of(lead: Lead) -> Standing:
    """What a lead gives to the sums now."""
    company = lead.profile.get("company")
    company = company[:NAME_LENGTH_MAX] if company and isinstance(company, str) else None
    return Standing(
        lead.score, (lead.grade, lead.status, lead.source, company), lead.lines, lead.first_day, lead.days,
        lead.statuses, lead.known_since_us,
    )  # fmt: skip


class Rollups:
    """What a batch adds to the sums."""

    def __init__(self, shard: int) -> None:
        """Adds to the rows of `shard`: no other scorer adds to them."""
        self._shard = shard
        self.counts: Counter[Key] = Counter()
        self.totals: Counter[Key] = Counter()
        # Most leads of a batch do one of a few things, so these are gathered by short keys first: events by type,
        # source and hour; leads that go from some groups to others, with their scores before and after; leads that go
        # from one step of scores to another; points that lines gain; days that become active; leads that are new.
        self._events: Counter[tuple[str, str, str, int]] = Counter()
        self._ways: dict[tuple[str, Groups | None, Groups, int], list[int]] = {}
        self._steps: Counter[tuple[str, int | None, int, int]] = Counter()
        self._line_gains: dict[tuple[str, str], float] = {}
        self._days: Counter[tuple[str, int]] = Counter()
        self._new: Counter[str] = Counter()

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
        for (tenant_id, was, now, today_us), sums in self._ways.items():
            for number, kind in enumerate(GROUPS):
                share = was[number] if was is not None else None, now[number]
                self._regroup(tenant_id, kind, share, sums, today_us)
        for (tenant_id, before, after, today_us), leads in self._steps.items():
            if before is not None:
                self.counts[tenant_id, Kind.SCORES_BY_DAY, today_us, str(before), self._shard] -= leads
            self.counts[tenant_id, Kind.SCORES_BY_DAY, today_us, str(after), self._shard] += leads
        for (tenant_id, line), points in self._line_gains.items():
            self.totals[tenant_id, Kind.RULES, ALWAYS_US, line, self._shard] += int(points * PARTS_OF_A_POINT)
        for (tenant_id, day), leads in self._days.items():
            self.counts[tenant_id, Kind.ACTIVE_LEADS, day * DAY_US, "", self._shard] += leads
        for tenant_id, leads in self._new.items():
            key = tenant_id, Kind.REACHED, ALWAYS_US, FIRST_STATUS, self._shard
            self.counts[key] += leads
            self.totals[key] += leads
        for gathered in (self._events, self._ways, self._steps, self._line_gains, self._days, self._new):
            gathered.clear()

    def move(self, tenant_id: str, before: Standing | None, after: Standing, at_us: int) -> None:
        """Takes away what a lead gave before, and adds what it gives now."""
        today_us = at_us - at_us % DAY_US
        if before is None:
            self._add(tenant_id, after, today_us)
            return
        if before.statuses != after.statuses or (after.statuses and before.first_us != after.first_us):
            self._add_statuses(tenant_id, before, -1)
            self._add_statuses(tenant_id, after, 1)
        was_step, step = before.score - before.score % SCORE_STEP, after.score - after.score % SCORE_STEP
        if was_step != step:
            self._steps[tenant_id, was_step, step, today_us] += 1
        self._go(tenant_id, before.groups, after.groups, today_us, before.score, after.score)
        if before.lines is not after.lines:
            self._move_lines(tenant_id, before.lines, after.lines)
        if before.days != after.days:
            known = before.days << (before.first_day - after.first_day) if before.days else 0
            self._add_days(tenant_id, after.first_day, after.days & ~known)

    def _add(self, tenant_id: str, standing: Standing, today_us: int) -> None:
        """Adds all that a new lead gives."""
        if standing.statuses:
            self._add_statuses(tenant_id, standing, 1)
        else:
            self._new[tenant_id] += 1
        self._steps[tenant_id, None, standing.score - standing.score % SCORE_STEP, today_us] += 1
        self._go(tenant_id, None, standing.groups, today_us, 0, standing.score)
        self._move_lines(tenant_id, {}, standing.lines)
        self._add_days(tenant_id, standing.first_day, standing.days)

    def _go(self, tenant_id: str, was: Groups | None, now: Groups, today_us: int, before: int, after: int) -> None:
        key = tenant_id, was, now, today_us
        if (sums := self._ways.get(key)) is None:
            sums = self._ways[key] = [0, 0, 0]
        sums[0] += 1
        sums[1] += before
        sums[2] += after

    def _add_days(self, tenant_id: str, first_day: int, days: int) -> None:
        """Counts days of events that a lead did not have before; it never loses one."""
        while days:
            last = days & -days
            self._days[tenant_id, first_day + last.bit_length() - 1] += 1
            days ^= last

    def _regroup(
        self, tenant_id: str, kind: Kind, share: tuple[str | None, str | None], sums: list[int], today_us: int
    ) -> None:
        """Leads leave a group with the scores that they had, and enter one with the scores that they have."""
        leads, before, after = sums
        was, now = share
        for name, number, score in ((was, -leads, -before), (now, leads, after)):
            if name is None:
                continue
            key = tenant_id, kind, ALWAYS_US, name, self._shard
            self.totals[key] += score
            if was != now:
                self.counts[key] += number
                if kind is Kind.GRADES:
                    self.counts[tenant_id, Kind.GRADES_BY_DAY, today_us, name, self._shard] += number

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
        reached = {FIRST_STATUS, *(change.status for change in standing.statuses)}
        for status in reached:
            key = tenant_id, Kind.REACHED, ALWAYS_US, status, self._shard
            self.counts[key] += sign
            self.totals[key] += sign * (STAGE_BEFORE.get(status, FIRST_STATUS) in reached)
        status, since_us = FIRST_STATUS, standing.first_us
        for change in standing.statuses:
            if change.status == status:
                continue
            day_us = change.occurred_us - change.occurred_us % DAY_US
            key = tenant_id, Kind.MOVES, day_us, f"{status}>{change.status}", self._shard
            self.counts[key] += sign
            self.totals[key] += sign * (max(0, change.occurred_us - since_us) // US_PER_S)
            status, since_us = change.status, change.occurred_us


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
