"""What erasures take out of the database, and the little that they leave there, in the transaction of their batch.

What stays are digests: of each erased fact's id and of its content. A repeat is known by them, and nobody can read from
them what was erased, or about whom.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from services.scorer.binary import day, moment
from services.scorer.effects import EventCount, LeadKey
from services.scorer.erasures import Erasures
from services.scorer.rollups import HOUR_US
from services.scorer.scoring.lead import ERASURE
from services.scorer.statements import Bulk, Parts, Removal
from services.scorer.wire import Incoming
from services.shared.clock import US_PER_S

TIMEOUT_MS = 60_000
"""For each statement: a lead may have a million events. Others' events of its partition wait for so long at most."""

GONE = ("text", "text", "date")
"""A lead, and the last day on which its score changed."""

COUNT_EVENTS = Bulk(
    f"""
SELECT tenant_id, lead_id, type, source, floor(extract(epoch FROM occurred_at) / {HOUR_US // US_PER_S})::int8, count(*)
FROM events JOIN {{rows}} AS gone (tenant_id, lead_id) USING (tenant_id, lead_id)
WHERE left(type, 1) <> '$' GROUP BY 1, 2, 3, 4, 5
""",
    "text", "text",
)  # fmt: skip
"""The events that leads have in the sums over events."""

REMEMBER = Removal(
    """
INSERT INTO erased_facts (tenant_id, event, digest)
SELECT tenant_id, sha256(convert_to(event_id, 'UTF8')), digest FROM {rows} AS known (tenant_id, event_id, digest)
ON CONFLICT DO NOTHING
""",
    "text", "text", "bytea",
)  # fmt: skip
"""The erasures themselves, and what came with them in one batch and was never stored."""

RECORD = Removal(
    """
INSERT INTO audit (tenant_id, at, actor, action, subject, details)
SELECT tenant_id, at, actor, 'lead.erase', 'erasure/' || event_id, '{{}}'
FROM {rows} AS done (tenant_id, at, actor, event_id)
""",
    "text", "timestamptz", "text", "text",
)  # fmt: skip
"""Who has had somebody erased, and when; not whom."""


CLEAR_SUMS = Bulk(
    """
WITH held AS (
    SELECT tenant_id, kind, at, name, partition, count, total
    FROM rollups JOIN {rows} AS changed (tenant_id, kind, at, name) USING (tenant_id, kind, at, name)
    FOR UPDATE OF rollups SKIP LOCKED
), empty AS (
    SELECT tenant_id, kind, at, name FROM held
    GROUP BY tenant_id, kind, at, name HAVING sum(count) = 0 AND sum(total) = 0
)
DELETE FROM rollups USING held JOIN empty USING (tenant_id, kind, at, name)
WHERE rollups.tenant_id = held.tenant_id AND rollups.kind = held.kind AND rollups.at = held.at
    AND rollups.name = held.name AND rollups.partition = held.partition
""",
    "text", "int2", "timestamptz", "text",
)  # fmt: skip
"""Names in the sums that nobody has any more, such as a company. What another scorer is at just now is left: rows that
add up to nothing show nowhere.
"""


def _of_leads(sql: str) -> Removal:
    return Removal(sql.replace("{gone}", "{rows} AS gone (tenant_id, lead_id, last_day)"), *GONE)


def _delete_from(table: str) -> str:
    of_lead = f"{table}.tenant_id = gone.tenant_id AND {table}.lead_id = gone.lead_id"
    return f"DELETE FROM {table} USING {{gone}} WHERE {of_lead}"


REMOVE = tuple(map(_of_leads, (
    f"SELECT set_config('statement_timeout', '{TIMEOUT_MS}', true) FROM {{gone}}",
    # Their ids and contents, as digests.
    """
INSERT INTO erased_facts (tenant_id, event, digest)
SELECT tenant_id, sha256(convert_to(event_id, 'UTF8')), digest FROM events JOIN {gone} USING (tenant_id, lead_id)
ON CONFLICT DO NOTHING
""",
    """
INSERT INTO erased_facts (tenant_id, event, digest)
SELECT tenant_id, sha256(convert_to(event_id, 'UTF8')), digest FROM quarantine JOIN {gone} USING (tenant_id, lead_id)
ON CONFLICT DO NOTHING
""",
    # Who did what, and when, stays in the audit log.
    """
UPDATE audit SET subject = 'erased lead', details = '{{}}' FROM {gone}
WHERE audit.tenant_id = gone.tenant_id AND audit.subject = 'lead/' || gone.lead_id
""",
    """
UPDATE audit SET details = '{{}}' FROM quarantine JOIN {gone} USING (tenant_id, lead_id)
WHERE audit.tenant_id = quarantine.tenant_id AND audit.subject = 'quarantine/' || quarantine.item_id
""",
    _delete_from("quarantine"),
    # Set apart of others, because the id was taken by an event of the lead.
    """
UPDATE quarantine SET standing_lead_id = '' FROM {gone}
WHERE quarantine.tenant_id = gone.tenant_id AND quarantine.standing_lead_id = gone.lead_id
""",
    # By the days on which the score can have changed: the key begins with the day.
    """
DELETE FROM score_days USING {gone}
CROSS JOIN LATERAL (
    SELECT min(recorded_at)::date AS first_day FROM ledger
    WHERE ledger.tenant_id = gone.tenant_id AND ledger.lead_id = gone.lead_id
) AS began
CROSS JOIN LATERAL generate_series(0, gone.last_day - began.first_day) AS later
WHERE score_days.tenant_id = gone.tenant_id AND score_days.day = began.first_day + later
    AND score_days.lead_id = gone.lead_id
""",
    _delete_from("ledger"),
    _delete_from("lead_names"),
    _delete_from("events"),
    _delete_from("leads"),
)))  # fmt: skip
"""All that is stored of leads, in this order: what is counted, or found, by something else goes before that."""


def removals(erasures: Erasures, now_us: int) -> Parts:
    """What the erasures of a batch do, before anything is written about leads that begin anew."""
    if not erasures.done:
        return []
    leads = [(*key, day(last_day)) for key, last_day in sorted(erasures.leads.items())]
    facts = [(each.tenant_id, each.fact.event_id, each.digest) for each in (*erasures.done, *erasures.dropped)]
    entries = [
        (each.tenant_id, moment(now_us), (each.fact.properties or {}).get("actor", ""), each.fact.event_id)
        for each in erasures.done
    ]
    return [*((statement, leads) for statement in REMOVE), (REMEMBER, facts), (RECORD, entries)]


async def count_events(
    connection: psycopg.AsyncConnection[Any], facts: Iterable[Incoming]
) -> dict[LeadKey, list[EventCount]]:
    """The stored events of the leads that are to be erased, as the sums over events have them."""
    leads = sorted({(each.tenant_id, each.fact.lead_id) for each in facts if each.fact.type == ERASURE})
    found = await connection.execute(COUNT_EVENTS.sql, COUNT_EVENTS.arrays(leads), binary=True)
    counts: dict[LeadKey, list[EventCount]] = {key: [] for key in leads}
    for tenant_id, lead_id, *counted in await found.fetchall():
        counts[tenant_id, lead_id].append((*counted,))
    return counts
