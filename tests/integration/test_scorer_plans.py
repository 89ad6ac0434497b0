"""How the scorer finds what it asks for, whatever the tables looked like when that was planned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg

from services.scorer import statements

KEYS = {
    "events": ("tenant_id", "event_id"),
    "quarantine": ("tenant_id", "event_id"),
    "leads": ("tenant_id", "lead_id"),
    "erased_facts": ("tenant_id", "event"),
}


LEADS = 1_000
FILL = f"""
INSERT INTO leads
SELECT 'demo', n::text, 0, n % 40, 0, 0, 0, '', 1, 1, now(), now() - n * interval '1 s', '{{}}', 'new', '', '', 1, NULL,
    now(), ''
FROM generate_series(1, {LEADS}) AS n
"""


def test_what_is_known_of_a_batch_is_looked_up_key_by_key_also_if_it_was_planned_on_empty_tables(
    database_url: str,
) -> None:
    looks = _looks(database_url, statements.LOAD_KNOWN)

    assert {table for table, _ in looks} == KEYS.keys()
    for table, condition in looks:
        asks_for_any_row_of_a_tenant = table in ("quarantine", "erased_facts") and KEYS[table][1] not in condition
        assert asks_for_any_row_of_a_tenant or all(f"{key} =" in condition for key in KEYS[table])
        assert "ANY" not in condition


def test_leads_of_a_batch_are_looked_up_by_their_key_before_anything_is_known_about_the_table(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(FILL.encode())
    plan = _plan(database_url, statements.LOAD_KNOWN)

    # Indexes that begin with the tenant and end with the lead would do, and be walked from end to end for each.
    assert [scan["Index Name"] for scan in _scans(plan) if scan["Relation Name"] == "leads"] == ["leads_pkey"]


def test_a_lead_is_looked_up_by_its_key(database_url: str) -> None:
    ((table, condition),) = _looks(database_url, statements.LOAD_LEAD)

    assert all(f"{key} =" in condition for key in KEYS[table])


def _looks(database_url: str, statement: str) -> list[tuple[str, str]]:
    """The tables that a statement looks into, each with what it looks for in an index."""
    found = []
    for scan in _scans(_plan(database_url, statement)):
        assert scan["Node Type"] in ("Index Scan", "Index Only Scan")
        assert "Filter" not in scan
        found.append((scan["Relation Name"], scan.get("Index Cond", "")))
    return found


def _plan(database_url: str, statement: str) -> dict[str, Any]:
    """The plan that is made for any values."""
    numbers: dict[str, str] = {}
    number = count(1)
    numbered = re.sub(
        r"%(?:\((\w+)\))?b",
        lambda found: numbers.setdefault(found[1] or str(found.start()), f"${next(number)}"),
        statement,
    )
    with psycopg.connect(database_url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(statements.BE_QUICK)
        (plans,) = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}").fetchone() or ([],)
    found: dict[str, Any] = plans[0]["Plan"]
    return found


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The looks of a plan into tables."""
    if "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", ()):
        yield from _scans(below)
