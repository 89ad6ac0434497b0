"""What must hold in the database after some rows, whatever happened on the way."""

from typing import Any

import psycopg

from services.scorer.lead_state import load_lead
from services.scorer.rollups import Kind, Rollups, standing_of
from services.shared.clock import to_us
from tests.shop import Expected

BROKEN_LEDGERS = """
SELECT l.lead_id FROM leads l LEFT JOIN ledger e USING (tenant_id, lead_id) GROUP BY l.lead_id, l.score, l.version
HAVING l.score <> coalesce(sum(e.delta), 0) OR l.version <> count(e.sequence)
"""


def assert_as_expected(database_url: str, expected: Expected) -> None:
    """Scores, events, conflicts, ledgers and counts are exactly those that the rows give."""
    assert_sums_are_those_of_the_leads(database_url)
    with psycopg.connect(database_url) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query).fetchall()

        assert dict(rows("SELECT lead_id, score FROM leads")) == expected.scores
        assert set(rows("SELECT event_id, lead_id FROM quarantine")) == expected.conflicts
        assert rows("SELECT count(*) FROM events") == [(expected.accepted,)]
        assert rows(BROKEN_LEDGERS) == [], "a score is not the sum of its ledger"
        counted = rows("SELECT score, sum(leads) FROM score_counts GROUP BY score HAVING sum(leads) <> 0")
        assert dict(counted) == dict(rows("SELECT score, count(*) FROM leads GROUP BY score"))


def assert_sums_are_those_of_the_leads(database_url: str) -> None:
    """Every sum over leads and events is what adding up the stored leads and events gives."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET timezone = 'UTC'")
        wanted = Rollups(0)
        for tenant, state in connection.execute("SELECT tenant_id, state FROM leads"):
            wanted.move(tenant, None, standing_of(load_lead(state)), 0)
        by_day = (Kind.GRADES_BY_DAY, Kind.SCORES_BY_DAY)
        found = {}
        dated: dict[tuple[Any, ...], int] = {}
        query = "SELECT tenant_id, kind, at, name, sum(count)::int8, sum(total)::int8 FROM rollups GROUP BY 1, 2, 3, 4"
        for tenant, kind, at, name, count, total in connection.execute(query):
            if kind in by_day:
                key = tenant, kind, 0, name, 0
                dated[key] = dated.get(key, 0) + count
            elif kind not in (Kind.EVENTS, Kind.EVENTS_BY_DAY, Kind.SOURCE_EVENTS):
                found[tenant, kind, to_us(at), name, 0] = count, total
        sums = {key: (count, total) for key, count, total in wanted.rows()}
        assert _some(found) == {key: sum for key, sum in sums.items() if key[1] not in by_day}
        assert _some(dated) == {key: count for key, (count, _) in sums.items() if key[1] in by_day}
        for kind, width in ((Kind.EVENTS, "hour"), (Kind.EVENTS_BY_DAY, "day")):
            of_events = (
                "SELECT type, date_trunc(%s, occurred_at), count(*) FROM events WHERE type !~ '^[$]' GROUP BY 1, 2"
            )
            rolled = "SELECT name, at, sum(count) FROM rollups WHERE kind = %s GROUP BY 1, 2 HAVING sum(count) <> 0"
            assert sorted(connection.execute(rolled, [kind])) == sorted(connection.execute(of_events, [width]))


def _some(sums: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in sums.items() if value not in (0, (0, 0))}
