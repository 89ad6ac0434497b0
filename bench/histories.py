"""Leads of different kinds, and what happened to them: the facts that a database is filled with.

Every name that must be a lead's own carries TAG, so that a copy of the lead gets another by replacing it.
"""

import random
from collections.abc import Iterator

from services.scorer.scoring.lead import DAY_US, NOTE, PROFILE, STATUS, Fact
from services.scorer.wire import Incoming
from services.shared.facts.identity import partition_of

TENANT = "demo"
PARTITIONS = 16
TAG = "x0000"
DAYS = 90
"""Over so many days, the last one being today, facts are spread evenly."""
EVENTS_MEAN = 4
"""Events of a lead; with its profile, five changes of its score."""
EVENTS_MAX = 60
LEADS_OF_A_COMPANY = 100
TYPES = ["page_view"] * 8 + ["email_open"] * 5 + ["form_submission"] * 3 + ["demo_request", "purchase"]
SOURCES = ["web", "newsletter", "webinar", "fair", "partner"]
INDUSTRIES = ["tech", "finance", "healthcare", "food", "retail", "energy"]
FIRST_NAMES = ["ada", "alan", "anita", "barbara", "carol", "donald", "edsger", "frances", "grace", "hedy", "john"]
LAST_NAMES = ["allen", "bartik", "borg", "dijkstra", "hamilton", "hopper", "jones", "knuth", "liskov", "perlman"]
STAGES = ["contacted", "qualified", "won"]
STATUS_CHANCE, NOTE_CHANCE = 0.3, 0.1


def lead_id_of(number: int, copy: int = 0) -> str:
    """The id of a lead, all of the same length."""
    return f"lead-{number:06}{tag_of(copy)}@example.org"


def tag_of(copy: int) -> str:
    """What a copy has for TAG."""
    return f"x{copy:04}"


def facts_by_day(leads: int, today: int) -> list[list[Incoming]]:
    """The facts about so many leads, day by day in the order of their times. `today` counts days since 1970."""
    chance = random.Random(leads)
    days: list[list[Incoming]] = [[] for _ in range(DAYS)]
    for number in range(leads):
        for fact in _facts(number, leads, today, chance):
            partition = partition_of(TENANT, fact.lead_id, PARTITIONS)
            incoming = Incoming(fact, chance.randbytes(16), TENANT, partition, fact.occurred_us, "")
            days[fact.occurred_us // DAY_US - today + DAYS - 1].append(incoming)
    return [sorted(day, key=lambda each: each.fact.occurred_us) for day in days]


def _facts(number: int, leads: int, today: int, chance: random.Random) -> Iterator[Fact]:
    lead_id, start_us = lead_id_of(number), (today - DAYS + 1) * DAY_US
    events = min(EVENTS_MAX, int(chance.expovariate(1 / EVENTS_MEAN) + 0.5))
    # Nothing of the day under way may lie in the future.
    times = sorted(start_us + chance.randrange((DAYS - 1) * DAY_US) for _ in range(events + 1))

    def fact(kind: str, at_us: int, said: dict[str, object] | None = None) -> Fact:
        source = "" if kind.startswith("$") else chance.choice(SOURCES)
        return Fact(f"{chance.getrandbits(96):024x}{TAG}", lead_id, kind, at_us, said, source)

    yield fact(PROFILE, times[0], _profile(number, leads, chance))
    for at_us in times[1:]:
        yield fact(chance.choice(TYPES), at_us)
    if chance.random() < STATUS_CHANCE:
        for stage, at_us in zip(STAGES[: chance.randint(1, len(STAGES))], times, strict=False):
            yield fact(STATUS, at_us, {"status": stage})
    if chance.random() < NOTE_CHANCE:
        yield fact(NOTE, times[-1], {"text": "called, wants an offer", "author": "sales"})


def _profile(number: int, leads: int, chance: random.Random) -> dict[str, object]:
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    company = number % max(1, leads // LEADS_OF_A_COMPANY)
    return {
        "name": f"{first.title()} {last.title()}",
        "email": f"{first}.{last}.{number}{TAG}@example.org",
        "company": f"Company {company}{TAG} Ltd",
        "industry": chance.choice(INDUSTRIES),
        "company_size": chance.choice([5, 20, 80, 200, 900, 5_000]),
        "budget": chance.choice([0, 2_000, 20_000, 90_000]),
    }
