"""The erasure of a lead on real servers: nothing of it stays, nothing of it comes back, and all figures are right."""

from __future__ import annotations

import asyncio
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
from services.shared.facts.publishing import Publisher
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
    token = await send(suite, event("a0", "grace", "purchase"), event("g1", LEAD, "purchase"))
    await lead(suite, token)
    return token


def everything(settings: Settings) -> str:
    """All that is stored, as one text."""
    with psycopg.connect(settings.database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row for (name,) in tables for row in connection.execute(f"SELECT * FROM {name}").fetchall()]
    return "\n".join(map(repr, rows))


async def told(settings: Settings) -> None:
    """Waits until what was committed is announced and known to be."""
    async with asyncio.timeout(20):
        async with await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True) as looking:
            while await (await looking.execute("SELECT count(*) FROM outbox")).fetchone() != (0,):
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


async def test_every_read_about_an_erased_lead_finds_nothing_and_the_others_move_up(suite: Suite) -> None:
    await live(suite)
    token = await erase(suite)
    reads: list[tuple[Any, Any]] = [
        (suite.query.GetLead, query.GetLeadRequest),
        (suite.query.GetRank, query.GetRankRequest),
        (suite.query.ListHistory, query.ListHistoryRequest),
        (suite.query.ListEvents, query.ListEventsRequest),
        (suite.query.GetScoreSeries, query.GetScoreSeriesRequest),
        (suite.scorer.ExplainScore, scorer.ExplainScoreRequest),
        (suite.scorer.ForecastScore, scorer.ForecastScoreRequest),
    ]
    for call, request in reads:
        with pytest.raises(aio.AioRpcError, match="nothing is known") as refused:
            await call(request(lead_id=LEAD, consistency_token=token))
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    past = scorer.ExplainScoreRequest(lead_id=LEAD)
    past.as_of.FromSeconds(1_750_000_000)
    with pytest.raises(aio.AioRpcError, match="nothing was known"):
        await suite.scorer.ExplainScore(past)
    request = export.ExportRequest(kind=export.EXPORT_KIND_LEDGER, format=export.EXPORT_FORMAT_CSV, lead_id=LEAD)
    with pytest.raises(aio.AioRpcError, match="nothing is known"):
        await suite.query.Export(request).read()
    board = await suite.query.ListLeaderboard(query.ListLeaderboardRequest())
    assert [(entry.rank, entry.lead_id) for entry in board.entries] == [(1, "grace")]
    assert board.total_leads == 1
    for search in ("ada", "lovelace", "analytical"):
        assert not (await suite.query.ListLeads(query.ListLeadsRequest(search=search))).leads
    movers = await suite.query.ListMovers(query.ListMoversRequest())
    assert [each.lead_id for each in movers.leads] == ["grace"]


async def test_the_audit_log_says_that_and_by_whom_somebody_was_erased_and_not_who(suite: Suite) -> None:
    await live(suite)
    await lead(suite, await erase(suite, event_id="DSR-17"))
    entries = (await suite.admin.ListAudit(admin.ListAuditRequest())).entries
    found = [(entry.action, entry.subject, bool(entry.actor), dict(entry.details)) for entry in entries]
    assert found == [("lead.erase", "erasure/DSR-17", True, {}), ("override.set", "erased lead", True, {})]


async def test_what_is_sent_after_an_erasure_begins_a_new_lead(suite: Suite) -> None:
    await live(suite)
    await erase(suite)
    found = await lead(suite, await send(suite, event("new", kind="email_open")))
    assert found is not None
    assert (found.score, found.version, found.event_count, found.status) == (10, 1, 1, "new")
    assert not found.profile and not found.notes and not found.owner
    history = await suite.query.ListHistory(query.ListHistoryRequest(lead_id=LEAD))
    assert [(entry.sequence, entry.score_before, entry.event_id) for entry in history.entries] == [(1, 0, "new")]
    found = await lead(suite, await send(suite, event("newer", kind="email_open")))
    assert found is not None and found.score == 20


async def test_what_was_sent_before_an_erasure_does_not_come_back_when_it_is_sent_again(
    suite: Suite, bus: Bus, settings: Settings
) -> None:
    first = [event(f"e{number}") for number in range(3)]
    await send(suite, *first)
    await lead(suite, await erase(suite))
    token = await put(bus, "late", *((stream_pb2.FACT_KIND_EVENT, each) for each in first))
    assert await lead(suite, token) is None
    token = await put(bus, "new and late", fact("e9"), fact("e1"), fact("e2"))
    assert (found := await lead(suite, token)) is not None and found.score == 5
    assert await lead(suite, await put(bus, "later", fact("e0"))) is not None
    # Another content under such an id is set apart: the first stands, also if nobody knows any more what it was.
    await lead(suite, await put(bus, "other", fact("e0", kind="purchase")))
    held = (await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest())).items
    assert [(item.event_id, item.lead_id, item.standing_lead_id) for item in held] == [("e0", LEAD, "")]
    assert (found := await lead(suite, token)) is not None and found.score == 5


async def test_of_facts_in_one_batch_those_before_the_erasure_go_and_those_behind_it_stay(
    suite: Suite, bus: Bus, settings: Settings
) -> None:
    await live(suite)
    token = await put(
        bus, "batch", fact("b1"), fact("a1"), fact("b2", kind="purchase"), fact("a2", kind="purchase"), erasure("x1"),
        fact("b1"), fact("b3", kind="email_open"), fact("b2", kind="email_open"), erasure("x1"),
    )  # fmt: skip
    assert (found := await lead(suite, token)) is not None
    assert (found.score, found.version, found.event_count) == (10, 1, 1)
    held = (await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest())).items
    assert {(item.event_id, item.lead_id, item.standing_lead_id) for item in held} == {
        ("a0", "grace", ""),
        ("b2", LEAD, ""),
    }
    token = await put(bus, "twice", fact("c1"), erasure("x2"), fact("c2"), erasure("x3"), fact("c1"), fact("c2"))
    assert await lead(suite, token) is None
    assert LEAD not in [
        entry.lead_id for entry in (await suite.query.ListLeaderboard(query.ListLeaderboardRequest())).entries
    ]


async def test_an_erasure_that_is_sent_again_does_not_touch_the_lead_that_began_behind_it(
    suite: Suite, bus: Bus
) -> None:
    await send(suite, event("e1"))
    await put(bus, "once", erasure("x"))
    await send(suite, event("e2", kind="purchase"))
    found = await lead(suite, await put(bus, "again", erasure("x")))
    assert found is not None and found.score == 100
    request = ingest.DeleteLeadRequest(lead_id=LEAD, event_id="y")
    outcomes = [(await suite.ingest.DeleteLead(request)).outcome for _ in range(2)]
    assert outcomes == [ingest.OUTCOME_ACCEPTED, ingest.OUTCOME_DUPLICATE]


async def test_a_lead_that_nothing_is_known_of_can_be_erased(suite: Suite) -> None:
    for _ in range(2):
        assert await lead(suite, await erase(suite, "nobody"), "nobody") is None
    entries = (await suite.admin.ListAudit(admin.ListAuditRequest())).entries
    assert [entry.action for entry in entries] == ["lead.erase", "lead.erase"]


async def test_an_erasure_whose_id_was_taken_is_set_apart_and_done_when_it_is_released(suite: Suite) -> None:
    await send(suite, event("e1"))
    token = await erase(suite, event_id="e1")
    assert await lead(suite, token) is not None
    (item,) = (await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest())).items
    assert (item.kind, item.lead_id) == ("erasure", LEAD)
    released = await suite.scorer.ReleaseQuarantined(scorer.ReleaseQuarantinedRequest(item_id=item.item_id))
    assert await lead(suite, released.consistency_token) is None
    with pytest.raises(aio.AioRpcError, match="nothing with the id"):
        await suite.scorer.GetQuarantined(scorer.GetQuarantinedRequest(item_id=item.item_id))


async def test_an_item_whose_lead_is_erased_while_it_is_decided_about_leaves_nothing_behind(
    suite: Suite, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(suite)
    held = (await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest())).items
    item = next(item for item in held if item.lead_id == LEAD)
    publish = Publisher.publish

    async def publish_and_erase(self: Publisher, *arguments: Any) -> dict[int, int]:
        positions = await publish(self, *arguments)
        monkeypatch.setattr(Publisher, "publish", publish)
        await lead(suite, await erase(suite))
        return positions

    monkeypatch.setattr(Publisher, "publish", publish_and_erase)
    released = await suite.scorer.ReleaseQuarantined(scorer.ReleaseQuarantinedRequest(item_id=item.item_id))
    assert await lead(suite, released.consistency_token) is None
    await told(settings)
    assert LEAD not in everything(settings)


async def test_watchers_are_told_and_a_live_top_is_without_the_lead(suite: Suite) -> None:
    await lead(suite, await send(suite, event("e1"), event("g1", "grace", "email_open")), "grace")
    top: Any = suite.query.WatchLeaderboard(query.WatchLeaderboardRequest(size=5))
    assert {entry.lead_id for entry in (await top.read()).top.entries} >= {"grace"}
    watch: Any = suite.query.WatchScores(query.WatchScoresRequest(min_score=500, crossings_only=True))
    await watch.read()
    await erase(suite)
    async with asyncio.timeout(20):
        while not (message := await watch.read()).HasField("update"):
            pass
        update = message.update
        assert (update.lead_id, update.cause) == (LEAD, score_pb2.CAUSE_ERASURE)
        assert (update.previous_score, update.score, update.previous_grade, update.grade) == (5, 0, "D3", "")
        assert update.version == 2
        while [entry.lead_id for entry in (await top.read()).top.entries] != ["grace"]:
            pass


async def test_a_rescore_under_way_and_another_model_go_past_an_erased_lead(suite: Suite) -> None:
    await live(suite)
    await lead(suite, await send(suite, *(event(f"l{number}", f"lead {number}") for number in range(50))), "lead 49")
    draft = await suite.scorer.CreateDraft(scorer.CreateDraftRequest(from_version=1))
    publish = scorer.PublishModelRequest(version=draft.version, rescore=True)
    begun = await suite.scorer.PublishModel(publish)
    assert await lead(suite, await erase(suite)) is None
    request = scorer.GetOperationRequest(operation_id=begun.operation.operation_id)
    while (await suite.scorer.GetOperation(request)).state == scorer.OPERATION_STATE_RUNNING:
        pass
    assert await lead(suite, "") is None
    # Scored by a model that is not today's.
    draft = await suite.scorer.CreateDraft(scorer.CreateDraftRequest(from_version=1))
    await suite.scorer.PublishModel(scorer.PublishModelRequest(version=draft.version))
    assert await lead(suite, await erase(suite, "lead 3"), "lead 3") is None
    assert await lead(suite, "", "lead 4") is not None


@pytest.mark.parametrize("lead_id", ["", "x" * 201, "a\nb"])
async def test_what_is_no_lead_cannot_be_erased(suite: Suite, lead_id: str) -> None:
    with pytest.raises(aio.AioRpcError, match="lead_id") as refused:
        await suite.ingest.DeleteLead(ingest.DeleteLeadRequest(lead_id=lead_id))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
