"""Stored events a second of `Simulate` and `Rescore`, against the live throughput of the same run.

The model that is tried has a rule with a condition, so that a part of the events has to be looked into one by one.
"""

import asyncio
import time

from grpc import aio
from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from bench.outcome import Outcome
from bench.suite import running_suite
from bench.throughput import events_per_s

EVENTS = 1_000_000
QUICK_EVENTS = 100_000
LOOK_S = 0.05
"""How often it is asked how the rescore is doing: it runs for seconds."""
RULES = (
    model_pb2.Rule(name="view", event_type="page_view", points=3, weight=model_pb2.Weight(half_life_days=30)),
    model_pb2.Rule(name="mail", event_type="email_open", points=8, maximum=400),
    model_pb2.Rule(name="form", event_type="form_submission", points=25, condition='event.source == "bench"'),
)


async def measure(quick: bool) -> dict[str, Outcome]:
    """Both, and the slower one as the figure."""
    number = QUICK_EVENTS if quick else EVENTS
    async with running_suite() as suite, aio.insecure_channel(suite.doors["scorer"]) as channel:
        live = await events_per_s(suite, number)
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        definition = model_pb2.ModelDefinition(rules=RULES)
        draft = await stub.CreateDraft(scorer.CreateDraftRequest(definition=definition))
        started = time.perf_counter()
        async for _ in stub.Simulate(scorer.SimulateRequest(version=draft.version)):
            pass
        simulated = number / (time.perf_counter() - started)
        started = time.perf_counter()
        begun = await stub.PublishModel(scorer.PublishModelRequest(version=draft.version, rescore=True))
        request = scorer.GetOperationRequest(operation_id=begun.operation.operation_id)
        while (await stub.GetOperation(request)).state == scorer.OPERATION_STATE_RUNNING:
            await asyncio.sleep(LOOK_S)
        rescored = number / (time.perf_counter() - started)
    details = {"simulated, events/s": round(simulated), "rescored, events/s": round(rescored)}
    return {"rescore": Outcome(min(simulated, rescored), live, "events/s", more_is_better=True, details=details)}
