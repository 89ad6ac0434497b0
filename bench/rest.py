"""Events a second over REST (`:batch` of 500, NDJSON upload, Segment's batches), against the gRPC stream of the run."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx

from bench.load import BATCH, batches, events
from bench.outcome import Outcome
from bench.scored import last_announced
from bench.suite import Suite, running_suite
from bench.throughput import events_per_s, streamed_per_s

EVENTS = 100_000
QUICK_EVENTS = 30_000
TIMEOUT_S = 120.0
SENDERS = 4
"""As a stream has several requests on the way."""
PROPERTIES = {"plan": "pro", "seats": 5}
PAGE = {"path": "/pricing"}
"""Segment's calls hold more than the events of the other ways."""


async def measure(quick: bool) -> dict[str, Outcome]:
    """The batches are the figure."""
    number = QUICK_EVENTS if quick else EVENTS
    async with running_suite() as suite:
        address = f"http://{suite.doors['gateway']}"
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S) as client:
            against = await events_per_s(suite, number, seed=1)
            batched = await _batches(suite, client, number)
            uploaded = await _upload(suite, client, number)
            called = await _calls(suite, client, number)
            same_as_called = await _with_what_calls_hold(suite, number)
    details = {
        "NDJSON upload, events/s": round(uploaded),
        "Segment's batches, calls/s": round(called),
        "the same events over gRPC": round(same_as_called),
    }
    return {"rest": Outcome(batched, against, "events/s", more_is_better=True, details=details)}


async def _batches(suite: Suite, client: httpx.AsyncClient, number: int) -> float:
    rows = _rows(number, 2)
    bodies = [json.dumps({"events": rows[start : start + BATCH]}) for start in range(0, number, BATCH)]
    return BATCH * await _posts_per_s(
        suite, client, "/v1/events:batch", bodies, lambda answer: str(answer.json()["consistencyToken"])
    )


async def _posts_per_s(
    suite: Suite, client: httpx.AsyncClient, path: str, bodies: list[str], token_of: Callable[[httpx.Response], str]
) -> float:
    """From SENDERS that have one request under way each."""
    waiting, tokens = iter(bodies), []

    async def send() -> None:
        for body in waiting:
            answer = await client.post(path, content=body, headers={"content-type": "application/json"})
            tokens.append(token_of(answer.raise_for_status()))

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    await last_announced(suite, tokens)
    return len(bodies) / (time.perf_counter() - started)


async def _upload(suite: Suite, client: httpx.AsyncClient, number: int) -> float:
    lines = "".join(json.dumps(row) + "\n" for row in _rows(number, 3)).encode()
    started = time.perf_counter()
    sent = await client.post("/v1/events:upload", files={"file": ("events.ndjson", lines, "application/x-ndjson")})
    await last_announced(suite, [sent.raise_for_status().json()["consistencyToken"]])
    return number / (time.perf_counter() - started)


async def _calls(suite: Suite, client: httpx.AsyncClient, number: int) -> float:
    """As SDKs write them: with what they say of themselves, and with a few properties."""
    context = {"library": {"name": "analytics-python", "version": "2.4.0"}, "page": PAGE}
    calls = [
        {
            "type": "track",
            "messageId": row["eventId"],
            "userId": row["leadId"],
            "event": row["type"],
            "timestamp": row["occurredAt"],
            "properties": PROPERTIES,
            "context": context,
            "integrations": {},
        }
        for row in _rows(number, 4)
    ]
    bodies = [json.dumps({"batch": calls[start : start + BATCH]}) for start in range(0, number, BATCH)]
    return BATCH * await _posts_per_s(
        suite, client, "/v1/batch", bodies, lambda answer: answer.headers["x-consistency-token"]
    )


async def _with_what_calls_hold(suite: Suite, number: int) -> float:
    requests = batches(number, 5)
    for request in requests:
        for event in request.events:
            event.properties.update({**PROPERTIES, "context": {"page": PAGE}})
    return await streamed_per_s(suite, requests)


def _rows(number: int, seed: int) -> list[dict[str, str]]:
    return [
        {
            "eventId": event.event_id,
            "leadId": event.lead_id,
            "type": event.type,
            "source": event.source,
            "occurredAt": event.occurred_at.ToJsonString(),
        }
        for event in events(number, seed)
    ]
