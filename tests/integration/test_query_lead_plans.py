"""What lists of leads cost: PostgreSQL reads them from an index, and no more of it than a page needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from leadscore.query.v1 import query_service_pb2 as query

from services.query.lead_list import list_leads
from services.query.leaderboard import list_leaderboard
from services.query.orders import ORDERS
from services.query.pages import ROWS_MAX
from services.shared import database
from services.shared.settings import Settings
from tests.plans import Sent, plan_of, statements_noted

LEADS = 50_000
SIZE = 50
FILL = f"""
COPY (
    SELECT 'demo', 'lead-' || n, 0, n % 20 * 10, 0, 0, 0, 'C3', 1, 1,
        CASE WHEN n % 10 > 0 THEN timestamptz '2026-10-01' + n % 5000 * interval '1 minute' END,
        jsonb_build_object('industry', CASE n % 3 WHEN 0 THEN 'tech' ELSE 'food' END, 'name', 'Ada ' || n),
        'new', '', 'shop', 1, now(), ''
    FROM generate_series(1, {LEADS}) n
) TO STDOUT
"""
COLUMNS = (
    "tenant_id, lead_id, partition, score, machine_score, engagement, fit, grade, version, event_count, last_event_at,"
    " profile, status, owner, source, model_version, updated_at, state"
)
NAMES = """
INSERT INTO lead_names
SELECT 'demo', name, lead_id FROM leads, unnest(ARRAY[lead_id, 'ada', lower(profile->>'name'), substr(lead_id, 6)]) name
"""


@pytest.fixture
def many(database_url: str) -> str:
    """Fifty thousand leads, five of six of them of ten scores that thousands share."""
    with psycopg.connect(database_url, autocommit=True) as connection, psycopg.connect(database_url) as other:
        with (
            connection.cursor().copy(FILL) as made,
            other.cursor().copy(f"COPY leads ({COLUMNS}) FROM STDIN") as stored,
        ):
            for piece in made:
                stored.write(piece)
        other.execute(NAMES)
        other.execute("INSERT INTO score_counts SELECT tenant_id, 0, score, count(*) FROM leads GROUP BY 1, 3")
        other.commit()
        connection.execute("VACUUM ANALYZE leads, lead_names, score_counts")
    return database_url


@pytest.fixture
def statements() -> Iterator[Sent]:
    with statements_noted() as sent:
        yield sent


def rows_read(connection: psycopg.Connection[Any], statement: str, parameters: Any) -> int:
    """How many rows of leads and names a statement reads, all from indexes, and sorts no more on its way than
    it shows.
    """
    of_all = plan_of(connection, statement, parameters)
    shown = f"{statement} {parameters} {of_all}"
    read = 0

    def look(plan: dict[str, Any]) -> None:
        nonlocal read
        kind, rows = plan["Node Type"], plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        if plan.get("Relation Name") in ("leads", "lead_names"):
            assert kind in ("Index Scan", "Index Only Scan"), shown
            read += round(rows * plan["Actual Loops"])
        if kind in ("Sort", "Incremental Sort"):
            # The rows of a page, from two stretches of an index; or only numbers, for the greatest of them.
            is_number = "row_number" in str(plan["Sort Key"]) and rows <= 1
            assert is_number or plan["Plans"][0]["Actual Rows"] <= 2 * (SIZE + 1), shown
        for below in plan.get("Plans", ()):
            look(below)

    look(of_all)
    return read


async def test_pages_are_read_from_indexes_and_stop_early(many: str, statements: Sent) -> None:
    connecting = database.connect(
        replace(Settings(), database_url=many), name="test", connections_max=2, read_only=True
    )
    async with connecting as engine:
        with psycopg.connect(many) as connection:

            def cost() -> int:
                read = sum(rows_read(connection, *each) for each in statements if "FROM" in each[0])
                statements.clear()
                return read

            async def two_pages(**fields: Any) -> tuple[int, int]:
                statements.clear()
                first = await list_leads(engine, "demo", query.ListLeadsRequest(page_size=SIZE, **fields))
                of_first = cost()
                again = query.ListLeadsRequest(page_size=SIZE, page_token=first.next_page_token, **fields)
                await list_leads(engine, "demo", again)
                return of_first, cost()

            for order_by in ORDERS:
                for read in await two_pages(order_by=order_by):
                    assert read <= 2 * (SIZE + 1), order_by
                for read in await two_pages(order_by=order_by, filter="profile.industry = tech"):
                    assert read <= 10 * SIZE, order_by
                for read in await two_pages(order_by=order_by, filter="profile.industry = none AND score != 7"):
                    assert read <= 2 * ROWS_MAX, order_by
            for search in ("a", "ada", "ada 1", "lead-4", "1"):
                # Each name found, the four names of its lead, and the lead; and the last of the names looked at.
                for read in await two_pages(search=search):
                    assert read <= 4 * (1 + 4 + 1) * (SIZE + 1), search
                for read in await two_pages(search=search, filter="profile.industry = none"):
                    assert read <= (1 + 4 + 1 + 1) * ROWS_MAX, search
            await list_leaderboard(engine, "demo", SIZE, "", around_lead_id="lead-777")
            assert cost() <= 3 * SIZE
