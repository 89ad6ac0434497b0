"""The erasure of a lead on real servers: nothing of it stays, nothing of it comes back, and all figures are right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import psycopg
import pytest
from grpc import aio
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import export_pb2 as export
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.stream.v1 import stream_pb2

from services.shared import bus as stream
from services.shared.bus import Bus
from services.shared.facts.identity import content_digest, partition_of
from services.shared.settings import Settings
from services.shared.tokens import decode_positions, encode_positions, merge_positions
from tests.checks import BROKEN_LEDGERS, assert_sums_are_those_of_the_leads
from tests.parts import Suite

LEAD = "ada@example.org"
EVENTS_OF_ADA = ("page_view", "purchase", "unheard_of")


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite
        assert_sums_are_those_of_the_leads(settings.database_url)
        with psycopg.connect(settings.database_url) as connection:
            assert connection.execute(BROKEN_LEDGERS).fetchall() == []


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    """A way past ingest, whose repeats the stream would drop."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(stream.connect(settings, "test", lambda: None))


def event(event_id: str, lead_id: str = LEAD, kind: str = "page_view", **more: Any) -> event_pb2.Event:
    made = event_pb2.Event(event_id=event_id, lead_id=lead_id, type=kind, **more)
    made.occurred_at.seconds = 1_700_000_000
    return made


async def send(suite: Suite, *events: event_pb2.Event) -> str:
    return (await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))).consistency_token


async def erase(suite: Suite, lead_id: str = LEAD, event_id: str = "") -> str:
    answer = await suite.ingest.DeleteLead(ingest.DeleteLeadRequest(lead_id=lead_id, event_id=event_id))
    assert answer.event_id and answer.outcome == ingest.OUTCOME_ACCEPTED
    return answer.consistency_token


async def lead(suite: Suite, token: str, lead_id: str = LEAD) -> query.Lead | None:
    try:
        return await suite.query.GetLead(query.GetLeadRequest(lead_id=lead_id, consistency_token=token))
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        return None


async def put(bus: Bus, name: str, *batches: tuple[stream_pb2.FactKind.ValueType, event_pb2.Event]) -> str:
    """Puts facts about one lead into the stream that it has not seen before, at once."""
    messages, partition = [], partition_of("demo", batches[0][1].lead_id, bus.partitions)
    for number, (kind, fact) in enumerate(batches):
        batch = stream_pb2.FactBatch(received_at_us=1, kind=kind, events=[fact], digests=content_digest(fact))
        messages.append((partition, "demo", batch.SerializeToString(), f"{name} {number}"))
    return encode_positions({partition: (await bus.publish_facts(messages))[-1].sequence})


def erasure(event_id: str) -> tuple[stream_pb2.FactKind.ValueType, event_pb2.Event]:
    fact = event(event_id, kind="erasure")
    fact.properties.update({"actor": "kim"})
    return stream_pb2.FACT_KIND_ERASURE, fact


def fact(event_id: str, **more: Any) -> tuple[stream_pb2.FactKind.ValueType, event_pb2.Event]:
    return stream_pb2.FACT_KIND_EVENT, event(event_id, **more)


async def live(suite: Suite) -> str:
    """A lead with all that one can have, and another one beside it, whose event ids clash with its own."""
    await send(suite, *(event(f"a{number}", kind=kind) for number, kind in enumerate(EVENTS_OF_ADA)))
    profile = ingest.UpsertLeadRequest(lead_id=LEAD)
    profile.profile.update({"name": "Ada Lovelace", "company": "Analytical Engines", "budget": 60_000})
    await suite.ingest.UpsertLead(profile)
    await suite.ingest.SetLeadStatus(ingest.SetLeadStatusRequest(lead_id=LEAD, status="contacted"))
    await suite.ingest.AssignLead(ingest.AssignLeadRequest(lead_id=LEAD, owner="kim"))
    note = await suite.ingest.AddNote(ingest.AddNoteRequest(lead_id=LEAD, text="likes numbers"))
    override = scorer.OverrideScoreRequest(lead_id=LEAD, score=700, reason="countess")
    overridden = await suite.scorer.OverrideScore(override)
    tokens = [note.consistency_token, overridden.consistency_token]
    await lead(suite, encode_positions(merge_positions(map(decode_positions, tokens))))
    # Of two contents the first stands; ids are the tenant's, whatever the lead.
    tokens += [await send(suite, event("g1", "grace"), event("g2", "grace"))]
    await lead(suite, tokens[-1], "grace")
    tokens += [await send(suite, event("a0", "grace", "purchase"), event("g1", LEAD, "purchase"))]
    return encode_positions(merge_positions(map(decode_positions, tokens)))


def everything(settings: Settings) -> str:
    """All that is stored, as one text."""
    with psycopg.connect(settings.database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row for (name,) in tables for row in connection.execute(f"SELECT * FROM {name}").fetchall()]  # type: ignore[arg-type]
    return "\n".join(map(repr, rows))


async def told(settings: Settings) -> None:
    """Waits until what was committed is announced and known to be."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM outbox").fetchone() != (0,):
            pass


async def test_nothing_of_an_erased_lead_is_left_anywhere(suite: Suite, settings: Settings) -> None:
    token = await live(suite)
    assert (found := await lead(suite, token)) is not None
    assert (found.score, found.rank, found.status) == (700, 1, "contacted")
    held = await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest())
    assert {(item.lead_id, item.standing_lead_id) for item in held.items} == {(LEAD, "grace"), ("grace", LEAD)}
    await suite.scorer.DropQuarantined(
        scorer.DropQuarantinedRequest(item_id=next(item.item_id for item in held.items if item.lead_id == LEAD))
    )
    assert LEAD in everything(settings)
    token = await erase(suite, event_id="DSR-17")
    assert await lead(suite, token) is None
    await told(settings)
    stored = everything(settings)
    for name in (LEAD, "Ada", "lovelace", "likes numbers", "countess", "'a1'", "Engines"):
        assert name not in stored, [line for line in stored.splitlines() if name in line]
