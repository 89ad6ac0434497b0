"""Watching over WebSocket: the same streams as events, with errors, bounds and an end that a browser understands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import streaming, websocket
from gateway.json_writing import to_json
from gateway.routes import ROUTED, routes_of
from services.shared.errors import CallerError, InvalidRequest, PermissionDenied, TooMany, Unauthenticated, Unavailable
from tests.rpc.fake_services import END, FakeServices, gateway_to, served

PATH = "/v1/scores:watch"
HEARTBEAT = query.WatchScoresResponse(resume_token="t0")


def update(token: str, lead_id: str = "a", **fields: Any) -> Any:
    change = score_pb2.ScoreUpdate(lead_id=lead_id, score=5, version=1, cause=score_pb2.CAUSE_EVENT)
    return query.WatchScoresResponse(resume_token=token, update=change, **fields)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
async def port(services: FakeServices) -> AsyncIterator[int]:
    async with served(services) as behind, gateway_to(behind) as port:
        yield port


def watching(port: int, path: str = PATH, **options: Any) -> connect:
    options.setdefault("proxy", None)
    return connect(f"ws://127.0.0.1:{port}{path}", **options)


async def said(line: ClientConnection) -> Any:
    """The next message."""
    async with asyncio.timeout(10):
        return json.loads(await line.recv())


async def end(line: ClientConnection) -> tuple[int | None, list[Any]]:
    """The code with which the line is closed, and what is said until then."""
    messages: list[Any] = []
    while True:
        try:
            messages.append(await said(line))
        except ConnectionClosed:
            return line.close_code, messages


async def test_updates_come_with_their_tokens_and_heartbeats_with_nothing_else(
    services: FakeServices, port: int
) -> None:
    for message in (HEARTBEAT, update("t1", 'x\n"ü'), update("t2", snapshot=True)):
        services.updates.put_nowait(message)
    async with watching(port, f"{PATH}?minScore=5&lead_ids=a&leadIds=b%20c") as line:
        assert await said(line) == {"id": "t0"}
        first = await said(line)
        assert (first["id"], first["data"]["leadId"], first["data"]["cause"]) == ("t1", 'x\n"ü', "EVENT")
        assert "snapshot" not in first
        assert (await said(line))["snapshot"] is True
        services.updates.put_nowait(update("t3"))
        assert (await said(line))["id"] == "t3"
    assert services.requests == [query.WatchScoresRequest(min_score=5, lead_ids=["a", "b c"])]


async def test_the_leaderboard_comes_without_tokens(services: FakeServices, port: int) -> None:
    top = query.LeaderboardTop(entries=[query.LeaderboardEntry(rank=1, lead_id="ada", score=5)], total_leads=1)
    for message in (query.WatchLeaderboardResponse(), query.WatchLeaderboardResponse(top=top)):
        services.updates.put_nowait(message)
    async with watching(port, "/v1/leaderboard:watch?size=3") as line:
        assert await said(line) == {}
        assert await said(line) == {"data": json.loads(to_json(top))}
    assert services.requests == [query.WatchLeaderboardRequest(size=3)]


@pytest.mark.parametrize("parameter", ["resumeToken", "resume_token", "lastEventId"])
async def test_a_stream_is_resumed_by_its_token(services: FakeServices, port: int, parameter: str) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port, f"{PATH}?{parameter}=t7") as line:
        await said(line)
    assert services.requests == [query.WatchScoresRequest(resume_token="t7")]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unauthenticated("a key is needed"), 401, 1008),
        (PermissionDenied("no"), 403, 1008),
        (InvalidRequest([]), 400, 1008),
        (Unavailable("away"), 503, 1013),
        (TooMany("full"), 429, 1013),
        (grpc.StatusCode.INTERNAL, 500, 1011),
        (grpc.StatusCode.UNAVAILABLE, 503, 1013),
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True], ids=["at the start", "later"])
async def test_an_error_is_said_as_a_problem_before_the_line_is_closed_with_a_code(
    services: FakeServices, port: int, error: CallerError | grpc.StatusCode, status: int, code: int, late: bool
) -> None:
    if late:
        services.updates.put_nowait(HEARTBEAT)
    services.updates.put_nowait(error)
    async with watching(port) as line:
        closed_with, messages = await end(line)
    assert closed_with == code and messages[: int(late)] == [{"id": "t0"}][: int(late)]
    (problem,) = messages[int(late) :]
    assert problem["error"]["status"] == status
    assert "10.0.0.7" not in json.dumps(problem)


@pytest.mark.parametrize("query_string", ["minScore=x", "resumeToken=%ff", "what=1", "lastEventId=a&lastEventId=b"])
async def test_a_wrong_parameter_opens_no_stream(services: FakeServices, port: int, query_string: str) -> None:
    async with watching(port, f"{PATH}?{query_string}") as line:
        closed_with, (problem,) = await end(line)
    assert (closed_with, problem["error"]["reason"], services.requests) == (1008, "INVALID_REQUEST", [])


async def refused(opening: connect) -> tuple[int, Any]:
    """The status of an answer that is no WebSocket, and its document."""
    with pytest.raises(InvalidStatus) as caught:
        async with opening:
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/leads", 404), ("/", 404), ("/v1/leaderboard", 404), ("/v1/%ff:watch", 404)]
)
async def test_there_are_lines_only_where_there_are_streams(port: int, path: str, status: int) -> None:
    answered, problem = await refused(watching(port, path))
    assert (answered, problem["status"]) == (status, status)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
async def test_another_sites_page_may_not_watch_without_a_key(services: FakeServices, port: int, origin: str) -> None:
    answered, problem = await refused(watching(port, origin=origin))
    assert (answered, problem["reason"]) == (403, "PERMISSION_DENIED")
    assert services.requests == []


async def test_a_name_that_only_seems_to_be_this_machine_may_not_be_called(port: int) -> None:
    opening = connect(f"ws://rebound.example:{port}{PATH}", host="127.0.0.1", port=port, proxy=None)
    answered, _ = await refused(opening)
    assert answered == 403


async def test_this_machines_own_page_may_watch(services: FakeServices, port: int) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port, origin=f"http://127.0.0.1:{port}") as line:
        assert await said(line) == {"id": "t0"}
    assert "authorization" not in services.metadata


@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        ({"additional_headers": {"authorization": "Bearer k-1_~.x"}}, None),
        ({"subprotocols": ["leadscore", "bearer.k-1_~.x"]}, "leadscore"),
        ({"subprotocols": ["bearer.k-1_~.x", "leadscore"]}, "leadscore"),
        ({"subprotocols": ["leadscore", "bearer.k-1_~.x"], "origin": "https://shop.example"}, "leadscore"),
        (
            {
                "subprotocols": ["leadscore", "bearer.another"],
                "additional_headers": {"authorization": "Bearer k-1_~.x", "x-tenant-id": "acme"},
            },
            "leadscore",
        ),
    ],
    ids=str,
)
async def test_a_key_comes_by_header_or_as_a_subprotocol(
    services: FakeServices, port: int, options: dict[str, Any], agreed: str | None
) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port, **options) as line:
        assert line.subprotocol == agreed
        await said(line)
    assert services.metadata["authorization"] == "Bearer k-1_~.x"
    assert services.metadata.get("x-tenant-id") == options.get("additional_headers", {}).get("x-tenant-id")


async def test_what_a_client_says_is_passed_over_up_to_a_bound(services: FakeServices, port: int) -> None:
    async with watching(port) as line:
        for _ in range(websocket.INWARD_MESSAGES_MAX - 1):
            await line.send("hello?")
        services.updates.put_nowait(update("t1"))
        assert (await said(line))["id"] == "t1"
        await line.send(b"one too many")
        closed_with, _ = await end(line)
    assert closed_with == 1008
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_message_that_is_too_large_closes_the_line(services: FakeServices, port: int) -> None:
    async with watching(port) as line:
        await line.send("x" * (websocket.INWARD_BYTES_MAX + 1))
        closed_with, _ = await end(line)
    assert closed_with == 1009
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_ping_is_answered(services: FakeServices, port: int) -> None:
    async with watching(port) as line, asyncio.timeout(10):
        await (await line.ping())


async def test_a_client_that_leaves_ends_the_call(services: FakeServices, port: int) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port) as line:
        await said(line)
        assert not services.watch_left.is_set()
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_stream_that_is_done_closes_the_line_as_such(services: FakeServices, port: int) -> None:
    services.updates.put_nowait(END)
    async with watching(port) as line:
        assert await end(line) == (1000, [])


async def test_a_service_that_falls_silent_is_not_waited_for(
    services: FakeServices, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE_MAX_S", 0.1)
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port) as line:
        closed_with, messages = await end(line)
    assert closed_with == 1013 and messages[0] == {"id": "t0"} and messages[1]["error"]["status"] == 503
    await asyncio.wait_for(services.watch_left.wait(), 10)


async def test_a_gateway_that_stops_says_so(services: FakeServices) -> None:
    services.updates.put_nowait(HEARTBEAT)
    async with served(services) as behind:
        async with gateway_to(behind) as port:
            line = await watching(port)
            await said(line)
        assert await end(line) == (1001, [])


async def test_a_slow_client_holds_back_its_own_stream_alone(services: FakeServices, port: int) -> None:
    for _ in range(1_000):
        services.updates.put_nowait(update("t", "x" * 100_000))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, stuck(port):
        taken, before = services.updates.qsize(), -1
        while taken != before:
            before = taken
            for _ in range(20):
                await client.get("/healthz")
            taken = services.updates.qsize()
        assert taken > 500, "the gateway takes no more than its buffers hold"


async def test_a_client_that_takes_nothing_is_given_up(
    services: FakeServices, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.2)
    for _ in range(1_000):
        services.updates.put_nowait(update("t", "x" * 100_000))
    async with stuck(port):
        await asyncio.wait_for(services.watch_left.wait(), 20)


async def test_a_client_that_answers_no_ping_is_dropped_with_all_that_waits_for_it(
    services: FakeServices, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_keepalive = websocket.BoundedWebSocket.start_keepalive

    def at_once(line: websocket.BoundedWebSocket) -> None:
        line.ping_interval = line.ping_timeout = 0.05
        start_keepalive(line)

    monkeypatch.setattr(websocket.BoundedWebSocket, "start_keepalive", at_once)
    for _ in range(1_000):
        services.updates.put_nowait(update("t", "x" * 100_000))
    async with stuck(port):
        await asyncio.wait_for(services.watch_left.wait(), 20)


@asynccontextmanager
async def stuck(port: int) -> AsyncIterator[None]:
    """A client that opens a line and reads nothing of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
    head = (
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    yield
    writer.transport.abort()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET {PATH}?resumeToken={'x' * 9_000} HTTP/1.1\r\n", b"414"),
        (f"GET {PATH} HTTP/1.1\r\nX-Long: {'x' * 9_000}\r\n", b"431"),
        (f"GET {PATH} HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", b"400"),
    ],
    ids=["path", "header", "version"],
)
async def test_a_head_that_is_no_opening_is_answered_as_such(port: int, head: str, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}Host: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.read()).split()[1] == status
    writer.close()


async def test_no_more_lines_are_opened_than_may_be(
    services: FakeServices, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LINES_MAX", 1)
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port) as line:
        await said(line)
        assert (await refused(watching(port)))[0] == 503
    await asyncio.wait_for(services.watch_left.wait(), 10)
    services.updates.put_nowait(HEARTBEAT)
    async with watching(port) as line:
        assert await said(line) == {"id": "t0"}


async def test_a_stream_and_a_line_at_the_same_path_are_told_apart(services: FakeServices, port: int) -> None:
    for _ in range(2):
        services.updates.put_nowait(HEARTBEAT)
    async with watching(port) as line:
        assert await said(line) == {"id": "t0"}
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
            client.stream("GET", PATH) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")


def test_the_json_of_a_message_is_made_once_for_all() -> None:
    (route,) = (each for each in routes_of(ROUTED) if each.template.text == PATH)
    raw = update("t1").SerializeToString()
    assert streaming.read_message(raw, route) is streaming.read_message(bytes(bytearray(raw)), route)
