"""Reads on a real database: order, pages, ranks, tokens."""

import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psycopg
import pytest
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query

from services.shared.settings import Settings
from services.shared.tokens import encode_positions
from tests.parts import Suite

TYPES = ["page_view", "email_open", "form_submission"]
POINTS = {"page_view": 5, "email_open": 10, "form_submission": 20}


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
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
        ("GetRank", query.GetRankRequest(lead_id="nobody")),
        ("ListHistory", query.ListHistoryRequest(lead_id="nobody")),
        ("GetImport", query.GetImportRequest(import_id="nothing")),
        ("ListImportErrors", query.ListImportErrorsRequest(import_id="nothing")),
    ],
)
async def test_what_is_not_known_is_not_found(suite: Suite, method: str, request_: Any) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await getattr(suite.query, method)(request_)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "request_",
    [
        query.ListLeaderboardRequest(page_token="garbage"),
        query.ListLeaderboardRequest(page_token="gqNhYmMB"),
        query.ListLeaderboardRequest(page_size=1001),
        query.ListLeaderboardRequest(page_size=-1),
        query.ListLeaderboardRequest(consistency_token="x"),
    ],
)
async def test_a_request_that_cannot_be_is_refused(suite: Suite, request_: query.ListLeaderboardRequest) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await suite.query.ListLeaderboard(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


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
