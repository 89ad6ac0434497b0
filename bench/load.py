"""The events of the benchmark: 20 000 leads, a few types, ids at random."""

import random
from collections.abc import Iterator

from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest

BATCH = 500
LEADS = 20_000
TYPES = ["page_view"] * 8 + ["email_open", "form_submission"]
START_S = 1_763_000_000
"""Events happen within some days before the benchmark was written."""
SPAN_S = 5 * 86_400


def events(number: int, seed: int = 1, leads: int = LEADS) -> Iterator[event_pb2.Event]:
    """Events, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(number):
        event = event_pb2.Event(
            event_id=f"{chance.getrandbits(128):032x}",
            lead_id=f"lead-{chance.randrange(leads)}@example.org",
            type=chance.choice(TYPES),
            source="bench",
        )
        event.occurred_at.seconds = START_S + chance.randrange(SPAN_S)
        yield event


def batches(number: int, seed: int = 1, leads: int = LEADS) -> list[ingest.StreamEventsRequest]:
    """The same as requests of a bulk stream."""
    found = list(events(number, seed, leads))
    return [ingest.StreamEventsRequest(events=found[start : start + BATCH]) for start in range(0, number, BATCH)]
