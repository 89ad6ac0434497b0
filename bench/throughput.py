"""Events a second over `StreamEvents`, from the first batch sent until the last is committed and announced.

One gRPC client, batches of 500, 20 000 leads, the default model, everything on one machine with durable
acknowledgement. Against a loop that only writes the same rows, in the same minutes.
"""

import time
from collections.abc import Sequence

from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from bench.load import batches
from bench.outcome import Outcome
from bench.raw_writer import raw_events_per_s
from bench.scored import last_announced
from bench.suite import Suite, running_suite

EVENTS = 200_000
QUICK_EVENTS = 60_000


async def measure(quick: bool) -> dict[str, Outcome]:
    """Events a second, and what each part of the suite spends on an event."""
    number = QUICK_EVENTS if quick else EVENTS
    async with running_suite() as suite:
        before = suite.cpu_s()
        value = await events_per_s(suite, number)
        spent = {name: (used - before.get(name, 0)) / number * 1e6 for name, used in suite.cpu_s().items()}
        against = await raw_events_per_s(suite.postgres)
    details = {f"{name}, processor us/event": round(us, 1) for name, us in sorted(spent.items())}
    return {"throughput": Outcome(value, against, "events/s", more_is_better=True, details=details)}


async def events_per_s(suite: Suite, number: int, seed: int = 1, *, by_time: bool = False) -> float:
    """Sends events as fast as they are taken, and waits until the last change is announced."""
    return await streamed_per_s(suite, batches(number, seed, by_time=by_time))


async def streamed_per_s(suite: Suite, requests: Sequence[contract.StreamEventsRequest]) -> float:
    """The same for requests at hand."""
    number = sum(len(request.events) for request in requests)
    async with aio.insecure_channel(suite.doors["ingest"]) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        started = time.perf_counter()
        tokens = [answer.consistency_token async for answer in stub.StreamEvents(iter(requests))]
        await last_announced(suite, tokens)
    return number / (time.perf_counter() - started)
