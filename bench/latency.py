"""How long from an event to the update at a watcher, on an idle machine.

Over REST: from `POST /v1/events` to the line at a client of `/v1/scores:watch` (SSE), counted from the moment the POST
is sent, and from the moment its answer is there.
"""

import asyncio
import json
import statistics
import time
from typing import Any

import httpx

from bench.suite import running_suite

EVENTS = 300
WARM_UP = 30
PAUSE_S = 0.02
"""Between events: the machine is to be idle."""
TIMEOUT_S = 30.0


def measure() -> dict[str, Any]:
    """The quantiles in milliseconds."""
    with running_suite() as doors:
        return asyncio.run(_measure(f"http://{doors['gateway']}"))


async def _measure(address: str) -> dict[str, Any]:
    arrived: dict[str, float] = {}
    news = asyncio.Event()
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S) as client:
        watching = asyncio.create_task(_watch(client, arrived, news))
        await news.wait()
        from_sent, from_answered = [], []
        for number in range(WARM_UP + EVENTS):
            event = {"eventId": f"e{number}", "leadId": f"lead-{number % 50}", "type": "page_view"}
            sent = time.perf_counter()
            (await client.post("/v1/events", json=event)).raise_for_status()
            answered = time.perf_counter()
            while event["eventId"] not in arrived:
                news.clear()
                await asyncio.wait_for(news.wait(), TIMEOUT_S)
            if number >= WARM_UP:
                from_sent.append((arrived[event["eventId"]] - sent) * 1e3)
                from_answered.append(max(0.0, (arrived[event["eventId"]] - answered) * 1e3))
            await asyncio.sleep(PAUSE_S)
        watching.cancel()
    return {"sent to watcher, ms": _quantiles(from_sent), "answered to watcher, ms": _quantiles(from_answered)}


async def _watch(client: httpx.AsyncClient, arrived: dict[str, float], news: asyncio.Event) -> None:
    async with client.stream("GET", "/v1/scores:watch", timeout=httpx.Timeout(TIMEOUT_S, read=None)) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                arrived[json.loads(line[6:])["eventId"]] = time.perf_counter()
            news.set()


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(statistics.median(values), 2), "p90": round(cuts[89], 2), "p99": round(cuts[98], 2)}
