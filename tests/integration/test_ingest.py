"""ingest on a real stream: outcomes, order, bounds, and what happens when the stream is full or away."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from embedded.nats import NatsServer
from services.shared.credentials import hash_key
from services.shared.settings import Settings
from services.shared.tokens import decode_positions
from tests.parts import Suite


def event(event_id: str = "", lead_id: str = "ada", **fields: Any) -> event_pb2.Event:
    return event_pb2.Event(**{"event_id": event_id, "lead_id": lead_id, "type": "page_view", **fields})


def status_of(error: aio.AioRpcError) -> Any:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # It has what a call has.
    assert status is not None
    return status


def details_of(error: aio.AioRpcError, kind: type[Any]) -> Any:
    for packed in status_of(error).details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    raise AssertionError(f"{error.details()} has no {kind.__name__}")


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest")
        yield suite


async def test_an_event_is_accepted_once_and_then_known(suite: Suite) -> None:
    request = contract.PublishEventRequest(event=event("e1"))
    first = await suite.ingest.PublishEvent(request)
    second = await suite.ingest.PublishEvent(request)
    assert (first.event_id, first.outcome) == ("e1", contract.OUTCOME_ACCEPTED)
    assert (second.event_id, second.outcome) == ("e1", contract.OUTCOME_DUPLICATE)
    assert first.consistency_token == second.consistency_token


async def test_an_event_without_an_id_gets_one_and_an_idempotency_key_makes_a_repeat_known(suite: Suite) -> None:
    request = contract.PublishEventRequest(event=event())
    one, two = await suite.ingest.PublishEvent(request), await suite.ingest.PublishEvent(request)
    assert one.event_id
    assert one.event_id != two.event_id
    metadata = (("idempotency-key", "order-7"),)
    first = await suite.ingest.PublishEvent(request, metadata=metadata)
    again = await suite.ingest.PublishEvent(request, metadata=metadata)
    assert first.event_id == again.event_id
    assert again.outcome == contract.OUTCOME_DUPLICATE


async def test_each_event_of_a_batch_is_answered_and_bad_ones_do_not_hold_up_the_others(suite: Suite) -> None:
    events = [event("e1"), event("e2", lead_id=""), event("e1"), event("e1", lead_id="grace"), event("e3", type="!")]
    answer = await suite.ingest.PublishEvents(contract.PublishEventsRequest(events=events))
    accepted, duplicate, rejected = contract.OUTCOME_ACCEPTED, contract.OUTCOME_DUPLICATE, contract.OUTCOME_REJECTED
    assert [each.outcome for each in answer.results] == [accepted, rejected, duplicate, accepted, rejected]
    assert (answer.accepted, answer.duplicates, answer.rejected) == (2, 1, 2)
    assert [each.field for each in answer.results[1].violations] == ["lead_id"]
    assert [each.field for each in answer.results[4].violations] == ["type"]


async def test_events_of_several_callers_are_answered_and_recognised_one_by_one(suite: Suite) -> None:
    def each(*events: event_pb2.Event) -> contract.PublishEachRequest:
        return contract.PublishEachRequest(requests=[contract.PublishEventRequest(event=event) for event in events])

    late = event("e4")
    late.occurred_at.seconds = 4_000_000_000
    sent = [event("e1"), event("e2", lead_id="", type="!"), event("e3"), late, event(), event("e1")]
    answer = await suite.ingest.PublishEach(each(*sent))
    kinds = [result.WhichOneof("result") for result in answer.results]
    assert kinds == ["published", "refused", "published", "refused", "published", "published"]
    for index in (1, 3):
        with pytest.raises(aio.AioRpcError) as caught:
            await suite.ingest.PublishEvent(contract.PublishEventRequest(event=sent[index]))
        alone = status_of(caught.value)
        assert answer.results[index].refused == alone, "each is refused as it is when it comes alone"
    published = [answer.results[index].published for index in (0, 2, 4, 5)]
    accepted, duplicate = contract.OUTCOME_ACCEPTED, contract.OUTCOME_DUPLICATE
    assert [each.outcome for each in published] == [accepted, accepted, accepted, duplicate]
    assert published[2].event_id and published[3].consistency_token == published[0].consistency_token
    assert all(len(decode_positions(each.consistency_token)) == 1 for each in published)
    again = await suite.ingest.PublishEvent(contract.PublishEventRequest(event=sent[2]))
    assert again == contract.PublishEventResponse(
        event_id="e3", outcome=duplicate, consistency_token=published[1].consistency_token
    )
    answer = await suite.ingest.PublishEach(each(event("e9"), event("e3")))
    assert [result.published.outcome for result in answer.results] == [accepted, duplicate]


async def test_each_profile_of_a_batch_is_answered_and_bad_ones_do_not_hold_up_the_others(suite: Suite) -> None:
    def change(event_id: str, lead_id: str = "ada", **profile: Any) -> contract.UpsertLeadRequest:
        found = contract.UpsertLeadRequest(event_id=event_id, lead_id=lead_id)
        found.profile.update(profile)
        return found

    leads = [
        change("p1", budget=5),
        change("p2", "", budget=5),
        change("p1", budget=5),
        change("p3"),
        change("p4", a="\0"),
    ]
    answer = await suite.ingest.UpsertLeads(contract.UpsertLeadsRequest(leads=leads))
    assert [contract.Outcome.Name(each.outcome).removeprefix("OUTCOME_") for each in answer.results] == [
        "ACCEPTED", "REJECTED", "DUPLICATE", "REJECTED", "REJECTED",
    ]  # fmt: skip
    assert (answer.accepted, answer.duplicates, answer.rejected) == (1, 1, 3)
    wrong = [[each.field for each in result.violations] for result in answer.results]
    assert wrong == [[], ["lead_id"], [], ["profile"], ["profile.a"]]
    alone = await suite.ingest.UpsertLead(leads[0])
    assert alone.consistency_token == answer.consistency_token, "one change and several are put down in the same way"


async def test_all_or_nothing_refuses_the_whole_batch_with_the_index_and_publishes_nothing(suite: Suite) -> None:
    request = contract.PublishEventsRequest(events=[event("e1"), event("e2", lead_id="")], all_or_nothing=True)
    with pytest.raises(aio.AioRpcError) as caught:
        await suite.ingest.PublishEvents(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    violations = details_of(caught.value, error_details_pb2.BadRequest).field_violations
    assert [each.field for each in violations] == ["events[1].lead_id"]
    answer = await suite.ingest.PublishEvent(contract.PublishEventRequest(event=event("e1")))
    assert answer.outcome == contract.OUTCOME_ACCEPTED


@pytest.mark.parametrize("events", [[], [event("x")] * 10_001], ids=["none", "too many"])
async def test_a_batch_has_one_to_ten_thousand_events(suite: Suite, events: list[event_pb2.Event]) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await suite.ingest.PublishEvents(contract.PublishEventsRequest(events=events))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(caught.value, error_details_pb2.BadRequest).field_violations[0].field == "events"


async def test_a_stream_of_batches_is_answered_batch_by_batch_with_sparse_rejections(suite: Suite) -> None:
    batches = [
        contract.StreamEventsRequest(events=[event("e1"), event("e2", type="")], import_id="i1"),
        contract.StreamEventsRequest(events=[event("e3"), event("e3")]),
    ]
    answers = [answer async for answer in suite.ingest.StreamEvents(iter(batches))]
    assert [(each.accepted, each.duplicates) for each in answers] == [(1, 0), (1, 1)]
    assert [rejection.index for rejection in answers[0].rejections] == [1]
    assert all(decode_positions(each.consistency_token) for each in answers)


async def test_batches_before_one_that_is_wrong_as_a_whole_are_published_and_answered(suite: Suite) -> None:
    batches = [contract.StreamEventsRequest(events=[event(f"e{number}")]) for number in range(3)]
    answers = []
    with pytest.raises(aio.AioRpcError) as caught:
        async for answer in suite.ingest.StreamEvents(iter([*batches, contract.StreamEventsRequest(), *batches])):
            answers.append(answer)  # noqa: PERF401  # What has come by then counts.
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.accepted for each in answers] == [1, 1, 1]
    again = await suite.ingest.PublishEvents(contract.PublishEventsRequest(events=[event("e2")]))
    assert again.accepted + again.duplicates == 1


async def test_a_message_that_is_not_utf_8_is_refused_as_the_callers_fault(suite: Suite) -> None:
    channel = suite.running["ingest"].channel
    assert channel is not None
    publish: Any = channel.unary_unary("/leadscore.ingest.v1.IngestService/PublishEvent")
    with pytest.raises(aio.AioRpcError) as caught:
        await publish(b"\x0a\x04\x12\x02\xed\xa0")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_stream_refuses_with_a_retry_delay_and_accepts_nothing(settings: Settings) -> None:
    async with Suite(replace(settings, stream_bytes_max=64 * 1024)) as suite:
        await suite.start("ingest")
        large = event("e1")
        large.properties.update({"text": "x" * 20_000})
        with pytest.raises(aio.AioRpcError) as caught:
            for number in range(10):
                large.event_id = f"e{number}"
                await suite.ingest.PublishEvent(contract.PublishEventRequest(event=large))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details_of(caught.value, error_details_pb2.RetryInfo).retry_delay.seconds > 0
        assert details_of(caught.value, error_details_pb2.ErrorInfo).reason == "STREAM_FULL"


async def test_what_the_stream_takes_of_several_callers_stands_and_the_rest_is_told_when_to_come_back(
    settings: Settings,
) -> None:
    async with Suite(replace(settings, stream_bytes_max=64 * 1024)) as suite:
        await suite.start("ingest")
        request = contract.PublishEachRequest()
        for number in range(10):
            event_of = request.requests.add(event=event(f"e{number}")).event
            event_of.properties.update({"text": "x" * 20_000})
        results = (await suite.ingest.PublishEach(request)).results
        taken = [result.HasField("published") for result in results]
        assert taken[0] and not taken[-1] and taken == sorted(taken, reverse=True)
        with pytest.raises(aio.AioRpcError) as caught:
            await suite.ingest.PublishEvent(request.requests[-1])
        assert results[-1].refused == status_of(caught.value)


async def test_without_a_stream_each_of_several_callers_hears_that_it_is_away(
    suite: Suite, nats_server: NatsServer
) -> None:
    request = contract.PublishEachRequest(requests=[contract.PublishEventRequest(event=event(id)) for id in ("a", "b")])
    await suite.ingest.PublishEach(request)
    await nats_server.kill()
    results = (await suite.ingest.PublishEach(request, timeout=20)).results
    assert [result.refused.code for result in results] == [grpc.StatusCode.UNAVAILABLE.value[0]] * 2
    await nats_server.start()
    while True:
        results = (await suite.ingest.PublishEach(request, timeout=20)).results
        if all(result.HasField("published") for result in results):
            break
    assert [result.published.event_id for result in results] == ["a", "b"]


async def test_without_a_stream_the_answer_is_unavailable_in_bounded_time_and_a_retry_counts_once(
    suite: Suite, nats_server: NatsServer
) -> None:
    request = contract.PublishEventRequest(event=event("e1"))
    await suite.ingest.PublishEvent(request)
    await nats_server.kill()
    with pytest.raises(aio.AioRpcError) as caught:
        await suite.ingest.PublishEvent(request, timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert details_of(caught.value, error_details_pb2.RetryInfo).HasField("retry_delay")
    await nats_server.start()
    while True:
        try:
            answer = await suite.ingest.PublishEvent(request, timeout=20)
            break
        except aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert answer.event_id == "e1"


async def test_another_number_of_partitions_than_the_stream_was_made_with_is_refused(
    suite: Suite, settings: Settings
) -> None:
    from services.shared.errors import SettingError

    with pytest.raises(SettingError, match="LEADSCORE_PARTITIONS is 8, but the stream was made with 16"):
        async with Suite(replace(settings, partitions=8)) as other:
            await other.start("ingest")


@pytest.mark.parametrize("key", ["", "wrong", "a-key"])
async def test_only_the_key_opens_the_door_and_only_it_may_name_a_tenant(settings: Settings, key: str) -> None:
    closed = replace(settings, anonymous=False, admin_key_sha256=hash_key("a-key"))
    async with Suite(closed) as suite:
        await suite.start("ingest")
        metadata = (("authorization", f"Bearer {key}"), ("x-tenant-id", "acme")) if key else ()
        request = contract.PublishEventRequest(event=event("e1"))
        if key == "a-key":
            assert (await suite.ingest.PublishEvent(request, metadata=metadata)).event_id == "e1"
            return
        with pytest.raises(aio.AioRpcError) as caught:
            await suite.ingest.PublishEvent(request, metadata=metadata)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_tenant_id_that_could_not_be_a_subject_is_refused(settings: Settings) -> None:
    async with Suite(replace(settings, admin_key_sha256=hash_key("a-key"))) as suite:
        await suite.start("ingest")
        metadata = (("authorization", "Bearer a-key"), ("x-tenant-id", "a.>"))
        with pytest.raises(aio.AioRpcError) as caught:
            await suite.ingest.PublishEvent(contract.PublishEventRequest(event=event("e1")), metadata=metadata)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
