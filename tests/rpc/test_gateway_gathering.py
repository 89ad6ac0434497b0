"""Events that come at the same time share a call to ingest, and each gets the answer that is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from gateway import gathering
from gateway.channels import CALL_DEADLINE_S
from services.shared.errors import CallerError, FieldViolation, InvalidRequest, StreamFull, Unauthenticated, Unavailable
from services.shared.statuses import status_message
from tests.rpc.fake_services import FakeServices, client_of, gateway_to, served

REFUSED: dict[str, CallerError] = {
    "bad": InvalidRequest([FieldViolation("event.lead_id", "must not be empty")]),
    "full": StreamFull("the stream is full; try again later"),
    "lost": Unavailable("the stream did not answer in time; send the same again"),
}
"""What ingest has against some events, by their ids."""


class Ingest(FakeServices):
    """Accepts events but for those that it refuses, each when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.answers |= {"PublishEvent": self.publish_event, "PublishEach": self.publish_each}
        self.calls: list[list[str]] = []
        """The ids of the events in each call."""
        self.came = asyncio.Condition()
        self.may_answer = asyncio.Semaphore(0)

    async def publish_event(self, request: contract.PublishEventRequest) -> Any:
        await self._take([request.event.event_id])
        return REFUSED.get(request.event.event_id) or published(request)

    async def publish_each(self, request: contract.PublishEachRequest) -> Any:
        await self._take([each.event.event_id for each in request.requests])
        answer = contract.PublishEachResponse()
        for each in request.requests:
            if error := REFUSED.get(each.event.event_id):
                answer.results.add(refused=status_message(error))
            else:
                answer.results.add(published=published(each))
        return answer

    async def have_come(self, *calls: list[str]) -> None:
        async with self.came, asyncio.timeout(10):
            await self.came.wait_for(lambda: len(self.calls) >= len(calls))
        assert self.calls == list(calls)

    async def _take(self, event_ids: list[str]) -> None:
        async with self.came:
            self.calls.append(event_ids)
            self.came.notify_all()
        await self.may_answer.acquire()


def published(request: contract.PublishEventRequest) -> contract.PublishEventResponse:
    event_id = request.event.event_id
    return contract.PublishEventResponse(
        event_id=event_id, outcome=contract.OUTCOME_ACCEPTED, consistency_token=f"of {event_id}"
    )


class Callers:
    """Sends events, each in the order of its coming to the gateway."""

    def __init__(self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self._client = client
        self._asked = asyncio.Condition()
        self._asked_for: list[str] = []
        publish = gathering.Gathering.publish

        async def notice(this: Any, request: contract.PublishEventRequest, metadata: Any) -> Any:
            answering = asyncio.ensure_future(publish(this, request, metadata))
            self.tasks[request.event.event_id] = answering
            await asyncio.sleep(0)  # It waits, or is on its way.
            async with self._asked:
                self._asked_for.append(request.event.event_id)
                self._asked.notify_all()
            return await answering

        self.tasks: dict[str, asyncio.Future[Any]] = {}
        monkeypatch.setattr(gathering.Gathering, "publish", notice)

    async def send(self, event_id: str, **headers: str) -> asyncio.Task[httpx.Response]:
        """Posts an event; it is with the gateway when this returns, and unanswered."""
        event = {"eventId": event_id, "leadId": "l", "type": "page_view"}
        task = asyncio.create_task(self._client.post("/v1/events", json=event, headers=headers))
        async with self._asked, asyncio.timeout(10):
            await self._asked.wait_for(lambda: event_id in self._asked_for)
        return task


@pytest.fixture
def ingest() -> Ingest:
    return Ingest()


@pytest.fixture
async def callers(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callers]:
    # A machine that is busy makes no call a slow one.
    monkeypatch.setattr(gathering, "PATIENCE_S", 60.0)
    async with served(ingest) as behind, gateway_to(behind) as port, client_of(port) as client:
        yield Callers(client, monkeypatch)


async def test_those_who_come_while_a_call_is_under_way_share_the_next_one(ingest: Ingest, callers: Callers) -> None:
    sent = [await callers.send("a")]
    await ingest.have_come(["a"])
    sent += [await callers.send(event_id) for event_id in "bcd"]
    ingest.may_answer.release()
    await ingest.have_come(["a"], ["b", "c", "d"])
    assert ingest.deadline_s is not None and CALL_DEADLINE_S - 10 < ingest.deadline_s <= CALL_DEADLINE_S
    sent.append(await callers.send("e"))
    ingest.may_answer.release()
    await ingest.have_come(["a"], ["b", "c", "d"], ["e"])
    ingest.may_answer.release()
    assert [(await each).json() for each in sent] == [
        {"eventId": event_id, "outcome": "ACCEPTED", "consistencyToken": f"of {event_id}"} for event_id in "abcde"
    ]


async def test_what_is_refused_is_answered_as_if_it_had_come_alone_and_harms_no_neighbour(
    ingest: Ingest, callers: Callers
) -> None:
    alone = {}
    for event_id in REFUSED:
        ingest.may_answer.release()
        alone[event_id] = await (await callers.send(event_id))
    ingest.calls.clear()
    first = await callers.send("a")
    await ingest.have_come(["a"])
    together = ["b", *REFUSED, "c"]
    sent = {event_id: await callers.send(event_id) for event_id in together}
    for _ in range(2):
        ingest.may_answer.release()
    assert (await first).status_code == 200
    answers = {event_id: await each for event_id, each in sent.items()}
    await ingest.have_come(["a"], together)
    assert [each.status_code for each in answers.values()] == [200, 400, 429, 503, 200]
    for event_id, expected in alone.items():
        answer = answers[event_id]
        assert (answer.status_code, answer.json()) == (expected.status_code, expected.json())
        assert answer.headers.get("retry-after") == expected.headers.get("retry-after")
    assert answers["bad"].json()["violations"] == [{"field": "leadId", "description": "must not be empty"}]


@pytest.mark.parametrize(
    ("error", "status"), [(Unauthenticated("the key is not known"), 401), (grpc.StatusCode.UNAVAILABLE, 503)], ids=str
)
async def test_a_call_that_fails_fails_for_all_in_it_and_for_nobody_else(
    ingest: Ingest, callers: Callers, error: Any, status: int
) -> None:
    first = await callers.send("a")
    await ingest.have_come(["a"])
    sent = [await callers.send(event_id) for event_id in "bc"]
    each_answers, ingest.answers["PublishEach"] = ingest.answers["PublishEach"], error
    ingest.may_answer.release()
    assert (await first).status_code == 200
    assert [(await each).status_code for each in sent] == [status, status]
    ingest.answers["PublishEach"] = each_answers
    ingest.may_answer.release()
    assert (await (await callers.send("d"))).status_code == 200


async def test_keys_and_tenants_do_not_share_a_call_and_wait_for_no_other(ingest: Ingest, callers: Callers) -> None:
    sent = [await callers.send("a", authorization="Bearer one")]
    await ingest.have_come(["a"])
    sent.append(await callers.send("b", authorization="Bearer two"))
    await ingest.have_come(["a"], ["b"])
    sent.append(await callers.send("c", **{"authorization": "Bearer one", "x-tenant-id": "acme"}))
    await ingest.have_come(["a"], ["b"], ["c"])
    assert ingest.metadata["x-tenant-id"] == "acme"
    sent.append(await callers.send("d", **{"authorization": "Bearer one", "idempotency-key": "k"}))
    await ingest.have_come(["a"], ["b"], ["c"], ["d"])
    for _ in sent:
        ingest.may_answer.release()
    assert [(await each).status_code for each in sent] == [200] * 4


async def test_a_caller_who_gives_up_is_not_sent_any_more_and_takes_nobody_along(
    ingest: Ingest, callers: Callers
) -> None:
    first = await callers.send("a")
    await ingest.have_come(["a"])
    others = [await callers.send(event_id) for event_id in "bcd"]
    callers.tasks["b"].cancel()
    await asyncio.wait([callers.tasks["b"]])
    callers.tasks["a"].cancel()
    await ingest.have_come(["a"], ["c", "d"])
    callers.tasks["c"].cancel()
    for _ in range(2):
        ingest.may_answer.release()
    assert (await others[2]).json()["consistencyToken"] == "of d"
    for gone in (first, *others[:2]):
        gone.cancel()
    await asyncio.wait([first, *others[:2]])


async def test_a_slow_call_does_not_hold_up_those_who_wait(
    ingest: Ingest, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PATIENCE_S", 0.01)
    sent = [await callers.send("a")]
    await ingest.have_come(["a"])
    sent.append(await callers.send("b"))
    await ingest.have_come(["a"], ["b"])
    for _ in sent:
        ingest.may_answer.release()
    assert [(await each).status_code for each in sent] == [200, 200]


async def test_as_many_share_a_call_as_the_contract_allows(
    ingest: Ingest, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = contract.PublishEachRequest.DESCRIPTOR.fields_by_name["requests"].GetOptions()
    assert f"max_items: {gathering.TOGETHER_MAX}" in str(rules)
    monkeypatch.setattr(gathering, "TOGETHER_MAX", 2)
    sent = [await callers.send("a")]
    await ingest.have_come(["a"])
    sent += [await callers.send(event_id) for event_id in "bcd"]
    for _ in range(3):
        ingest.may_answer.release()
    assert [(await each).json()["eventId"] for each in sent] == list("abcd")
    assert ingest.calls[0] == ["a"] and sorted(ingest.calls[1:]) == [["b", "c"], ["d"]]


async def test_nothing_is_remembered_of_those_who_have_been_answered(ingest: Ingest) -> None:
    async with served(ingest) as behind, aio.insecure_channel(f"127.0.0.1:{behind}") as channel:
        ends: list[str] = []

        async def send(line: gathering.Line, event_id: str) -> None:
            await line.publish(contract.PublishEventRequest(event=Event(event_id=event_id)))

        line = gathering.Line(IngestServiceStub(channel), (), lambda: ends.append("ended"))
        sent = [asyncio.create_task(send(line, event_id)) for event_id in "ab"]
        await ingest.have_come(["a"])
        assert not ends
        for _ in sent:
            ingest.may_answer.release()
        await asyncio.gather(*sent, *line.sending)
        assert ends == ["ended"]
