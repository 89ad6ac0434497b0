"""Reads on a real database: order, pages, ranks, tokens."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
import psycopg
import pytest
from google.protobuf import json_format, struct_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query
from psycopg import sql

from services.shared.settings import Settings
from services.shared.tokens import encode_page, encode_positions
from tests.parts import Suite

TYPES = ["page_view", "email_open", "form_submission"]
POINTS = {"page_view": 5, "email_open": 10, "form_submission": 20}


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite


@pytest.fixture
async def readers(settings: Settings) -> AsyncIterator[Suite]:
    """Query alone, on tables that the test fills."""
    async with Suite(settings) as suite:
        await suite.start("query")
        yield suite


async def publish(suite: Suite, events: list[event_pb2.Event]) -> str:
    answer = await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
    assert answer.rejected == 0
    return answer.consistency_token


def events(chance: random.Random, leads: int, count: int) -> list[event_pb2.Event]:
    return [
        event_pb2.Event(event_id=f"e{number}", lead_id=f"lead/{chance.randrange(leads)}+ä", type=chance.choice(TYPES))
        for number in range(count)
    ]


async def pages(suite: Suite, size: int, token: str) -> list[query.LeaderboardEntry]:
    entries: list[query.LeaderboardEntry] = []
    page = ""
    while True:
        request = query.ListLeaderboardRequest(page_size=size, page_token=page, consistency_token=token)
        answer = await suite.query.ListLeaderboard(request)
        assert len(answer.entries) <= size
        entries += answer.entries
        page = answer.next_page_token
        if not page:
            return entries


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_pages_of_any_size_give_every_lead_once_in_order_with_shared_ranks(suite: Suite, size: int) -> None:
    sent = events(random.Random(1), leads=40, count=70)
    token = await publish(suite, sent)
    scores: dict[str, int] = {}
    for event in sent:
        scores[event.lead_id] = scores.get(event.lead_id, 0) + POINTS[event.type]
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0].encode()))
    entries = await pages(suite, size, token)
    assert [(each.lead_id, each.score) for each in entries] == ordered
    assert [each.rank for each in entries] == [
        1 + sum(other > score for other in scores.values()) for _, score in ordered
    ]
    for lead_id, score in ordered[::7]:
        rank = await suite.query.GetRank(query.GetRankRequest(lead_id=lead_id))
        assert rank.rank == 1 + sum(other > score for other in scores.values())
        assert rank.total_leads == len(scores)
        lead = await suite.query.GetLead(query.GetLeadRequest(lead_id=lead_id))
        assert (lead.score, lead.rank, lead.status) == (score, rank.rank, "new")


async def test_leads_that_do_not_move_are_neither_skipped_nor_shown_twice_while_others_move(suite: Suite) -> None:
    quiet = [event_pb2.Event(lead_id=f"quiet-{number}", type="email_open") for number in range(9)]
    token = await publish(suite, quiet)
    seen: list[str] = []
    page = ""
    for number in range(20):
        request = query.ListLeaderboardRequest(page_size=2, page_token=page, consistency_token=token)
        answer = await suite.query.ListLeaderboard(request)
        seen += [each.lead_id for each in answer.entries]
        page = answer.next_page_token
        if not page:
            break
        token = await publish(suite, [event_pb2.Event(lead_id=f"loud-{number}", type="form_submission")])
    assert [each for each in seen if each.startswith("quiet")] == [f"quiet-{number}" for number in range(9)]


async def test_a_history_is_newest_first_page_by_page_and_adds_up(suite: Suite) -> None:
    token = await publish(
        suite, [event_pb2.Event(event_id=f"e{n}", lead_id="ada", type=TYPES[n % 3]) for n in range(7)]
    )
    rows: list[query.LedgerEntry] = []
    page = ""
    while True:
        answer = await suite.query.ListHistory(
            query.ListHistoryRequest(lead_id="ada", page_size=3, page_token=page, consistency_token=token)
        )
        rows += answer.entries
        page = answer.next_page_token
        if not page:
            break
    assert [row.sequence for row in rows] == [7, 6, 5, 4, 3, 2, 1]
    assert [row.event_id for row in rows] == [f"e{number}" for number in reversed(range(7))]
    assert sum(row.delta for row in rows) == rows[0].score_after == 75
    assert all(sum(each.points for each in row.contributions) == row.delta for row in rows)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetLead", query.GetLeadRequest(lead_id="nobody")),
        ("GetLead", query.GetLeadRequest(lead_id="nobody\0at all")),
        ("GetRank", query.GetRankRequest(lead_id="nobody")),
        ("ListHistory", query.ListHistoryRequest(lead_id="nobody")),
        ("ListEvents", query.ListEventsRequest(lead_id="nobody")),
        ("GetScoreSeries", query.GetScoreSeriesRequest(lead_id="nobody")),
        ("ListLeaderboard", query.ListLeaderboardRequest(around_lead_id="nobody")),
        ("GetImport", query.GetImportRequest(import_id="nothing")),
        ("ListImportErrors", query.ListImportErrorsRequest(import_id="nothing")),
    ],
)
async def test_what_is_not_known_is_not_found(suite: Suite, method: str, request_: Any) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await getattr(suite.query, method)(request_)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ListLeaderboard", query.ListLeaderboardRequest(page_token="garbage")),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_token="gqNhYmMB")),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_token=encode_page((5, "nul\0")))),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_token=encode_page((2**40, "ada")))),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_token=encode_page(7))),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_size=1001)),
        ("ListLeaderboard", query.ListLeaderboardRequest(page_size=-1)),
        ("ListLeaderboard", query.ListLeaderboardRequest(consistency_token="x")),
        ("ListHistory", query.ListHistoryRequest(lead_id="ada", page_token=encode_page(2**64 - 1))),
        ("ListHistory", query.ListHistoryRequest(lead_id="ada", page_token=encode_page((5, "ada")))),
        ("ListImportErrors", query.ListImportErrorsRequest(import_id="i", page_token=encode_page((2**63, "")))),
        ("ListImportErrors", query.ListImportErrorsRequest(import_id="i", page_token=encode_page((1, "\0")))),
        ("ListImportErrors", query.ListImportErrorsRequest(import_id="not an id")),
    ],
)
async def test_a_request_that_cannot_be_is_refused(suite: Suite, method: str, request_: Any) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await getattr(suite.query, method)(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_history_behind_its_first_change_is_empty(suite: Suite) -> None:
    token = await publish(suite, [event_pb2.Event(lead_id="ada", type="purchase")])
    request = query.ListHistoryRequest(lead_id="ada", page_token=encode_page(0), consistency_token=token)
    assert list((await suite.query.ListHistory(request)).entries) == []


async def test_an_entry_shows_a_name_and_a_company_only_if_they_are_texts(suite: Suite) -> None:
    token = ""
    for lead_id, profile in (("ada", '{"name": "Ada", "company": 7}'), ("eve", '{"budget": 1}')):
        values = json_format.Parse(profile, struct_pb2.Struct())
        answer = await suite.ingest.UpsertLead(ingest.UpsertLeadRequest(lead_id=lead_id, profile=values))
        token = answer.consistency_token
        await suite.query.ListLeaderboard(query.ListLeaderboardRequest(consistency_token=token))
    entries = await pages(suite, 10, token)
    assert {each.lead_id: (each.name, each.company) for each in entries} == {"ada": ("Ada", ""), "eve": ("", "")}


@asynccontextmanager
async def outage(suite: Suite) -> AsyncIterator[None]:
    """The database takes no connection, and ends those that are open."""
    url = suite.settings.database_url
    name = urlsplit(url).path.removeprefix("/")
    server = url.replace(f"/{name}", "/postgres")
    # Not those of autovacuum, which are not ours to end.
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
    allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        try:
            connection.execute(end, [name])
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


async def test_reads_say_that_the_database_is_away_and_answer_again_when_it_is_back(suite: Suite) -> None:
    token = await publish(suite, [event_pb2.Event(lead_id="ada", type="purchase")])
    await pages(suite, 10, token)
    later = encode_positions({0: 1_000_000})
    async with outage(suite):
        for request in (
            query.GetLeadRequest(lead_id="ada"),
            query.GetLeadRequest(lead_id="a", consistency_token=later),
        ):
            with pytest.raises(aio.AioRpcError) as caught:
                await suite.query.GetLead(request)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    lead = await suite.query.GetLead(query.GetLeadRequest(lead_id="ada", consistency_token=token))
    assert lead.score == 100


async def test_connections_that_the_server_has_closed_meanwhile_are_replaced_before_anybody_reads_through_them(
    suite: Suite,
) -> None:
    token = await publish(suite, [event_pb2.Event(lead_id="ada", type="purchase")])
    await suite.query.GetLead(query.GetLeadRequest(lead_id="ada", consistency_token=token))
    end = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'leadscore-query'"
    )
    with psycopg.connect(suite.settings.database_url, autocommit=True) as connection:
        ended = connection.execute(end).fetchall()
    assert ended and all(each for (each,) in ended)
    assert (await suite.query.GetLead(query.GetLeadRequest(lead_id="ada"))).score == 100


async def test_health_tells_that_the_database_is_away_and_that_it_is_back(suite: Suite) -> None:
    channel = suite.running["query"].channel
    assert channel is not None
    request = health_pb2.HealthCheckRequest(service="leadscore.query.v1.QueryService")
    stub: Any = health_pb2_grpc.HealthStub(channel)
    states = stub.Watch(request)

    async def until(status: int) -> None:
        async with asyncio.timeout(20):
            while (await states.read()).status != status:
                pass

    await until(health_pb2.HealthCheckResponse.SERVING)
    async with outage(suite):
        await until(health_pb2.HealthCheckResponse.NOT_SERVING)
    await until(health_pb2.HealthCheckResponse.SERVING)
    states.cancel()


@pytest.mark.parametrize(
    ("reading", "token", "expected"),
    [
        (ingest.IMPORT_READING_RUNNING, {1: 10}, (query.IMPORT_STATE_RUNNING, 2)),
        (ingest.IMPORT_READING_COMPLETE, {1: 11}, (query.IMPORT_STATE_RUNNING, 2)),
        (ingest.IMPORT_READING_COMPLETE, {1: 10}, (query.IMPORT_STATE_DONE, 5)),
        (ingest.IMPORT_READING_COMPLETE, {}, (query.IMPORT_STATE_DONE, 5)),
        (ingest.IMPORT_READING_FAILED, {1: 11}, (query.IMPORT_STATE_FAILED, 2)),
        (ingest.IMPORT_READING_FAILED, {1: 10}, (query.IMPORT_STATE_FAILED, 5)),
    ],
)
async def test_an_import_is_done_when_all_of_it_is_read_and_scored(
    readers: Suite, reading: int, token: dict[int, int], expected: tuple[int, int]
) -> None:
    with psycopg.connect(readers.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO partitions (partition, position) VALUES (1, 10)"
            " ON CONFLICT (partition) DO UPDATE SET position = excluded.position"
        )
        connection.execute(
            "INSERT INTO imports (tenant_id, import_id, reading, rows_read, rows_rejected, reason, token)"
            " VALUES ('demo', 'i1', %s, 100, 5, 'because', %s)",
            [reading, encode_positions(token)],
        )
        for partition, accepted, duplicates, conflicts in ((1, 50, 1, 0), (2, 37, 1, 3)):
            connection.execute(
                "INSERT INTO import_counts VALUES ('demo', 'i1', %s, %s, %s, %s)",
                [partition, accepted, duplicates, conflicts],
            )
    found = await readers.query.GetImport(query.GetImportRequest(import_id="i1"))
    assert (found.state, found.duplicates) == expected
    assert (found.rows_read, found.accepted, found.conflicts, found.rejected) == (100, 87, 3, 5)
    assert found.reason == "because"


async def test_the_refused_rows_of_an_import_come_in_the_order_of_the_file_page_by_page(readers: Suite) -> None:
    refused = sorted((row, field) for row in (3, 20, 100) for field in ("", "lead_id", "ts"))
    with psycopg.connect(readers.settings.database_url) as connection:
        connection.execute("INSERT INTO imports (tenant_id, import_id) VALUES ('demo', 'i1')")
        for row, field in reversed(refused):
            connection.execute("INSERT INTO import_errors VALUES ('demo', 'i1', %s, %s, 'is bad')", [row, field])
    found: list[tuple[int, str]] = []
    page = ""
    while True:
        request = query.ListImportErrorsRequest(import_id="i1", page_size=2, page_token=page)
        answer = await readers.query.ListImportErrors(request)
        found += [(each.row, each.field) for each in answer.errors]
        page = answer.next_page_token
        if not page:
            break
    assert found == refused


async def test_a_token_that_the_scorer_does_not_reach_ends_at_the_deadline_and_says_how_far_behind(
    suite: Suite,
) -> None:
    request = query.ListLeaderboardRequest(consistency_token=encode_positions({3: 1_000_000}))
    with pytest.raises(aio.AioRpcError) as caught:
        await suite.query.ListLeaderboard(request, timeout=0.6)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "partition 3 by 1000000" in (caught.value.details() or "")


async def test_a_tenant_sees_only_its_own(suite: Suite, settings: Settings) -> None:
    token = await publish(suite, [event_pb2.Event(lead_id="ada", type="purchase")])
    await pages(suite, 10, token)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("UPDATE leads SET tenant_id = 'other'")
        connection.execute("UPDATE score_counts SET tenant_id = 'other'")
    assert await pages(suite, 10, token) == []
    with pytest.raises(aio.AioRpcError):
        await suite.query.GetLead(query.GetLeadRequest(lead_id="ada"))
