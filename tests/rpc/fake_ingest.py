"""An ingest service without a stream behind it: it remembers what it was sent, and breaks when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from services.shared.errors import CallerError, Unauthenticated
from services.shared.server import OPTIONS
from services.shared.statuses import to_status
from services.shared.tokens import encode_positions

Context = aio.ServicerContext[Any, Any]


class FakeIngest(ingest_service_pb2_grpc.IngestServiceServicer):
    """Accepts all events but those without a lead. What happens to the n-th batch (from 1) can be planned."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.batches: list[contract.StreamEventsRequest] = []
        self.streams = 0
        self.reports: list[contract.ReportImportRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.key = ""
        self.fail_before: dict[int, CallerError] = {}
        """Batches refused before anything of them was kept."""
        self.fail_after: dict[int, CallerError] = {}
        """Batches kept, but never answered."""
        self.silent: set[int] = set()
        """Batches after which the stream says nothing more."""
        self.end_before: set[int] = set()
        """Batches before which the stream ends as if all was well."""
        self.report_failures: list[CallerError] = []
        """What the next reports meet."""
        self.reported = asyncio.Event()
        self.reached = asyncio.Event()
        """Set when the first batch has come."""
        self.going_on = asyncio.Event()
        self.going_on.set()
        """Cleared: answers wait until it is set."""

    async def StreamEvents(
        self, request_iterator: AsyncIterator[contract.StreamEventsRequest], context: Context
    ) -> AsyncIterator[contract.StreamEventsResponse]:
        self.streams += 1
        await self._admit(context)
        async for request in request_iterator:
            self.batches.append(request)
            self.reached.set()
            number = len(self.batches)
            if number in self.end_before:
                return
            if error := self.fail_before.get(number):
                await context.abort_with_status(to_status(error))
            answer = self._keep(request)
            if error := self.fail_after.get(number):
                await context.abort_with_status(to_status(error))
            if number in self.silent:
                await asyncio.Event().wait()
            await self.going_on.wait()
            yield answer

    async def ReportImport(
        self, request: contract.ReportImportRequest, context: Context
    ) -> contract.ReportImportResponse:
        await self._admit(context)
        if self.report_failures:
            await context.abort_with_status(to_status(self.report_failures.pop(0)))
        self.reports.append(request)
        self.reported.set()
        return contract.ReportImportResponse(consistency_token=encode_positions({1: len(self.reports)}))

    async def PublishEvent(self, request: Any, context: Context) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    PublishEach = PublishEvent
    PublishEvents = PublishEvent
    UpsertLead = PublishEvent
    UpsertLeads = PublishEvent
    SetLeadStatus = PublishEvent
    AssignLead = PublishEvent
    AddNote = PublishEvent
    DeleteLead = PublishEvent

    async def _admit(self, context: Context) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.metadata.append(metadata)
        if self.key and metadata.get("authorization") != f"Bearer {self.key}":
            await context.abort_with_status(to_status(Unauthenticated("the key is not known")))

    def _keep(self, request: contract.StreamEventsRequest) -> contract.StreamEventsResponse:
        answer = contract.StreamEventsResponse()
        for index, event in enumerate(request.events):
            if not event.lead_id:
                violation = contract.Violation(field="lead_id", description="must not be empty")
                answer.rejections.add(index=index, violations=[violation])
            elif event.event_id in self.events:
                answer.duplicates += 1
            else:
                self.events[event.event_id] = event
                answer.accepted += 1
        answer.consistency_token = encode_positions({0: len(self.events)})
        return answer


@asynccontextmanager
async def served(ingest: FakeIngest, port: int = 0) -> AsyncIterator[int]:
    """Serves it, and answers the port."""
    server = aio.server(options=OPTIONS)
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(ingest, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


@asynccontextmanager
async def stub_of(port: int) -> AsyncIterator[ingest_service_pb2_grpc.IngestServiceAsyncStub]:
    """A stub that looks again quickly when the service comes back."""
    options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100))
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield ingest_service_pb2_grpc.IngestServiceStub(channel)


def code_of(error: BaseException | None) -> grpc.StatusCode:
    """The code of a gRPC error."""
    assert isinstance(error, aio.AioRpcError)
    return error.code()
