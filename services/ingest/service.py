"""The RPCs of ingest: check, call, translate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from google.protobuf.struct_pb2 import Struct
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.stream.v1 import stream_pb2

from services.ingest.together import together
from services.ingest.validation import event_violations, profile_violations
from services.shared.clock import Clock
from services.shared.credentials import caller, idempotency_key
from services.shared.errors import CallerError, FieldViolation, InvalidRequest
from services.shared.facts.properties import Unfit, faults
from services.shared.facts.publishing import Fact, Publisher, identify
from services.shared.field_rules import check, violations_of
from services.shared.statuses import status_message
from services.shared.tokens import decode_positions, encode_positions

SERVICE_NAME = "leadscore.ingest.v1.IngestService"

Context = aio.ServicerContext[Any, Any]
Violations = dict[int, list[FieldViolation]]


MESSAGE_BYTES = 16 * 1024
"""Batches of a stream are published together up to about so much for each partition: four of 500 events where there are
sixteen. Bytes, because they also bound what of a stream waits here; more would win little."""


@dataclass(slots=True)
class Batch:
    """A batch of a stream, checked: the good events as facts, and what is wrong with the others."""

    import_id: str
    facts: Sequence[Fact]
    violations: Violations

    def answer(self, token: str) -> contract.StreamEventsResponse:
        """What became of it."""
        duplicates = sum(fact.duplicate for fact in self.facts)
        return contract.StreamEventsResponse(
            accepted=len(self.facts) - duplicates,
            duplicates=duplicates,
            rejections=[
                contract.Rejection(index=index, violations=_translate(found))
                for index, found in self.violations.items()
            ],
            consistency_token=token,
        )


class IngestService(ingest_service_pb2_grpc.IngestServiceServicer):
    """Takes facts in. Requests arrive unchecked, because those with many events are answered event by event."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def PublishEvent(
        self, request: contract.PublishEventRequest, context: Context
    ) -> contract.PublishEventResponse:
        """Publishes one event."""
        check(request)
        fact, token = await self._publish_one(request.event, stream_pb2.FACT_KIND_EVENT, context, "event.properties")
        return contract.PublishEventResponse(
            event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token
        )

    async def PublishEach(self, request: contract.PublishEachRequest, context: Context) -> contract.PublishEachResponse:
        """Publishes several events, each as PublishEvent does."""
        now_us = self._clock.now_us()
        violations = _field_violations(request, "requests")
        events = [each.event for each in request.requests]
        for index, event in enumerate(events):
            if index not in violations and (found := event_violations(event, now_us)):
                violations[index] = _inside("event", found)
        facts = _identified(events, violations, now_us, None, "event.properties")
        answers = await self._publisher.publish_each(caller().tenant_id, facts, stream_pb2.FACT_KIND_EVENT, now_us)
        refused: dict[int, CallerError] = {index: InvalidRequest(found) for index, found in violations.items()}
        published: dict[int, contract.PublishEventResponse] = {}
        for fact, answer in zip(facts, answers, strict=True):
            if isinstance(answer, CallerError):
                refused[fact.index] = answer
            else:
                published[fact.index] = contract.PublishEventResponse(
                    event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=encode_positions(answer)
                )
        return contract.PublishEachResponse(
            results=[
                contract.PublishEachResult(refused=status_message(refused[index]))
                if index in refused
                else contract.PublishEachResult(published=published[index])
                for index in range(len(events))
            ]
        )

    async def UpsertLead(self, request: contract.UpsertLeadRequest, context: Context) -> contract.UpsertLeadResponse:
        """Publishes a change of a profile."""
        check(request)
        if violations := profile_violations(request.profile):
            raise InvalidRequest(violations)
        event = _about_a_lead(request, "profile", request.profile)
        fact, token = await self._publish_one(event, stream_pb2.FACT_KIND_PROFILE, context, "profile")
        return contract.UpsertLeadResponse(
            event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token
        )

    async def UpsertLeads(self, request: contract.UpsertLeadsRequest, context: Context) -> contract.UpsertLeadsResponse:
        """Publishes several changes of profiles and answers each."""
        now_us = self._clock.now_us()
        violations = _field_violations(request, "leads")
        changes = [_about_a_lead(each, "profile", each.profile) for each in request.leads]
        for index, (lead, change) in enumerate(zip(request.leads, changes, strict=True)):
            if index not in violations and (
                found := profile_violations(lead.profile) or event_violations(change, now_us)
            ):
                violations[index] = found
        key = idempotency_key(context.invocation_metadata())
        facts = _identified(changes, violations, now_us, key, "profile")
        token = await self._publish(facts, stream_pb2.FACT_KIND_PROFILE, now_us)
        return contract.UpsertLeadsResponse(**_results(changes, violations, facts), consistency_token=token)

    async def SetLeadStatus(
        self, request: contract.SetLeadStatusRequest, context: Context
    ) -> contract.SetLeadStatusResponse:
        """Publishes a status."""
        check(request)
        event = _about_a_lead(request, "status", _struct(status=request.status))
        fact, token = await self._publish_one(event, stream_pb2.FACT_KIND_STATUS, context, "")
        return contract.SetLeadStatusResponse(
            event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token
        )

    async def AssignLead(self, request: contract.AssignLeadRequest, context: Context) -> contract.AssignLeadResponse:
        """Publishes an owner."""
        check(request)
        event = _about_a_lead(request, "owner", _struct(owner=request.owner))
        fact, token = await self._publish_one(event, stream_pb2.FACT_KIND_OWNER, context, "")
        return contract.AssignLeadResponse(
            event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token
        )

    async def AddNote(self, request: contract.AddNoteRequest, context: Context) -> contract.AddNoteResponse:
        """Publishes a note."""
        check(request)
        event = _about_a_lead(request, "note", _struct(text=request.text, author=request.author))
        fact, token = await self._publish_one(event, stream_pb2.FACT_KIND_NOTE, context, "")
        return contract.AddNoteResponse(event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token)

    async def DeleteLead(self, request: contract.DeleteLeadRequest, context: Context) -> contract.DeleteLeadResponse:
        """Publishes that a lead is to be erased."""
        check(request)
        said = _struct(actor=caller().actor)
        event = event_pb2.Event(event_id=request.event_id, lead_id=request.lead_id, type="erasure", properties=said)
        fact, token = await self._publish_one(event, stream_pb2.FACT_KIND_ERASURE, context, "")
        return contract.DeleteLeadResponse(
            event_id=fact.event.event_id, outcome=_outcome(fact), consistency_token=token
        )

    async def PublishEvents(
        self, request: contract.PublishEventsRequest, context: Context
    ) -> contract.PublishEventsResponse:
        """Publishes several events and answers each."""
        now_us = self._clock.now_us()
        violations = _check_each(request, request.events, now_us)
        facts = _identified(request.events, violations, now_us, idempotency_key(context.invocation_metadata()))
        if request.all_or_nothing and violations:
            raise InvalidRequest([
                FieldViolation(_join(f"events[{index}]", each.field), each.description)
                for index, found in violations.items()
                for each in found
            ])  # fmt: skip
        token = await self._publish(facts, stream_pb2.FACT_KIND_EVENT, now_us)
        return contract.PublishEventsResponse(**_results(request.events, violations, facts), consistency_token=token)

    async def StreamEvents(
        self, request_iterator: AsyncIterator[contract.StreamEventsRequest], context: Context
    ) -> AsyncIterator[contract.StreamEventsResponse]:
        """Publishes batch after batch. Those that come while others are being published are published together: their
        events share messages, each of which costs a write to the disk. Each batch is answered by itself, in order.
        """
        enough = MESSAGE_BYTES * self._publisher.partitions
        async with aclosing(together(request_iterator, _size, enough)) as gathered:
            async for requests in gathered:
                now_us = self._clock.now_us()
                batches, refused = await self._check_batches(requests, now_us)
                for import_id, group in groupby(batches, key=lambda batch: batch.import_id):
                    published = list(group)
                    facts = [fact for batch in published for fact in batch.facts]
                    token = await self._publish(facts, stream_pb2.FACT_KIND_EVENT, now_us, import_id)
                    for batch in published:
                        yield batch.answer(token)
                if refused is not None:
                    raise refused

    async def _check_batches(
        self, requests: Sequence[contract.StreamEventsRequest], now_us: int
    ) -> tuple[list[Batch], InvalidRequest | None]:
        """Batches up to the first that is wrong as a whole, and what is wrong with that."""
        batches: list[Batch] = []
        for request in requests:
            try:
                violations = _check_each(request, request.events, now_us)
            except InvalidRequest as error:
                return batches, error
            batches.append(Batch(request.import_id, _identified(request.events, violations, now_us, None), violations))
            await asyncio.sleep(0)  # Single events of others are not to wait for many batches of one.
        return batches, None

    async def ReportImport(
        self, request: contract.ReportImportRequest, context: Context
    ) -> contract.ReportImportResponse:
        """Publishes a report of an import."""
        check(request)
        decode_positions(request.consistency_token or encode_positions({}))
        batch = stream_pb2.FactBatch(received_at_us=self._clock.now_us(), import_report=request)
        positions = await self._publisher.publish_report(caller().tenant_id, batch)
        return contract.ReportImportResponse(consistency_token=encode_positions(positions))

    async def _publish_one(
        self, event: event_pb2.Event, kind: stream_pb2.FactKind.ValueType, context: Context, properties_field: str
    ) -> tuple[Fact, str]:
        """Publishes one fact, whose properties are the request's field of that name. Raises InvalidRequest."""
        now_us = self._clock.now_us()
        place, _, name = properties_field.rpartition(".")
        violations = {0: found} if (found := event_violations(event, now_us)) else {}
        facts = _identified([event], violations, now_us, idempotency_key(context.invocation_metadata()), name)
        if violations:
            raise InvalidRequest(_inside(place, violations[0]))
        return facts[0], await self._publish(facts, kind, now_us)

    async def _publish(
        self, facts: Sequence[Fact], kind: stream_pb2.FactKind.ValueType, now_us: int, import_id: str = ""
    ) -> str:
        positions = await self._publisher.publish(caller().tenant_id, facts, kind, now_us, import_id)
        return encode_positions(positions)


def _about_a_lead(request: Any, fact_type: str, said: Struct) -> event_pb2.Event:
    """A request that says something about a lead, as a fact."""
    event = event_pb2.Event(
        event_id=request.event_id, lead_id=request.lead_id, type=fact_type, source=request.source, properties=said
    )
    if request.HasField("occurred_at"):
        event.occurred_at.CopyFrom(request.occurred_at)
    return event


def _struct(**values: str) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def _check_each(request: Any, events: Sequence[event_pb2.Event], now_us: int) -> Violations:
    """The violations of each bad event by its index. Raises InvalidRequest if the request as a whole is wrong."""
    violations = _field_violations(request, "events")
    for index, event in enumerate(events):
        if found := event_violations(event, now_us):
            violations.setdefault(index, []).extend(found)
    return violations


def _identified(
    events: Sequence[event_pb2.Event], violations: Violations, now_us: int, key: str | None, name: str = "properties"
) -> list[Fact]:
    """The facts of the good events. Adds what is wrong with the properties of any event, which the request has under
    that name, to its violations, and brings these into the events' order.
    """
    facts = []
    for index, event in enumerate(events):
        try:
            if index in violations:
                violations[index] += faults(event.properties, name)
            else:
                facts.append(identify(index, event, now_us, key))
        except Unfit:
            violations[index] = faults(event.properties, name)
    for index in sorted(violations):
        violations[index] = violations.pop(index)
    return facts


def _field_violations(request: Any, items: str) -> Violations:
    """What the field rules find wrong with each of the items of a request, which are in its field of that name. Raises
    InvalidRequest if the request as a whole is wrong.
    """
    violations: Violations = {}
    of_request = []
    for each in violations_of(request):
        head, bracket, rest = each.field.partition("[")
        if head != items or not bracket:
            of_request.append(each)
            continue
        number, _, field = rest.partition("]")
        violations.setdefault(int(number), []).append(FieldViolation(field.lstrip("."), each.description))
    if of_request:
        raise InvalidRequest(of_request)
    return violations


def _results(events: Sequence[event_pb2.Event], violations: Violations, facts: Sequence[Fact]) -> dict[str, Any]:
    """What became of each, and the sums, as the fields of an answer."""
    by_index = {fact.index: fact for fact in facts}
    results = []
    for index, event in enumerate(events):
        if found := violations.get(index):
            outcome = contract.OUTCOME_REJECTED
        else:
            found, outcome = [], _outcome(by_index[index])
        results.append(contract.EventResult(event_id=event.event_id, outcome=outcome, violations=_translate(found)))
    duplicates = sum(fact.duplicate for fact in facts)
    return {
        "results": results,
        "accepted": len(facts) - duplicates,
        "duplicates": duplicates,
        "rejected": len(violations),
    }


def _outcome(fact: Fact) -> contract.Outcome.ValueType:
    return contract.OUTCOME_DUPLICATE if fact.duplicate else contract.OUTCOME_ACCEPTED


def _translate(violations: Iterable[FieldViolation]) -> list[contract.Violation]:
    return [contract.Violation(field=each.field, description=each.description) for each in violations]


def _inside(prefix: str, violations: Iterable[FieldViolation]) -> list[FieldViolation]:
    """Violations of a message that is in a field."""
    return [FieldViolation(_join(prefix, each.field), each.description) for each in violations]


def _join(prefix: str, field: str) -> str:
    return f"{prefix}.{field}" if prefix and field else prefix or field


def _size(request: contract.StreamEventsRequest) -> int:
    return max(1, request.ByteSize())  # Also requests of nothing are not to wait in any number.
