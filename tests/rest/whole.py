"""The whole suite with its gateway and a key, filled with generated leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.model.v1 import model_pb2
from leadscore.query.v1 import analytics_pb2
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from embedded.nats import NatsServer
from embedded.postgres import Postgres
from gateway.__main__ import start as start_gateway
from gateway.routes import ROUTED
from services.shared.lifecycle import Process
from services.shared.settings import Settings
from services.shared.tokens import decode_positions, encode_positions, merge_positions
from tests.conftest import ADMIN_KEY, own_database, own_settings
from tests.parts import Suite
from tests.shop import Row, requests, shop_rows

DEADLINE_S = 30.0
SERVICES = ("ingest", "scorer", "query")
METHODS: dict[str, tuple[str, MethodDescriptor]] = {
    method.name: (service, method) for service, descriptor in ROUTED for method in descriptor.methods
}
"""All RPCs by name, each with the process that hosts it."""


@dataclass(frozen=True)
class Whole:
    """A running suite, as callers see it."""

    channels: dict[str, aio.Channel]
    gateway: str
    """The gateway's address for HTTP."""
    beginning: str
    """A resume token from before anything was scored."""
    leads: list[str]
    """Leads that are known, the most active first."""

    def open(self, name: str, request: Any, key: str = ADMIN_KEY) -> Any:
        """An RPC by its name, begun."""
        return call(self.channels, name, request, key)


def call(channels: dict[str, aio.Channel], name: str, request: Any, key: str = ADMIN_KEY) -> Any:
    """An RPC by its name, begun: to be awaited, or to be read message by message."""
    service, method = METHODS[name]
    kinds: dict[str, Any] = {
        "request_serializer": message_factory.GetMessageClass(method.input_type).SerializeToString,
        "response_deserializer": message_factory.GetMessageClass(method.output_type).FromString,
    }
    channel, path = channels[service], f"/{method.containing_service.full_name}/{name}"
    options: dict[str, Any] = {"metadata": (("authorization", f"Bearer {key}"),), "timeout": DEADLINE_S}
    if method.client_streaming:
        return channel.stream_stream(path, **kinds)(request, **options)
    if method.server_streaming:
        return channel.unary_stream(path, **kinds)(request, **options)
    return channel.unary_unary(path, **kinds)(request, **options)


@asynccontextmanager
async def running(postgres: Postgres, folder: Path) -> AsyncIterator[Whole]:
    """A filled suite on a database and a nats-server of its own, for all tests of a file: filling takes longer than
    asking.
    """
    nats_server = NatsServer(folder)
    await nats_server.start()
    try:
        with own_database(postgres) as database_url:
            async with whole_suite(own_settings(database_url, nats_server.url)) as whole:
                yield whole
    finally:
        await nats_server.stop()


@asynccontextmanager
async def whole_suite(settings: Settings) -> AsyncIterator[Whole]:
    """A suite with a key and its gateway, filled."""
    async with AsyncExitStack() as stack:
        suite = await stack.enter_async_context(Suite(replace(settings, anonymous=False, admin_key=ADMIN_KEY)))
        await suite.start(*SERVICES)
        channels: dict[str, Any] = {name: suite.running[name].channel for name in SERVICES}
        addresses: Any = {f"{name}_address": f"127.0.0.1:{suite.running[name].process.port}" for name in SERVICES}
        process = Process()
        await start_gateway(replace(suite.settings, **addresses), stack, process)
        beginning, leads = await _fill(channels)
        yield Whole(channels, f"127.0.0.1:{process.port}", beginning, leads)


async def _fill(channels: dict[str, Any]) -> tuple[str, list[str]]:
    watching = call(channels, "WatchScores", query.WatchScoresRequest())
    beginning = (await watching.read()).resume_token
    watching.cancel()
    rows = shop_rows(rows=400, leads=12)
    leads = sorted({row.user_id for row in rows}, key=lambda lead: (-sum(row.user_id == lead for row in rows), lead))
    tokens = [*await _send(channels, rows), await _recent(channels, leads)]
    for number, lead in enumerate(leads):
        tokens += await _know(channels, lead, number)
    token = encode_positions(merge_positions([decode_positions(each) for each in tokens]))
    await _report(channels, token)
    await call(channels, "GetSources", analytics_pb2.GetSourcesRequest(consistency_token=token))
    await _set_up_models(channels)
    return beginning, leads


async def _send(channels: dict[str, Any], rows: list[Row]) -> list[str]:
    return [answer.consistency_token async for answer in call(channels, "StreamEvents", requests(rows, "shop"))]


async def _recent(channels: dict[str, Any], leads: list[str]) -> str:
    """Events of the last days, from several sources."""
    now = datetime.now(UTC)
    events = []
    for number, lead in enumerate(leads * 3):
        source = ("newsletter", "shop", "fair")[number % 3]
        event = event_pb2.Event(event_id=f"recent-{number}", lead_id=lead, type="page_view", source=source)
        event.occurred_at.FromDatetime(now - timedelta(hours=7 * number))
        event.properties.update({"total": number * 1.5, "tags": ["a", {"b": None}], "is_new": number % 2 == 0})
        events.append(event)
    answer = await call(channels, "PublishEvents", ingest.PublishEventsRequest(events=events))
    return str(answer.consistency_token)


async def _know(channels: dict[str, Any], lead: str, number: int) -> list[str]:
    """What people say of a lead."""
    profile = ingest.UpsertLeadRequest(lead_id=lead)
    company = ("Acme", "Löwenbräu", "Globex")[number % 3]
    profile.profile.update({"name": f"Lead {number}", "company": company, "budget": 5_000 * number, "industry": "tech"})
    said: list[tuple[str, Any]] = [
        ("UpsertLead", profile),
        ("AddNote", ingest.AddNoteRequest(lead_id=lead, text=f"Note {number}\nof two lines", author="Ada")),
        ("AssignLead", ingest.AssignLeadRequest(lead_id=lead, owner=f"seller-{number % 2}@example.org")),
    ]
    if number % 2:
        status = ("contacted", "qualified", "won", "lost")[number // 2 % 4]
        said.append(("SetLeadStatus", ingest.SetLeadStatusRequest(lead_id=lead, status=status)))
    if number == 1:
        said.append(("OverrideScore", scorer.OverrideScoreRequest(lead_id=lead, score=77, reason="met at the fair")))
    return [(await call(channels, name, request)).consistency_token for name, request in said]


async def _report(channels: dict[str, Any], token: str) -> None:
    """Two imports: one with refused rows, one that broke off."""
    rejections = [ingest.RowRejection(row=row, field="ts", description="is no time") for row in (3, 7, 8)]
    for import_id, reading, reason in (
        ("shop", ingest.IMPORT_READING_COMPLETE, ""),
        ("broken", ingest.IMPORT_READING_FAILED, "the disk is full"),
    ):
        report = ingest.ReportImportRequest(
            import_id=import_id, report_number=1, reading=reading, file_name=f"{import_id}.csv", rows_read=403,
            rows_rejected=3, rejections=rejections, reason=reason, consistency_token=token,
        )  # fmt: skip
        answer = await call(channels, "ReportImport", report)
        seen = query.GetImportRequest(import_id=import_id, consistency_token=answer.consistency_token)
        await call(channels, "GetImport", seen)


async def _set_up_models(channels: dict[str, Any]) -> None:
    """A draft beside the published version, and a rescore that is done."""
    rule = model_pb2.Rule(
        name="visit", event_type="page_*", points=7.5, condition='event.source == "shop"',
        frequency=model_pb2.Frequency(count_max=50), weight=model_pb2.Weight(half_life_days=30),
    )  # fmt: skip
    definition = model_pb2.ModelDefinition(rules=[rule], engagement_max=500, aliases={"visit": "page_view"})
    await call(channels, "CreateDraft", scorer.CreateDraftRequest(definition=definition, comment="a try"))
    operation = await call(channels, "Rescore", scorer.RescoreRequest())
    request = scorer.GetOperationRequest(operation_id=operation.operation_id)
    while (await call(channels, "GetOperation", request)).state == scorer.OPERATION_STATE_RUNNING:
        pass
