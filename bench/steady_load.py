"""Events that come in at a steady rate, beside what is measured."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from bench.load import TYPES
from bench.suite import Suite

BATCH = 100


@asynccontextmanager
async def steady_load(suite: Suite, rate: int, draw_lead: Callable[[], str]) -> AsyncIterator[None]:
    """Sends events that happen now, so many a second, as long as the context lasts. Raises what the suite refuses."""
    async with aio.insecure_channel(suite.doors["ingest"]) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        sending = asyncio.create_task(_send(stub, rate, draw_lead))
        try:
            yield
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _send(stub: ingest_service_pb2_grpc.IngestServiceAsyncStub, rate: int, draw_lead: Callable[[], str]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()

    async def requests() -> AsyncIterator[ingest.StreamEventsRequest]:
        nonlocal due
        for batch in _batches_of(draw_lead):
            yield batch
            due += BATCH / rate
            await asyncio.sleep(due - loop.time())

    async for _ in stub.StreamEvents(requests()):
        pass


def _batches_of(draw_lead: Callable[[], str]) -> Iterator[ingest.StreamEventsRequest]:
    chance = random.Random()
    while True:
        batch = ingest.StreamEventsRequest()
        for _ in range(BATCH):
            event_id = f"{chance.getrandbits(128):032x}"
            batch.events.add(event_id=event_id, lead_id=draw_lead(), type=chance.choice(TYPES), source="bench")
        yield batch
