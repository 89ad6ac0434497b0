"""What reads cost the database: the statements that were sent, and the rows that PostgreSQL looks at for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg

Sent = list[tuple[str, Any]]


@contextmanager
def statements_noted() -> Iterator[Sent]:
    """What this process asks the database meanwhile, also through SQLAlchemy."""
    sent: Sent = []
    execute = psycopg.AsyncCursor.execute

    def noting(cursor: Any, query: Any, parameters: Any = None, **options: Any) -> Any:
        sent.append((query.decode() if isinstance(query, bytes) else query, parameters))
        return execute(cursor, query, parameters, **options)

    with patch.object(psycopg.AsyncCursor, "execute", noting):
        yield sent


def rows_read(database_url: str, statements: Sent) -> dict[str, int]:
    """By table, how many rows the statements look at, as PostgreSQL itself counts them."""
    found: dict[str, int] = {}

    def look(plan: dict[str, Any]) -> None:
        if table := plan.get("Relation Name"):
            rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
            found[table] = found.get(table, 0) + round(rows * plan["Actual Loops"])
        for below in plan.get("Plans", ()):
            look(below)

    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in statements:
            look(plan_of(connection, statement, parameters))
    return found


def plan_of(connection: psycopg.Connection[Any], statement: str, parameters: Any) -> dict[str, Any]:
    """How PostgreSQL did what a statement asks, as its EXPLAIN (ANALYZE) says."""
    cursor = psycopg.RawCursor(connection) if "$1" in statement else connection.cursor()
    (plans,) = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone() or ([],)
    plan: dict[str, Any] = plans[0]["Plan"]
    return plan
