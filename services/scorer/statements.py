"""The statements of the scorer, each with a name and a sentence. Values are always parameters."""

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
INSERT INTO models (tenant_id, version, definition) VALUES (%b, %b, %b) ON CONFLICT (tenant_id, version) DO NOTHING
"""
"""Seeds a tenant's first model; one that is there already stays as it is."""

LOAD_STANDING = "SELECT event_id, digest, lead_id FROM events WHERE tenant_id = %b AND event_id = ANY(%b)"
"""The contents that stand under the event ids of a batch."""

LOAD_SET_APART = "SELECT event_id, digest FROM quarantine WHERE tenant_id = %b AND event_id = ANY(%b)"
"""The contents that are set apart under the event ids of a batch."""

LOAD_LEADS = "SELECT state FROM leads WHERE tenant_id = %b AND lead_id = ANY(%b)"
"""The leads that a batch touches."""

COPY_EVENTS = """
COPY events (tenant_id, event_id, lead_id, type, occurred_at, received_at, source, properties, digest)
FROM STDIN (FORMAT BINARY)
"""
"""The new facts. A race for an id with another scorer ends in a unique violation, and the batch is done again."""
EVENT_TYPES = ("text", "text", "text", "text", "timestamptz", "timestamptz", "text", "jsonb", "bytea")

COPY_LEDGER = """
COPY ledger (tenant_id, lead_id, sequence, delta, score_before, score_after, cause, event_id, type, occurred_at,
    recorded_at, model_version, contributions)
FROM STDIN (FORMAT BINARY)
"""
"""The changes of scores."""
LEDGER_TYPES = (
    "text", "text", "int8", "int4", "int4", "int4", "int2", "text", "text", "timestamptz", "timestamptz", "int4",
    "jsonb",
)  # fmt: skip

LEAD_COLUMNS = {
    "tenant_id": "text", "lead_id": "text", "partition": "int2", "score": "int4", "engagement": "int4", "fit": "int4",
    "grade": "text", "version": "int8", "event_count": "int8", "first_event_at": "timestamptz",
    "last_event_at": "timestamptz", "profile": "jsonb", "model_version": "int4", "evaluated_on": "date",
    "updated_at": "timestamptz", "state": "bytea", "explanation": "jsonb",
}  # fmt: skip

UPSERT_LEADS = f"""
INSERT INTO leads ({", ".join(LEAD_COLUMNS)})
SELECT * FROM unnest({", ".join(f"%b::{kind}[]" for kind in LEAD_COLUMNS.values())})
ON CONFLICT (tenant_id, lead_id) DO UPDATE SET
{", ".join(f"{column} = excluded.{column}" for column in list(LEAD_COLUMNS)[2:])}
"""
"""The leads as they are after a batch, with what explains their scores."""

ADD_SCORE_COUNTS = """
INSERT INTO score_counts (tenant_id, partition, score, leads)
SELECT * FROM unnest(%b::text[], %b::int2[], %b::int4[], %b::int8[])
ON CONFLICT (tenant_id, partition, score) DO UPDATE SET leads = score_counts.leads + excluded.leads
"""
"""How many leads have each score."""

INSERT_QUARANTINE = """
INSERT INTO quarantine (tenant_id, event_id, digest, lead_id, reason, detail, standing_lead_id, type, occurred_at,
    received_at, source, properties, payload, quarantined_at)
VALUES (%b, %b, %b, %b, %b::int2, %b, %b, %b, %b, %b, %b, %b::jsonb, %b, %b)
ON CONFLICT (tenant_id, event_id, digest) DO NOTHING
"""
"""A fact that is set apart; one that is there already stays once."""

ADD_IMPORT_COUNTS = """
INSERT INTO import_counts (tenant_id, import_id, partition, accepted, duplicates, conflicts)
VALUES (%b, %b, %b::int2, %b::int8, %b::int8, %b::int8)
ON CONFLICT (tenant_id, import_id, partition) DO UPDATE SET
    accepted = import_counts.accepted + excluded.accepted,
    duplicates = import_counts.duplicates + excluded.duplicates,
    conflicts = import_counts.conflicts + excluded.conflicts
"""
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

ADD_IMPORT_ERRORS = """
INSERT INTO import_errors (tenant_id, import_id, "row", field, description)
SELECT %b, %b, r.* FROM unnest(%b::int8[], %b::text[], %b::text[]) AS r
WHERE (SELECT count(*) FROM import_errors WHERE tenant_id = %b AND import_id = %b) < %b
ON CONFLICT DO NOTHING
"""
"""The refused rows of an import, up to a bound."""

INSERT_OUTBOX = """
INSERT INTO outbox (announcement_id, scorer_id, tenant_id, number, payload) VALUES (%b, %b, %b, %b::int8, %b)
"""
"""What is to be announced, kept until it is known to be."""

DELETE_OUTBOX = "DELETE FROM outbox WHERE announcement_id = ANY(%b)"
"""What has been announced."""

MOVE_PARTITIONS = """
UPDATE partitions SET position = moved.position
FROM unnest(%b::int2[], %b::int8[]) AS moved (partition, position) WHERE partitions.partition = moved.partition
"""
"""Everything up to here is committed."""
