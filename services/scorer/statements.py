"""The statements of the scorer, each with a name and a sentence. Values are always parameters."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from services.scorer.arrays import Array, arrays
from services.scorer.binary import ON_THE_WIRE


class Bulk:
    """A statement over rows that come as arrays of their columns."""

    def __init__(self, sql: str, *kinds: str) -> None:
        """`sql` has {rows} where they belong; `kinds` are the types of their columns."""
        self._sql = sql
        # In the list, not behind FROM: there each column would be gathered in a store of its own.
        self._rows = f"SELECT {', '.join(f'unnest(%b::{kind}[])' for kind in kinds)}"
        self.sql = sql.format(rows=f"({self._rows})")
        self.kinds = kinds

    def arrays(self, rows: Iterable[Sequence[Any]]) -> list[Array]:
        """Rows as the statement takes them; times and documents are those of `binary`."""
        return arrays(self.kinds, rows)

    def if_held(self) -> str:
        """The statement as a part of one that begins with HELD: it does something only if all is held."""
        return self._sql.format(rows=f"({self._rows} WHERE (SELECT whole FROM held))")


class Removal(Bulk):
    """A statement that is done before all others of a batch, and by itself: what it looks for, the next ones change."""


Rows = Sequence[Sequence[Any]]
Part = tuple[Bulk, Rows]
"""A statement with its rows."""
Parts = Sequence[Part]


class Target(Bulk):
    """A table that rows are put into: many by COPY, few by INSERT."""

    def __init__(self, name: str, columns: Mapping[str, str], staging: str = "", conflict: str = "") -> None:
        """`columns` in the order of the rows, with their types. COPY goes to `staging`, if the table cannot take it."""
        names = ", ".join(columns)
        super().__init__(f"INSERT INTO {name} ({names}) SELECT * FROM {{rows}} AS new {conflict}", *columns.values())
        self.name = name
        self.columns = tuple(columns)
        self.wire_types = tuple(ON_THE_WIRE.get(kind, kind) for kind in self.kinds)
        self.copy = f"COPY {staging or name} ({names}) FROM STDIN (FORMAT BINARY)"
        self.move = f"INSERT INTO {name} ({names}) SELECT {names} FROM {staging} {conflict}" if staging else ""


ERASED_AMONG = """
SELECT FROM unnest(%b::text[], %b::text[]) AS new (tenant_id, event_id) CROSS JOIN LATERAL (
    SELECT FROM erased_facts
    WHERE tenant_id = new.tenant_id AND event = sha256(convert_to(new.event_id, 'UTF8')) OFFSET 0
) AS found
WHERE EXISTS (SELECT FROM erased_facts)
"""
"""Those of some events that were erased; where none ever was, none is looked for."""

HELD = f"""
WITH locked AS (
    SELECT FROM partitions JOIN unnest(%b::int2[], %b::int8[], %b::int8[]) AS expected (partition, position, epoch)
        USING (partition, position, epoch)
    WHERE owner = %b ORDER BY partition FOR UPDATE OF partitions
), published AS (
    SELECT FROM tenants JOIN unnest(%b::text[], %b::int4[]) AS expected (tenant_id, model_version)
        USING (tenant_id, model_version)
), erased AS ({ERASED_AMONG}), held AS MATERIALIZED (
    SELECT (SELECT count(*) FROM locked) = %b::int8 AND (SELECT count(*) FROM published) = %b::int8
        AND NOT EXISTS (SELECT FROM erased) AS whole
)
"""
"""Whether the partitions of a batch are ours, they and the models as they were when it was worked out, and none of the
ids that were taken for new was erased; that none is stored, their key sees to."""


@lru_cache(maxsize=200)
def at_once(parts: tuple[Bulk, ...]) -> bytes:
    """Statements as one, that does all or, if not all is held, nothing. Answers whether all was held.

    What is done to a table must not depend on what another part does to it. The result is for a raw cursor: the
    driver does not remember how it has parsed statements of this size.
    """
    numbers = count(1)
    named = [f"part{number} AS ({part.if_held()})" for number, part in enumerate(parts)]
    sql = ", ".join([HELD, *named]) + " SELECT whole FROM held"
    return re.sub("%b", lambda _: f"${next(numbers)}", sql).encode()


BE_QUICK = "SET statement_timeout = '8s'; SET enable_seqscan = off"
"""Nothing takes that long. And what was planned while the tables were almost empty is still right when they are not."""

LOCK_PARTITIONS = """
SELECT partition, position, epoch, owner FROM partitions WHERE partition = ANY(%b) ORDER BY partition FOR UPDATE
"""
"""Holds the partitions of a batch, always in the same order, and shows whose they are."""

LOAD_TENANTS = "SELECT tenant_id, model_version FROM tenants WHERE tenant_id = ANY(%b)"
"""Which model each tenant has today."""

LOAD_MODEL = "SELECT definition FROM models WHERE tenant_id = %b AND version = %b"
"""One published model."""

CREATE_TENANT = "INSERT INTO tenants (tenant_id, model_version) VALUES (%b, %b) ON CONFLICT (tenant_id) DO NOTHING"
"""A tenant is created by its first fact, or when the suite is prepared."""

CREATE_MODEL = """
INSERT INTO models (tenant_id, version, definition, comment, published_at) VALUES (%b, %b, %b, 'the default', now())
ON CONFLICT (tenant_id, version) DO NOTHING
"""
"""Seeds a tenant's first model; one that is there already stays as it is."""

LOAD_KNOWN = """
WITH asked AS MATERIALIZED (SELECT event_id FROM unnest((SELECT %(event_ids)b::text[])) AS asked (event_id))
SELECT 1, found.event_id, digest, lead_id FROM asked CROSS JOIN LATERAL (
    SELECT event_id, digest, lead_id FROM events
    WHERE tenant_id = %(tenant_id)b AND event_id = asked.event_id OFFSET 0
) AS found
UNION ALL
SELECT 2, found.event_id, digest, '' FROM asked CROSS JOIN LATERAL (
    SELECT event_id, digest FROM quarantine
    WHERE tenant_id = %(tenant_id)b AND event_id = asked.event_id OFFSET 0
) AS found
WHERE EXISTS (SELECT FROM quarantine WHERE tenant_id = %(tenant_id)b)
UNION ALL
SELECT 3, '', state, '' FROM unnest((SELECT %(lead_ids)b::text[])) AS asked (lead_id) CROSS JOIN LATERAL (
    SELECT state FROM leads WHERE tenant_id = %(tenant_id)b AND lead_id = asked.lead_id OFFSET 0
) AS found
UNION ALL
SELECT 4, asked.event_id, found.digest, '' FROM asked CROSS JOIN LATERAL (
    SELECT digest FROM erased_facts
    WHERE tenant_id = %(tenant_id)b AND event = sha256(convert_to(asked.event_id, 'UTF8')) OFFSET 0
) AS found
WHERE EXISTS (SELECT FROM erased_facts WHERE tenant_id = %(tenant_id)b)
"""
"""What is stored about the facts of a batch: 1 the contents that stand under their event ids, 2 those that are set
apart, 3 their leads, 4 the contents that were erased; where none ever was, none is looked for.

Each id is looked up by itself (OFFSET keeps the planner from anything else): what was planned while the tables were
almost empty reads all rows of a tenant and compares each with all ids, and is kept until the server has gathered
figures about the table, which takes a minute. That it is kept is wanted where few are looked up; if the planner saw how
many ids there are (SELECT hides it), it would plan anew each time."""
STANDING, SET_APART, ERASED = 1, 2, 4

LOAD_DAYS = """
SELECT lead_id, type, occurred_at::date - DATE '1970-01-01', count(*), min(occurred_at), max(occurred_at)
FROM events
WHERE tenant_id = %b AND lead_id = ANY(%b) AND occurred_at <= %b AND left(type, 1) <> '$'
    AND NOT (type = ANY(%b) OR %b)
GROUP BY 1, 2, 3
"""
"""How many events leads had, by type and day (in UTC, as every session), without those that rules look into."""

LOAD_EARLIEST = """
SELECT l.lead_id, e.event_id, e.type, e.occurred_at, e.source
FROM unnest(%b::text[]) AS l (lead_id) CROSS JOIN LATERAL (
    SELECT event_id, type, occurred_at, source FROM events
    WHERE tenant_id = %b AND lead_id = l.lead_id AND occurred_at <= %b AND left(type, 1) <> '$'
    ORDER BY occurred_at, event_id LIMIT 1
) AS e
"""
"""The earliest events of leads."""

LOAD_FACTS = """
SELECT lead_id, event_id, type, occurred_at, source, properties
FROM events
WHERE tenant_id = %b AND lead_id = ANY(%b) AND occurred_at <= %b AND type <> '$note'
    AND (left(type, 1) = '$' OR type = ANY(%b) OR %b)
"""
"""The facts about leads that have to be looked into, one by one."""

LOAD_LEAD = "SELECT state FROM leads WHERE tenant_id = %b AND lead_id = %b"
"""One lead."""

EVENTS = Target("events", {
    "tenant_id": "text", "event_id": "text", "lead_id": "text", "type": "text", "occurred_at": "timestamptz",
    "received_at": "timestamptz", "source": "text", "properties": "jsonb", "digest": "bytea",
})  # fmt: skip
"""The new facts. A race for an id with another scorer ends in a unique violation, and the batch is done again."""

LEDGER = Target("ledger", {
    "tenant_id": "text", "lead_id": "text", "sequence": "int8", "delta": "int4", "score_before": "int4",
    "score_after": "int4", "cause": "int2", "event_id": "text", "type": "text", "occurred_at": "timestamptz",
    "recorded_at": "timestamptz", "model_version": "int4", "contributions": "jsonb", "crossings": "jsonb",
})  # fmt: skip
"""The changes of scores."""

LEAD_COLUMNS = {
    "tenant_id": "text", "lead_id": "text", "partition": "int2", "score": "int4", "machine_score": "int4",
    "engagement": "int4", "fit": "int4", "grade": "text", "version": "int8", "event_count": "int8",
    "first_event_at": "timestamptz", "last_event_at": "timestamptz", "profile": "jsonb", "status": "text",
    "owner": "text", "source": "text", "model_version": "int4", "due_at": "timestamptz", "updated_at": "timestamptz",
    "state": "bytea",
}  # fmt: skip

CREATE_STAGING = "CREATE TEMP TABLE IF NOT EXISTS batch_leads (LIKE leads) ON COMMIT DELETE ROWS"
"""Where a session puts the leads of a batch: COPY is the fastest way in, and cannot update."""

LEADS = Target(
    "leads",
    LEAD_COLUMNS,
    staging="batch_leads",
    conflict=f"""
ON CONFLICT (tenant_id, lead_id) DO UPDATE SET
{", ".join(f"{column} = excluded.{column}" for column in list(LEAD_COLUMNS)[2:])}
""",
)
"""The leads as they are after a batch."""

ADD_ROLLUPS = Bulk(
    """
INSERT INTO rollups (tenant_id, kind, at, name, partition, count, total) SELECT * FROM {rows} AS new
ON CONFLICT (tenant_id, kind, at, name, partition) DO UPDATE SET
    count = rollups.count + excluded.count, total = rollups.total + excluded.total
""",
    "text", "int2", "timestamptz", "text", "int2", "int8", "int8",
)  # fmt: skip
"""The sums for analytics."""

ADD_SCORE_DAYS = Bulk(
    "INSERT INTO score_days (tenant_id, day, lead_id, score_before) SELECT * FROM {rows} AS new ON CONFLICT DO NOTHING",
    "text", "date", "text", "int4",
)  # fmt: skip
"""The scores before the first changes of a day."""

ADD_NAMES = Bulk(
    "INSERT INTO lead_names (tenant_id, name, lead_id) SELECT * FROM {rows} AS new ON CONFLICT DO NOTHING",
    "text", "text", "text",
)  # fmt: skip
"""What leads can be found by."""

DELETE_NAMES = Bulk(
    """
DELETE FROM lead_names USING {rows} AS old (tenant_id, name, lead_id)
WHERE lead_names.tenant_id = old.tenant_id AND lead_names.name = old.name AND lead_names.lead_id = old.lead_id
""",
    "text", "text", "text",
)  # fmt: skip
"""What leads cannot be found by any more."""

ADD_SCORE_COUNTS = Bulk(
    """
INSERT INTO score_counts (tenant_id, partition, score, leads) SELECT * FROM {rows} AS new
ON CONFLICT (tenant_id, partition, score) DO UPDATE SET leads = score_counts.leads + excluded.leads
""",
    "text", "int2", "int4", "int8",
)  # fmt: skip
"""How many leads have each score."""

INSERT_QUARANTINE = Bulk(
    """
INSERT INTO quarantine (tenant_id, event_id, digest, lead_id, reason, detail, standing_lead_id, type, occurred_at,
    received_at, source, properties, payload, quarantined_at) SELECT * FROM {rows} AS new
ON CONFLICT (tenant_id, event_id, digest) DO UPDATE SET state = 1, detail = excluded.detail, decided_at = NULL,
    decided_by = '', released_event_id = ''
WHERE quarantine.reason = 2 AND quarantine.state = 2
""",
    "text", "text", "bytea", "text", "int2", "text", "text", "text", "timestamptz", "timestamptz", "text", "jsonb",
    "bytea", "timestamptz",
)  # fmt: skip
"""A fact that is set apart; one that is there already stays once. A dead letter that was released and cannot be
processed again is held again."""

ADD_IMPORT_COUNTS = Bulk(
    """
INSERT INTO import_counts (tenant_id, import_id, partition, accepted, duplicates, conflicts) SELECT * FROM {rows} AS new
ON CONFLICT (tenant_id, import_id, partition) DO UPDATE SET
    accepted = import_counts.accepted + excluded.accepted,
    duplicates = import_counts.duplicates + excluded.duplicates,
    conflicts = import_counts.conflicts + excluded.conflicts
""",
    "text", "text", "int2", "int8", "int8", "int8",
)  # fmt: skip
"""What became of an import's facts."""

UPSERT_IMPORT = """
INSERT INTO imports AS known (tenant_id, import_id, report_number, reading, file_name, rows_read, rows_rejected, reason,
    token, started_at, updated_at)
VALUES (%b, %b, %b::int8, %b::int2, %b, %b::int8, %b::int8, %b, %b, %b, %b)
ON CONFLICT (tenant_id, import_id) DO UPDATE SET
    report_number = excluded.report_number, reading = excluded.reading, file_name = excluded.file_name,
    rows_read = excluded.rows_read, rows_rejected = excluded.rows_rejected, reason = excluded.reason,
    token = excluded.token, updated_at = excluded.updated_at
WHERE known.report_number < excluded.report_number
"""
"""The newest report of an import; an older one is passed over."""

ADD_IMPORT_ERRORS = Bulk(
    """
INSERT INTO import_errors (tenant_id, import_id, "row", field, description)
SELECT %b, %b, r.* FROM {rows} AS r
WHERE (SELECT count(*) FROM import_errors WHERE tenant_id = %b AND import_id = %b) < %b
ON CONFLICT DO NOTHING
""",
    "int8", "text", "text",
)  # fmt: skip
"""The refused rows of an import, up to a bound."""

INSERT_OUTBOX = Bulk(
    "INSERT INTO outbox (announcement_id, scorer_id, tenant_id, number, payload) SELECT * FROM {rows} AS new",
    "text", "text", "text", "int8", "bytea",
)  # fmt: skip
"""What is to be announced, kept until it is known to be."""

DELETE_OUTBOX = Bulk("DELETE FROM outbox USING {rows} AS told (id) WHERE announcement_id = told.id", "text")
"""What has been announced."""

MOVE_PARTITIONS = Bulk(
    "UPDATE partitions SET position = moved.position FROM {rows} AS moved (partition, position) "
    "WHERE partitions.partition = moved.partition",
    "int2", "int8",
)  # fmt: skip
"""Everything up to here is committed."""

LOAD_DUE = """
SELECT tenant_id, partition, state FROM leads WHERE partition = ANY(%b) AND due_at <= %b LIMIT %b
"""
"""Leads that time alone may have changed."""

LOAD_LEADS_AFTER = """
SELECT partition, state FROM leads
WHERE tenant_id = %b AND lead_id > %b AND partition = ANY(%b) ORDER BY lead_id LIMIT %b
"""
"""The next leads of some partitions, in the order of their ids."""

COUNT_LEADS = "SELECT coalesce(sum(leads), 0)::int8 FROM score_counts WHERE tenant_id = %b"
"""How many leads a tenant has, without counting them."""

LOAD_PARTITIONS = "SELECT partition FROM partitions ORDER BY partition"
"""All partitions."""

HAS_DUE = "SELECT EXISTS(SELECT FROM leads WHERE partition = ANY(%b) AND due_at <= %b)"
"""Whether time alone may have changed any lead of some partitions."""

LOAD_WORK = """
SELECT o.tenant_id, o.operation_id, o.model_version
FROM operation_partitions p JOIN operations o USING (tenant_id, operation_id)
WHERE p.partition = ANY(%b) ORDER BY o.operation_id LIMIT 1
"""
"""The oldest operation with something left to do in some partitions."""

LOCK_OPERATION = "SELECT FROM operations WHERE tenant_id = %b AND operation_id = %b FOR UPDATE"
"""Of two scorers that end their parts of an operation at the same time, the second sees what the first has done."""

LOCK_WORK = """
SELECT partition, cursor FROM operation_partitions
WHERE tenant_id = %b AND operation_id = %b AND partition = ANY(%b) ORDER BY partition FOR UPDATE
"""
"""Holds an operation's places in some partitions; none are left of one that was cancelled."""

MOVE_WORK = """
UPDATE operation_partitions SET cursor = greatest(cursor, %b)
WHERE tenant_id = %b AND operation_id = %b AND partition = ANY(%b)
"""
"""Every lead up to here is done."""

END_WORK = "DELETE FROM operation_partitions WHERE tenant_id = %b AND operation_id = %b AND partition = ANY(%b)"
"""These partitions are done."""

ADD_WORK_DONE = """
UPDATE operations SET leads_done = leads_done + %b::int8, leads_changed = leads_changed + %b::int8
WHERE tenant_id = %b AND operation_id = %b
"""
"""How far an operation has got."""

END_OPERATION = """
UPDATE operations AS o SET state = 2, ended_at = %b
WHERE tenant_id = %b AND operation_id = %b AND state = 1 AND NOT EXISTS (
    SELECT FROM operation_partitions p WHERE p.tenant_id = o.tenant_id AND p.operation_id = o.operation_id
)
"""
"""An operation is done when all its partitions are."""

FREEZE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""Must be the first of its transaction."""
