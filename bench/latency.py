"""How long from sending a single event until the change is at a watcher, at a steady rate.

Over gRPC (PublishEvent, WatchScores) and over REST (POST, server-sent events). Against the floor: one fsynced publish
to JetStream, one commit to PostgreSQL and one more publish, in a row, on the same servers, in the same run and at the
same rate: a machine that rests between two events takes its time to wake up, for the floor as for the suite.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import psycopg
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from bench.http2 import WINDOW_BYTES_MAX, Ended, Heard, Streams
from bench.outcome import Outcome
from bench.pace import steadily
from bench.suite import Suite, running_suite
from services.shared import bus as stream
from services.shared.settings import Settings

RATES = (200, 1_000)
SECONDS = 10
QUICK_SECONDS = 4
WARM_UP_S = 1.5
LEADS = 500
TIMEOUT_S = 30.0
LOOK_S = 0.05
"""How often it is looked whether the last ones have come: each has noted its own time by then."""

CONNECTIONS = 32
POST = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
PUBLISH = "/leadscore.ingest.v1.IngestService/PublishEvent"
WATCH = "/leadscore.query.v1.QueryService/WatchScores"
"""Requests are written by hand: a client library would take longer than what is measured."""

Send = Callable[[str, str], Awaitable[None]]


class Arrivals:
    """When each event was sent, and when its change was at the watcher."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.watching = asyncio.Event()

    def milliseconds(self, after: float) -> list[float]:
        """How long each took, of those sent after a time."""
        return [
            (self.arrived[event] - sent) * 1e3
            for event, sent in self.sent.items()
            if sent > after and event in self.arrived
        ]


async def measure(quick: bool) -> dict[str, Outcome]:
    """Median and 99th percentile; the figure is REST at the lower rate."""
    seconds = QUICK_SECONDS if quick else SECONDS
    found = {}
    async with running_suite() as suite:
        for rate in RATES:
            for name, way in (("floor", _floor), ("gRPC", _grpc), ("REST", _rest)):
                found[f"{name} at {rate}/s"] = await way(suite, rate, seconds)
    details = {name: {"p50": round(_p50(all_ms), 2), "p99": round(_p99(all_ms), 2)} for name, all_ms in found.items()}
    figure, floor = (found[f"{name} at {RATES[0]}/s"] for name in ("REST", "floor"))
    return {
        "latency_p50": Outcome(_p50(figure), _p50(floor), "ms", more_is_better=False, details=details),
        "latency_p99": Outcome(_p99(figure), _p99(floor), "ms", more_is_better=False),
    }


async def _floor(suite: Suite, rate: int, seconds: int) -> list[float]:
    settings = Settings(nats_url=suite.nats.url, database_url=suite.postgres.url)
    arrivals = Arrivals()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(stream.connect(settings, "bench", lambda: None))
        free: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            connection = await psycopg.AsyncConnection.connect(suite.postgres.url, autocommit=True)
            stack.push_async_callback(connection.close)
            free.put_nowait(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS bench_floor (id TEXT PRIMARY KEY, payload BYTEA)")

        async def watch() -> None:
            arrivals.watching.set()

        async def send(event_id: str, lead_id: str) -> None:
            payload = f"{event_id} {lead_id:200}".encode()
            await bus.announce([("bench", payload, f"{event_id}-1")])
            connection = await free.get()
            await connection.execute("INSERT INTO bench_floor VALUES (%s, %s)", [event_id, payload])
            free.put_nowait(connection)
            await bus.announce([("bench", payload, f"{event_id}-2")])
            arrivals.arrived[event_id] = time.perf_counter()

        return await _at_a_rate(arrivals, watch, send, rate, seconds, f"floor-{rate}")


async def _grpc(suite: Suite, rate: int, seconds: int) -> list[float]:
    arrivals = Arrivals()
    under_way: dict[int, asyncio.Future[None]] = {}

    def answered(call: int, message: bytes) -> None:
        under_way.pop(call).set_result(None)

    def heard(call: int, message: bytes) -> None:
        answer = query.WatchScoresResponse.FromString(message)
        if answer.HasField("update"):
            arrivals.arrived[answer.update.event_id] = time.perf_counter()
        else:
            arrivals.watching.set()

    def ended() -> None:
        assert closing, "query has ended the watch"

    closing = False
    ingest_line = await _connect(suite.doors["ingest"], PUBLISH, answered, lambda: None)
    query_line = await _connect(suite.doors["query"], WATCH, heard, ended)

    async def watch() -> None:
        query_line.call(query.WatchScoresRequest().SerializeToString())

    async def send(event_id: str, lead_id: str) -> None:
        event = event_pb2.Event(event_id=event_id, lead_id=lead_id, type="page_view")
        number = ingest_line.call(ingest.PublishEventRequest(event=event).SerializeToString())
        answer = under_way[number] = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(answer, TIMEOUT_S)

    try:
        return await _at_a_rate(arrivals, watch, send, rate, seconds, f"grpc-{rate}")
    finally:
        closing = True
        ingest_line.close()
        query_line.close()


async def _connect(door: str, method: str, heard: Heard, ended: Ended) -> Streams:
    host, _, port = door.rpartition(":")
    make = partial(Streams, method, WINDOW_BYTES_MAX, heard, ended)
    return (await asyncio.get_running_loop().create_connection(make, host, int(port)))[1]


async def _rest(suite: Suite, rate: int, seconds: int) -> list[float]:
    arrivals = Arrivals()
    host, _, port = suite.doors["gateway"].rpartition(":")
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(host, int(port)))

    async def watch() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/scores:watch HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while line := await reader.readline():
            arrivals.watching.set()
            if line.startswith(b"data: "):
                arrivals.arrived[json.loads(line[6:])["eventId"]] = time.perf_counter()

    async def send(event_id: str, lead_id: str) -> None:
        body = json.dumps({"eventId": event_id, "leadId": lead_id, "type": "page_view"}).encode()
        reader, writer = connection = await free.get()
        writer.write(POST % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        free.put_nowait(connection)

    try:
        return await _at_a_rate(arrivals, watch, send, rate, seconds, f"rest-{rate}")
    finally:
        while not free.empty():
            free.get_nowait()[1].close()


async def _at_a_rate(
    arrivals: Arrivals, watch: Callable[[], Awaitable[None]], send: Send, rate: int, seconds: int, name: str
) -> list[float]:
    watching = asyncio.ensure_future(watch())
    await asyncio.wait_for(arrivals.watching.wait(), TIMEOUT_S)
    started, sending = time.perf_counter(), []
    async for moment in steadily(rate, int(rate * (seconds + WARM_UP_S))):
        event_id = f"{name}-{len(sending)}"
        arrivals.sent[event_id] = moment
        sending.append(asyncio.ensure_future(send(event_id, f"lead-{len(sending) % LEADS}")))
    await asyncio.gather(*sending)
    async with asyncio.timeout(TIMEOUT_S):
        while len(arrivals.arrived) < len(arrivals.sent):
            await asyncio.sleep(LOOK_S)
    watching.cancel()
    return arrivals.milliseconds(started + WARM_UP_S)


def _p50(values: list[float]) -> float:
    return statistics.median(values)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]
