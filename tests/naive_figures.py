"""The figures of analytics as anybody would work them out: from every lead, event and ledger row, one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg

STAGES = ("new", "contacted", "qualified", "won", "lost")
NAME_LENGTH_MAX = 200


@dataclass
class Photo:
    """How many leads had which score and grade at some time."""

    scores: Counter[int]
    grades: Counter[str]

    def steps(self, width: int) -> dict[int, int]:
        found: Counter[int] = Counter()
        for score, leads in self.scores.items():
            found[score // width * width] += leads
        return dict(found)


@dataclass
class Stage:
    """Leads with a status."""

    scores: list[int] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)


class Naive:
    """All that is stored, read at one time."""

    def __init__(self, database_url: str) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("SET timezone = 'UTC'")

            def rows(query: str) -> list[Any]:
                return connection.execute(query).fetchall()

            self.leads = dict(rows("SELECT lead_id, score FROM leads"))
            self.grades = dict(rows("SELECT lead_id, grade FROM leads"))
            self.profiles: dict[str, dict[str, Any]] = dict(rows("SELECT lead_id, profile FROM leads"))
            self.statuses = dict(rows("SELECT lead_id, status FROM leads"))
            order = "FROM events ORDER BY occurred_at, event_id"
            self.facts = rows(f"SELECT lead_id, type, occurred_at, source, properties {order}")
            self.ledger = rows("SELECT lead_id, recorded_at, score_after FROM ledger ORDER BY lead_id, sequence")

    @property
    def events(self) -> list[Any]:
        return [fact for fact in self.facts if not fact[1].startswith("$")]

    def photo(self) -> Photo:
        """The distributions now."""
        return Photo(Counter(self.leads.values()), Counter(self.grades.values()))

    def scores_of(self, day: date) -> Counter[int]:
        """The scores at the end of a day, of the leads that had one by then; by the ledger."""
        return scores_at_end(day, self.ledger)

    def activity(self, first: date, last: date, width: str, types: Iterable[str] = ()) -> Counter[tuple[datetime, str]]:
        found: Counter[tuple[datetime, str]] = Counter()
        for _, kind, at, _, _ in self.events:
            if first <= at.date() <= last and (not types or kind in types):
                step = at.replace(minute=0, second=0, microsecond=0)
                found[step.replace(hour=0) if width == "day" else step, kind] += 1
        return found

    def active(self, first: date, last: date) -> dict[datetime, int]:
        leads = defaultdict(set)
        for lead, _, at, _, _ in self.events:
            if first <= at.date() <= last:
                leads[datetime.combine(at.date(), time(), UTC)].add(lead)
        return {day: len(found) for day, found in leads.items()}

    def sources(self) -> dict[str, tuple[int, list[int]]]:
        """By source: its events, and the scores of the leads whose earliest event is from it."""
        events = Counter(source for _, _, _, source, _ in self.events)
        first: dict[str, str] = {}
        for lead, _, _, source, _ in self.events:
            first.setdefault(lead, source)
        scores = defaultdict(list)
        for lead, score in self.leads.items():
            scores[first.get(lead, "")].append(score)
        return {source: (events[source], scores[source]) for source in {*events, *scores}}

    def companies(self) -> dict[str, list[int]]:
        scores = defaultdict(list)
        for lead, profile in self.profiles.items():
            company = profile.get("company")
            if isinstance(company, str) and company:
                scores[company[:NAME_LENGTH_MAX]].append(self.leads[lead])
        return dict(scores)

    def stages(self) -> dict[str, Stage]:
        stages = {status: Stage() for status in STAGES}
        for lead, score in self.leads.items():
            stages[self.statuses[lead]].scores.append(score)
            stages["new"].reached.add(lead)
        for lead, kind, _, _, said in self.facts:
            if kind == "$status":
                stages[said["status"]].reached.add(lead)
        return stages

    def moves(self, first: date, last: date) -> dict[tuple[str, str], list[float]]:
        """By status before and after: how long each lead had the one before, in whole seconds."""
        standing: dict[str, tuple[str, datetime]] = {}
        found = defaultdict(list)
        for lead, kind, at, _, said in self.facts:
            before, since = standing.setdefault(lead, ("new", at))
            if kind == "$status" and said["status"] != before:
                if first <= at.date() <= last:
                    found[before, said["status"]].append((at - since) // timedelta(seconds=1))
                standing[lead] = said["status"], at
        return dict(found)


def scores_at_end(day: date, ledger: Iterable[Any]) -> Counter[int]:
    """The scores that leads have at the end of a day, by rows of their ledgers in order."""
    end = datetime.combine(day + timedelta(1), time(), UTC)
    return Counter({lead: score for lead, at, score in ledger if at < end}.values())


def mean(numbers: Sequence[float]) -> float:
    """0 of none."""
    return sum(numbers) / len(numbers) if numbers else 0.0
