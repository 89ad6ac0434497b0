"""What reads cost the database: the statements that were sent, and the rows that PostgreSQL looks at for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, event

Sent = list[tuple[str, Any]]


@contextmanager
def statements_noted() -> Iterator[Sent]:
    """What this process asks the database through SQLAlchemy meanwhile."""
    sent: Sent = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


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
            (plans,) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone() or ([],)
            look(plans[0]["Plan"])
    return found
