"""What must hold in the database after some rows, whatever happened on the way."""

from typing import Any

import psycopg

from tests.shop import Expected

BROKEN_LEDGERS = """
SELECT l.lead_id FROM leads l LEFT JOIN ledger e USING (tenant_id, lead_id) GROUP BY l.lead_id, l.score, l.version
HAVING l.score <> coalesce(sum(e.delta), 0) OR l.version <> count(e.sequence)
"""


def assert_as_expected(database_url: str, expected: Expected) -> None:
    """Scores, events, conflicts, ledgers and counts are exactly those that the rows give."""
    with psycopg.connect(database_url) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query).fetchall()

        assert dict(rows("SELECT lead_id, score FROM leads")) == expected.scores
        assert set(rows("SELECT event_id, lead_id FROM quarantine")) == expected.conflicts
        assert rows("SELECT count(*) FROM events") == [(expected.accepted,)]
        assert rows(BROKEN_LEDGERS) == [], "a score is not the sum of its ledger"
        counted = rows("SELECT score, sum(leads) FROM score_counts GROUP BY score HAVING sum(leads) <> 0")
        assert dict(counted) == dict(rows("SELECT score, count(*) FROM leads GROUP BY score"))
