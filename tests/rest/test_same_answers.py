"""Every RPC and its REST path give the same answers and the same errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from leadscore.query.v1 import export_pb2
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from embedded.postgres import Postgres
from gateway.application import api_document
from gateway.exports import FILES
from services.query.places import Place
from tests.conftest import ADMIN_KEY
from tests.rest.cases import CASES
from tests.rest.transcoded import HttpRequest, binding_of, json_path, message_of
from tests.rest.whole import DEADLINE_S, METHODS, Whole, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHOUT_REST = {"PublishEach", "StreamEvents", "ReportImport", "Export"}
"""What gathers others' requests, a stream of them, and what reads files for a user; exports have paths of their own,
below."""
BINDINGS = {name: binding for name, (_, method) in METHODS.items() if (binding := binding_of(method)) is not None}
STREAMS = [name for name in BINDINGS if METHODS[name][1].server_streaming]
CALLS = [name for name in BINDINGS if name not in STREAMS]
PATHS = api_document()["paths"]
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
}
TOO_OLD = Place(1, 1).token
"""Of a stream that there is no more."""
PDF = "report.pdf"
"""Says when it was made."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with running(postgres, tmp_path_factory.mktemp("nats")) as whole:
        yield whole


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(whole: Whole) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(base_url=f"http://{whole.gateway}", timeout=DEADLINE_S, headers=headers) as client:
        yield client


async def test_every_rpc_with_a_rest_path_is_compared_here() -> None:
    assert sorted(set(BINDINGS) - set(CASES)) == [], "new RPCs need an entry in tests/rest/cases.py"
    assert sorted(set(CASES) - set(BINDINGS)) == []
    assert set(METHODS) - set(BINDINGS) == WITHOUT_REST


async def test_events_that_come_at_the_same_time_are_answered_as_those_that_come_alone(
    whole: Whole, client: httpx.AsyncClient
) -> None:
    events = [
        {"eventId": f"same-{number}", "leadId": "" if number % 7 == 3 else f"l{number % 5}", "type": "page_view"}
        for number in range(60)
    ]
    together = await asyncio.gather(*(client.post("/v1/events", json=event) for event in events))
    alone = [await client.post("/v1/events", json=event) for event in events]
    for event, first, again in zip(events, together, alone, strict=True):
        assert first.status_code == again.status_code == (200 if event["leadId"] else 400)
        known = again.json() if again.status_code == 400 else {**again.json(), "outcome": "ACCEPTED"}
        assert first.json() == known
        assert again.status_code == 400 or again.json()["outcome"] == "DUPLICATE"


@pytest.mark.parametrize("name", CALLS)
async def test_an_answer_is_the_same_over_rest(whole: Whole, client: httpx.AsyncClient, name: str) -> None:
    compared, binding = CASES[name], BINDINGS[name]
    requests = [await compared.make(whole, way) for way in ("grpc", "rest")]
    await settled(whole)
    by_grpc = await whole.open(name, requests[0])
    answer = await send(client, binding.request(requests[1]))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    by_rest = message_of(answer.json(), METHODS[name][1].output_type)
    for path in compared.differs:
        take_out(by_grpc, path.split("."))
        take_out(by_rest, path.split("."))
    assert by_rest == by_grpc


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_is_the_same_as_events_and_over_websocket(
    whole: Whole, client: httpx.AsyncClient, name: str
) -> None:
    await assert_same_stream(whole, client, name, await CASES[name].make(whole, ""))


async def test_what_comes_in_place_of_updates_that_are_not_kept_is_the_same(
    whole: Whole, client: httpx.AsyncClient
) -> None:
    """The states of all leads. WebSocket says that they are states; events show it by what is in them."""
    request = query.WatchScoresRequest(resume_token=TOO_OLD, lead_ids=whole.leads[:5])
    await assert_same_stream(whole, client, "WatchScores", request, 5)


@pytest.mark.parametrize("name", BINDINGS)
async def test_a_refusal_is_the_same_over_rest(whole: Whole, client: httpx.AsyncClient, name: str) -> None:
    compared, binding = CASES[name], BINDINGS[name]
    answer = await send(client, binding.request(compared.bad), authorization=f"Bearer {compared.bad_key}")
    document = answer.json()
    with pytest.raises(aio.AioRpcError) as caught:
        call = whole.open(name, compared.bad, compared.bad_key)
        await (call.read() if name in STREAMS else call)
    error, (info, violations) = caught.value, details_of(caught.value)
    status = STATUSES[error.code()]
    assert (answer.status_code, document["status"], document["reason"]) == (status, status, info.reason)
    assert str(status.value) in PATHS[binding.template][binding.verb.lower()]["responses"]
    descriptor = METHODS[name][1].input_type
    wanted = [(json_path(each.field, descriptor, binding.body), each.description) for each in violations]
    assert [(each["field"], each["description"]) for each in document.get("violations", [])] == wanted
    assert violations or document["detail"] == error.details()


@pytest.mark.parametrize("name", FILES)
async def test_an_export_is_the_same_over_rest(whole: Whole, client: httpx.AsyncClient, name: str) -> None:
    kind, form = FILES[name]
    await settled(whole)
    call = whole.open("Export", export_pb2.ExportRequest(kind=kind, format=form.format))
    by_grpc = b"".join([piece.data async for piece in call])
    answer = await client.get(f"/v1/exports/{name}", headers={"accept-encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, form.media_type)
    if name == PDF:
        assert (answer.content[:5], len(answer.content)) == (b"%PDF-", len(by_grpc))
    else:
        assert answer.content == by_grpc


async def send(client: httpx.AsyncClient, request: HttpRequest, **headers: str) -> httpx.Response:
    body: Any = {} if request.body is None else {"json": request.body}
    return await client.request(request.verb, request.path, params=request.parameters, headers=headers, **body)


async def settled(whole: Whole) -> None:
    """Waits until nothing changes any more by itself: all facts are scored, and no rescore is at work."""
    while (await whole.open("GetProgress", scorer.GetProgressRequest())).pending:
        pass
    request = scorer.ListOperationsRequest(page_size=1)
    while (await whole.open("ListOperations", request)).operations[0].state == scorer.OPERATION_STATE_RUNNING:
        pass


async def assert_same_stream(
    whole: Whole, client: httpx.AsyncClient, name: str, request: Any, messages: int | None = None
) -> None:
    """Compares a stream by each of its ways: the first messages, or all."""
    await settled(whole)
    messages = messages or CASES[name].messages
    by_grpc = await taken(by_call(whole, name, request), messages)
    assert by_grpc and len(by_grpc) == (messages or len(by_grpc))
    sent = BINDINGS[name].request(request)
    assert await taken(by_websocket(whole, name, sent), messages) == by_grpc
    for message in by_grpc:
        if "snapshot" in message.DESCRIPTOR.fields_by_name:
            message.snapshot = False
    assert await taken(by_events(client, name, sent), messages) == by_grpc


async def taken(stream: AsyncGenerator[Any, None], messages: int | None) -> list[Any]:
    """The first messages of a stream, or all of them."""
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE_S), aclosing(stream):
        async for message in stream:
            found.append(message)
            if len(found) == messages:
                break
    return found


async def by_call(whole: Whole, name: str, request: Any) -> AsyncGenerator[Any, None]:
    call, shown = whole.open(name, request), BINDINGS[name].response_body
    try:
        async for message in call:
            if not shown or message.HasField(shown):  # Else it is a heartbeat.
                yield message
    finally:
        call.cancel()


async def by_events(client: httpx.AsyncClient, name: str, sent: HttpRequest) -> AsyncGenerator[Any, None]:
    async with client.stream(sent.verb, sent.path, params=sent.parameters) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        async for block in blocks(answer):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if "data" in fields:
                yield rebuilt(name, json.loads(fields["data"]), fields.get("id", ""))


async def by_websocket(whole: Whole, name: str, sent: HttpRequest) -> AsyncGenerator[Any, None]:
    address = str(httpx.URL(f"ws://{whole.gateway}{sent.path}", params=sent.parameters))
    protocols = [Subprotocol("leadscore"), Subprotocol(f"bearer.{ADMIN_KEY}")]
    async with connect(address, subprotocols=protocols, proxy=None) as line:
        async for text in line:
            said = json.loads(text)
            if "data" in said:
                message = rebuilt(name, said.pop("data"), said.pop("id", ""))
                for mark, value in said.items():
                    setattr(message, mark, value)
                yield message


async def blocks(answer: httpx.Response) -> AsyncGenerator[str, None]:
    text = ""
    async for chunk in answer.aiter_text():
        text += chunk
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            yield block


def rebuilt(name: str, document: Any, token: str) -> Any:
    """A message of a stream, from the part of it that REST shows as its data."""
    descriptor, shown = METHODS[name][1].output_type, BINDINGS[name].response_body
    message = message_of({descriptor.fields_by_name[shown].json_name: document} if shown else document, descriptor)
    if token:
        message.resume_token = token
    return message


def details_of(error: aio.AioRpcError) -> tuple[Any, list[Any]]:
    """The reason and the violations of an error."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata() or ())["grpc-status-details-bin"])
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        if not packed.Unpack(info):
            packed.Unpack(bad_request)
    return info, list(bad_request.field_violations)


def take_out(message: Any, path: list[str]) -> None:
    """Takes a field out of an answer, of each item where the path goes through several."""
    if len(path) == 1:
        message.ClearField(path[0])
        return
    for item in getattr(message, path[0]):
        take_out(item, path[1:])
