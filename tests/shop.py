"""A shop's events with the dirt of real ones: exact repeats, ids with two contents, late rows, a lead with half of all.

And what must come out of them, computed from the rows alone, by nothing that the suite uses.
"""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

TYPES = {
    "Page": "page_view",
    "Product Viewed": "page_view",
    "Pop-up Email Viewed": "email_open",
    "Pop-up Email Accepted": "form_submission",
    "Product Added": "form_submission",
    "Checkout Started": "demo_request",
    "Order Completed": "purchase",
}
POINTS = {"page_view": 5, "email_open": 10, "form_submission": 20, "demo_request": 50, "purchase": 100}
SCORE_MAX = 1000
FILE_SETTING = "LEADSCORE_TEST_SHOP_EVENTS"
"""Names a file of real shop events to use in place of generated ones."""
BATCH_EVENTS = 500


@dataclass(frozen=True)
class Row:
    """A row of the shop's file."""

    user_id: str
    event_type: str
    event_id: str
    ts: str


@dataclass(frozen=True)
class Expected:
    """What must come out of some rows."""

    scores: dict[str, int]
    accepted: int
    duplicates: int
    conflicts: set[tuple[str, str]]


def shop_rows(rows: int = 3_000, leads: int = 60) -> list[Row]:
    """Rows as the shop sends them: those of the file that the setting names, or generated ones."""
    if file := os.environ.get(FILE_SETTING):
        with Path(file).open(encoding="utf-8", newline="") as opened:
            return [Row(**row) for row in csv.DictReader(opened)]
    return list(_generate(random.Random(7), rows, leads))


def _generate(chance: random.Random, rows: int, leads: int) -> Iterator[Row]:
    names = [f"{chance.getrandbits(64):x}/lead+{number}=ä @x" for number in range(leads)]
    start = datetime(2023, 1, 1, tzinfo=UTC)
    kept: list[Row] = []
    for _ in range(rows):
        kind = chance.random()
        if kept and kind < 0.01:
            yield chance.choice(kept[-50:])
            continue
        user = names[0] if chance.random() < 0.5 else chance.choice(names)
        if kept and kind < 0.03:
            taken = chance.choice(kept[-400:])
            other = user if user != taken.user_id else names[-1] if taken.user_id != names[-1] else names[0]
            yield Row(other, taken.event_type, taken.event_id, taken.ts)
            continue
        moment = start + timedelta(seconds=chance.randrange(40_000_000), milliseconds=chance.randrange(1000))
        event_type = chance.choices(list(TYPES), weights=[76, 58, 12, 1, 7, 5, 1])[0]
        row = Row(user, event_type, f"ajs-next-{chance.getrandbits(128):032x}", f"{moment:%Y-%m-%d %H:%M:%S.%f}")
        kept.append(row)
        yield row


def expected_of(rows: Iterable[Row]) -> Expected:
    """Duplicates once, of two contents the first; five kinds of events, at most 1000 points."""
    standing: dict[str, Row] = {}
    conflicts: set[tuple[str, str]] = set()
    points: Counter[str] = Counter()
    duplicates = 0
    for row in rows:
        first = standing.get(row.event_id)
        if first is None:
            standing[row.event_id] = row
            points[row.user_id] += POINTS[TYPES[row.event_type]]
        elif first == row or (row.event_id, row.user_id) in conflicts:
            duplicates += 1
        else:
            conflicts.add((row.event_id, row.user_id))
    scores = {lead: min(total, SCORE_MAX) for lead, total in points.items()}
    return Expected(scores, len(standing), duplicates, conflicts)


def to_event(row: Row) -> event_pb2.Event:
    """A row as an event."""
    event = event_pb2.Event(event_id=row.event_id, lead_id=row.user_id, type=TYPES[row.event_type])
    event.occurred_at.FromDatetime(datetime.fromisoformat(row.ts).replace(tzinfo=UTC))
    return event


def requests(rows: Sequence[Row], import_id: str = "") -> Iterator[ingest.StreamEventsRequest]:
    """Rows as the batches of a bulk stream."""
    for start in range(0, len(rows), BATCH_EVENTS):
        batch = rows[start : start + BATCH_EVENTS]
        yield ingest.StreamEventsRequest(import_id=import_id, events=map(to_event, batch))


async def send(stub: ingest_service_pb2_grpc.IngestServiceAsyncStub, rows: Sequence[Row]) -> str:
    """Sends rows, again and again from the first batch that is not answered, and answers the last token."""
    batches = list(requests(rows))
    answered, token = 0, ""
    while answered < len(batches):
        try:
            async for answer in stub.StreamEvents(iter(batches[answered:])):
                answered += 1
                token = answer.consistency_token
        except aio.AioRpcError as error:
            if error.code().name not in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
                raise
    return token
