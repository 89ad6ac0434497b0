"""Pages of large items end early, whatever is listed: no answer is larger than what gRPC clients take by default."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.paging import PAGE_BYTES_MAX
from services.shared.settings import Settings
from tests.parts import Suite

ITEMS = 250
"""More than are read at a time."""
LARGE = 30_000
TEXT = f"repeat('x', {LARGE})"
NUMBERS = f"FROM generate_series(1, {ITEMS}) n"
JSON = f"jsonb_build_object('name', 'ada ' || n, 'text', {TEXT})"
FILL = (
    "INSERT INTO leads SELECT 'demo', 'lead-' || n, 0, n / 3, 0, 0, 0, 'C3', 1, 1, NULL, now(),"
    f" {JSON} || jsonb_build_object('company', {TEXT}), 'new', '', '', 1, NULL, now(), '' {NUMBERS}",
    "INSERT INTO score_counts SELECT tenant_id, 0, score, count(*) FROM leads GROUP BY tenant_id, score",
    f"INSERT INTO lead_names SELECT 'demo', 'ada ' || n, 'lead-' || n {NUMBERS}",
    f"INSERT INTO events SELECT 'demo', 'e' || n, 'lead-1', 'visit', now(), now(), '', {JSON}, '' {NUMBERS}",
    "INSERT INTO events SELECT 'demo', 'huge', 'lead-1', 'visit', now() + interval '1 minute', now(), '',"
    f" jsonb_build_object('text', repeat('x', {PAGE_BYTES_MAX + 1})), ''",
    "INSERT INTO ledger SELECT 'demo', 'lead-1', n, 0, 0, 0, 1, '', '', NULL, now(), 1,"
    f" jsonb_build_array(jsonb_build_object('rule', {TEXT})) {NUMBERS}",
    "INSERT INTO quarantine (tenant_id, event_id, digest, lead_id, reason, detail, standing_lead_id, type, received_at,"
    f" source, properties, quarantined_at) SELECT 'demo', 'q' || n, '', '', 1, '', '', '', now(), '', {JSON}, now()"
    f" {NUMBERS}",
    f"INSERT INTO audit (tenant_id, at, actor, action, subject, details) SELECT 'demo', now(), '', '', 'x', {JSON}"
    f" {NUMBERS}",
    f"INSERT INTO imports (tenant_id, import_id, reason) SELECT 'demo', 'i' || n, {TEXT} {NUMBERS}",
    f"INSERT INTO import_errors SELECT 'demo', 'i1', n, '', {TEXT} {NUMBERS}",
)
LISTS: list[tuple[str, str, Any, str, int]] = [
    ("query", "ListEvents", query.ListEventsRequest(lead_id="lead-1"), "events", ITEMS + 1),
    ("query", "ListHistory", query.ListHistoryRequest(lead_id="lead-1"), "entries", ITEMS),
    ("query", "ListLeads", query.ListLeadsRequest(), "leads", ITEMS),
    ("query", "ListLeads", query.ListLeadsRequest(filter="score >= 40"), "leads", ITEMS - 119),
    ("query", "ListLeads", query.ListLeadsRequest(search="ada"), "leads", ITEMS),
    ("query", "ListLeaderboard", query.ListLeaderboardRequest(), "entries", ITEMS),
    ("query", "ListImports", query.ListImportsRequest(), "imports", ITEMS),
    ("query", "ListImportErrors", query.ListImportErrorsRequest(import_id="i1"), "errors", ITEMS),
    ("scorer", "ListQuarantine", scorer.ListQuarantineRequest(), "items", ITEMS),
    ("admin", "ListAudit", admin.ListAuditRequest(subject="x"), "entries", ITEMS),
]


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("scorer", "query")
        with psycopg.connect(settings.database_url) as connection:
            for statement in FILL:
                connection.execute(statement)
        yield suite


async def test_every_list_of_large_items_can_be_read_to_its_end_by_a_client_with_the_default_limit(
    suite: Suite,
) -> None:
    for service, method, request, field, items in LISTS:
        request.page_size = 1_000
        pages: list[list[Any]] = []
        while not pages or request.page_token:
            page = await getattr(getattr(suite, service), method)(request)
            pages.append(list(getattr(page, field)))
            request.page_token = page.next_page_token
        found = [each.SerializeToString(deterministic=True) for page in pages for each in page]
        assert len(found) == len(set(found)) == items, method
        if method != "ListLeaderboard":
            fitting = PAGE_BYTES_MAX // max(map(len, found[1:]))
            assert {len(page) for page in pages[1:-1]} <= {fitting, fitting - 1, fitting + 1}, (method, request)
        if method == "ListEvents":
            assert [each.event_id for each in pages[0]] == ["huge"], "one that is larger than a page is one by itself"


async def test_lines_of_a_leaderboard_hold_the_beginnings_of_long_texts(suite: Suite) -> None:
    around = query.ListLeaderboardRequest(around_lead_id="lead-100", page_size=11)
    entries = (await suite.query.ListLeaderboard(around)).entries
    assert len(entries) == 11
    assert entries[5].lead_id == "lead-100"
    assert {each.company for each in entries} == {"x" * 200}


async def test_activity_of_long_types_says_that_it_is_too_much(suite: Suite) -> None:
    with psycopg.connect(suite.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO rollups SELECT 'demo', 13, date_trunc('day', now(), 'UTC'), 't' || n || repeat('x', 58), 0, 1,"
            " 0 FROM generate_series(1, 50000) n"
        )
    with pytest.raises(Exception, match="types: give more than fits one answer"):
        await suite.query.GetActivity(analytics.GetActivityRequest())
