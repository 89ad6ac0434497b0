"""The events of the benchmark: 20 000 leads, a few types, ids at random or, if wanted, in the order of time."""

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


def events(number: int, seed: int = 1, leads: int = LEADS, *, by_time: bool = False) -> Iterator[event_pb2.Event]:
    """Events, the same for the same seed. Ids that are `by_time` begin with a number that grows, also with the seed."""
    chance = random.Random(seed)
    for place in range(number):
        begin = f"{seed:08x}{place:08x}" if by_time else f"{chance.getrandbits(64):016x}"
        event = event_pb2.Event(
            event_id=f"{begin}{chance.getrandbits(64):016x}",
            lead_id=f"lead-{chance.randrange(leads)}@example.org",
            type=chance.choice(TYPES),
            source="bench",
        )
        event.occurred_at.seconds = START_S + chance.randrange(SPAN_S)
        yield event


def batches(
    number: int, seed: int = 1, leads: int = LEADS, *, by_time: bool = False
) -> list[ingest.StreamEventsRequest]:
    """The same as requests of a bulk stream."""
    found = list(events(number, seed, leads, by_time=by_time))
    return [ingest.StreamEventsRequest(events=found[start : start + BATCH]) for start in range(0, number, BATCH)]
