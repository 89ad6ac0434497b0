"""Leads as rows, stored without a scorer: with ties in everything that they can be ordered by."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from services.scorer.rollups import names_of

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A lead as it is stored."""

    lead_id: str
    score: int = 0
    machine_score: int = 0
    engagement: int = 0
    fit: int = 0
    grade: str = "C3"
    version: int = 1
    event_count: int = 3
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    status: str = "new"
    owner: str = ""
    source: str = "shop"
    model_version: int = 1
    updated_at: datetime = NOON
    partition: int = 0
    tenant_id: str = "demo"
    state: bytes = b""


PROFILES: list[dict[str, Any]] = [
    {},
    {"name": "Ada Lovelace", "email": "ada@example.com", "company": "Example Ltd", "industry": "tech", "budget": 5000},
    {"name": "ADAM Ä", "company": "Ada & Söhne", "industry": "Tech", "budget": "5000", "vip": True},
    {"industry": "tech*", "budget": 0.1, "job title": "CEO", "vip": "true", "tags": ["tech"]},
    {"industry": None, "budget": -3, "name": 7, "company": ["x"], "vip": False, "a.b": 'quote " and \\'},
    {"industry": "", "budget": 1e300, "name": "Zoë  van  Äda", "company": "Example Ltd"},
]


def made_rows(count: int = 41, seed: int = 1) -> list[Row]:
    """Leads with ties in everything that they can be ordered by."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        at = chance.choice([None, *(NOON + timedelta(hours=hour) for hour in range(4))])
        rows.append(
            Row(
                lead_id=chance.choice(["Lead", "lead", "ada", "ö"]) + f"-{number}",
                score=chance.choice([0, 10, 10, 50, 200]),
                machine_score=chance.choice([0, 50]),
                fit=chance.randrange(30),
                grade=chance.choice(["A1", "B2", "C3"]),
                version=number,
                first_event_at=at,
                last_event_at=at,
                profile=chance.choice(PROFILES),
                status=chance.choice(["new", "won", "lost"]),
                owner=chance.choice(["", "bob", "Bob"]),
            )
        )
    return rows


def store(database_url: str, rows: Sequence[Row]) -> None:
    """Stores leads with their names and the counts of their scores."""
    columns = list(asdict(Row("x")))
    with psycopg.connect(database_url) as connection:
        with connection.cursor().copy(f"COPY leads ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([Jsonb(value) if isinstance(value, dict) else value for value in asdict(row).values()])
        with connection.cursor().copy("COPY lead_names FROM STDIN") as copy:
            for row in rows:
                for name in names_of(row.lead_id, row.profile):
                    copy.write_row((row.tenant_id, name, row.lead_id))
        connection.execute("INSERT INTO score_counts SELECT tenant_id, 0, score, count(*) FROM leads GROUP BY 1, 3")


def ordered(rows: Sequence[Row], order_by: str) -> list[str]:
    """The ids of leads in an order: equal ones by id, the other way round where the index is read backwards."""
    backwards = order_by in ("score", "lead_id desc", "last_event_at desc")
    found = sorted(rows, key=lambda row: row.lead_id.encode(), reverse=backwards)
    if order_by.startswith("score"):
        found.sort(key=lambda row: row.score if order_by == "score" else -row.score)
    if order_by.startswith("last_event_at"):
        found.sort(key=lambda row: row.last_event_at or NOON, reverse=backwards)
        found.sort(key=lambda row: row.last_event_at is None)
    return [row.lead_id for row in found]
