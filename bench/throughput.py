"""Events a second over `StreamEvents`, from the first batch sent until the last is scored and committed.

One gRPC client, batches of 500, 20 000 leads, the default model, all on one machine with durable acknowledgement.
"""

import asyncio
import random
import time
from typing import Any

from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc

from bench.suite import running_suite
from services.shared.tokens import decode_positions, encode_positions, merge_positions

EVENTS = 200_000
BATCH = 500
LEADS = 20_000
TYPES = ["page_view"] * 8 + ["email_open", "form_submission"]
TIMEOUT_S = 300.0


def measure() -> dict[str, Any]:
    """Events a second."""
    with running_suite() as doors:
        return asyncio.run(_measure(doors))


async def _measure(doors: dict[str, str]) -> dict[str, Any]:
    chance = random.Random(1)
    batches = [_batch(chance, start) for start in range(0, EVENTS, BATCH)]
    async with (
        aio.insecure_channel(doors["ingest"]) as ingest_channel,
        aio.insecure_channel(doors["query"]) as query_channel,
    ):
        reads = query_service_pb2_grpc.QueryServiceStub(query_channel)
        started = time.perf_counter()
        stub = ingest_service_pb2_grpc.IngestServiceStub(ingest_channel)
        tokens = [decode_positions(answer.consistency_token) async for answer in stub.StreamEvents(iter(batches))]
        published = time.perf_counter()
        token = encode_positions(merge_positions(tokens))
        request = query.ListLeaderboardRequest(page_size=1, consistency_token=token)
        while True:
            try:
                await reads.ListLeaderboard(request, timeout=TIMEOUT_S)
                break
            except aio.AioRpcError as error:
                if error.code().name != "DEADLINE_EXCEEDED":
                    raise
        scored = time.perf_counter()
    return {
        "published, events/s": round(EVENTS / (published - started)),
        "scored, events/s": round(EVENTS / (scored - started)),
    }


def _batch(chance: random.Random, start: int) -> ingest.StreamEventsRequest:
    request = ingest.StreamEventsRequest()
    for number in range(start, start + BATCH):
        event: event_pb2.Event = request.events.add(
            event_id=f"{chance.getrandbits(128):032x}",
            lead_id=f"lead-{chance.randrange(LEADS)}@example.org",
            type=chance.choice(TYPES),
            source="bench",
        )
        event.occurred_at.seconds = 1_700_000_000 + number
    return request
