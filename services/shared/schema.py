"""The tables. Every key starts with the tenant, so that tenants can be spread over databases.

Only the scorer writes. Text that is a key is compared by code point (collation "C"): the order of a page is the same on
every machine.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()


def _key() -> Text:
    return Text(collation="C")


def _time() -> DateTime:
    return DateTime(timezone=True)


TENANTS = Table(
    "tenants",
    METADATA,
    Column("tenant_id", _key(), primary_key=True),
    Column("model_version", Integer, nullable=False),
    Column("created_at", _time(), nullable=False, server_default=text("now()")),
)

MODELS = Table(
    "models",
    METADATA,
    Column("tenant_id", _key()),
    Column("version", Integer),
    Column("definition", JSONB, nullable=False),
    Column("comment", Text, nullable=False, server_default=text("''")),
    # Counts the edits of a draft.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("created_at", _time(), nullable=False, server_default=text("now()")),
    Column("created_by", Text, nullable=False, server_default=text("''")),
    Column("updated_at", _time(), nullable=False, server_default=text("now()")),
    Column("updated_by", Text, nullable=False, server_default=text("''")),
    # NULL for a draft. Published once, a version never changes again; the tenant's row says which is the one of today.
    Column("published_at", _time()),
    Column("published_by", Text, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("tenant_id", "version"),
)

OPERATIONS = Table(
    "operations",
    METADATA,
    Column("tenant_id", _key()),
    Column("operation_id", BigInteger, Identity(always=True)),
    Column("state", SmallInteger, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("leads_total", BigInteger, nullable=False),
    Column("leads_done", BigInteger, nullable=False, server_default=text("0")),
    Column("leads_changed", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", _time(), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_at", _time()),
    PrimaryKeyConstraint("tenant_id", "operation_id"),
)

OPERATION_PARTITIONS = Table(
    "operation_partitions",
    METADATA,
    # How far an operation has got in each partition; the row goes when the partition is done.
    Column("tenant_id", _key()),
    Column("operation_id", BigInteger),
    Column("partition", SmallInteger),
    # Every lead of the partition up to this id is done.
    Column("cursor", _key(), nullable=False),
    PrimaryKeyConstraint("tenant_id", "operation_id", "partition"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("tenant_id", _key()),
    Column("entry_id", BigInteger, Identity(always=True)),
    Column("at", _time(), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", _key(), nullable=False),
    Column("details", JSONB, nullable=False),
    PrimaryKeyConstraint("tenant_id", "entry_id"),
)
Index("audit_by_subject", AUDIT.c.tenant_id, AUDIT.c.subject, AUDIT.c.entry_id)

PARTITIONS = Table(
    "partitions",
    METADATA,
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    # Everything up to this sequence of the stream is committed.
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    # Raised at each change of ownership; with the position it fences a scorer that lost its lease without noticing.
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    # A scorer, for as long as it is alive; empty: free.
    Column("owner", Text, nullable=False, server_default=text("''")),
)

SCORERS = Table(
    "scorers",
    METADATA,
    Column("scorer_id", Text, primary_key=True),
    # The lease of all its partitions.
    Column("alive_until", _time(), nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("tenant_id", _key()),
    Column("event_id", _key()),
    Column("lead_id", _key(), nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", _time(), nullable=False),
    Column("received_at", _time(), nullable=False),
    Column("source", Text, nullable=False),
    Column("properties", JSONB),
    # Of what the sender sent, before anything was filled in.
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id", "event_id"),
)
Index("events_by_lead", EVENTS.c.tenant_id, EVENTS.c.lead_id, EVENTS.c.occurred_at)
Index(
    "notes_by_lead",
    EVENTS.c.tenant_id,
    EVENTS.c.lead_id,
    EVENTS.c.occurred_at,
    postgresql_where=text("type = '$note'"),
)

LEADS = Table(
    "leads",
    METADATA,
    Column("tenant_id", _key()),
    Column("lead_id", _key()),
    Column("partition", SmallInteger, nullable=False),
    Column("score", Integer, nullable=False),
    # What the model gives; the score is another one while it is set by hand.
    Column("machine_score", Integer, nullable=False),
    Column("engagement", Integer, nullable=False),
    Column("fit", Integer, nullable=False),
    Column("grade", Text, nullable=False),
    # The sequence of the newest ledger row.
    Column("version", BigInteger, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    Column("first_event_at", _time()),
    Column("last_event_at", _time()),
    Column("profile", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    # The source of the earliest event.
    Column("source", Text, nullable=False),
    Column("model_version", Integer, nullable=False),
    # When time alone may change the score next; NULL if it never will.
    Column("due_at", _time()),
    Column("updated_at", _time(), nullable=False),
    # What the scorer goes on from, and what explains the score: counts by rule, since when each profile key is so, and
    # the lines that add up to the score (MessagePack).
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id", "lead_id"),
)
Index("leads_by_last_event", LEADS.c.tenant_id, LEADS.c.last_event_at, LEADS.c.lead_id)
# By partition first: each scorer asks for its own, of all tenants.
Index("leads_due", LEADS.c.partition, LEADS.c.due_at, postgresql_where=text("due_at IS NOT NULL"))
Index("leads_by_score", LEADS.c.tenant_id, LEADS.c.score.desc(), LEADS.c.lead_id)

LEDGER = Table(
    "ledger",
    METADATA,
    Column("tenant_id", _key()),
    Column("lead_id", _key()),
    Column("sequence", BigInteger),
    Column("delta", Integer, nullable=False),
    Column("score_before", Integer, nullable=False),
    Column("score_after", Integer, nullable=False),
    Column("cause", SmallInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", _time()),
    Column("recorded_at", _time(), nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("contributions", JSONB, nullable=False),
    # The thresholds that the change crossed; NULL if none.
    Column("crossings", JSONB),
    PrimaryKeyConstraint("tenant_id", "lead_id", "sequence"),
)

SCORE_COUNTS = Table(
    "score_counts",
    METADATA,
    # How many leads have a score. A rank is a sum over these, whatever the number of leads. Each scorer adds to rows of
    # its own, those of one of its partitions, so that two never wait for the same one; a row by itself means nothing.
    Column("tenant_id", _key()),
    Column("partition", SmallInteger),
    Column("score", Integer),
    Column("leads", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "partition", "score"),
)

_STEP = """
CASE WHEN kind = 8 THEN floor(sqrt(GREATEST({}, 0::bigint)::double precision)) ELSE NULL::double precision END
"""
ROLLUPS = Table(
    "rollups",
    METADATA,
    # Sums for analytics, changed in the transaction of what they count; services/scorer/rollups.py has the kinds. As
    # with score_counts, each scorer adds to rows of its own; a figure is the sum over the partitions.
    Column("tenant_id", _key()),
    Column("kind", SmallInteger),
    # The start of an hour or a day, for what is counted by time; else the start of 1970.
    Column("at", _time()),
    Column("name", _key()),
    Column("partition", SmallInteger),
    Column("count", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    # Of companies, which may be many: their sums in steps, by which the first are found. An index by the sums would be
    # written at each change of one; a step of some hundredths changes seldom. A root is rounded the same everywhere.
    Column("count_step", Double, Computed(_STEP.format("count"), persisted=True)),
    Column("total_step", Double, Computed(_STEP.format("total"), persisted=True)),
    PrimaryKeyConstraint("tenant_id", "kind", "at", "name", "partition"),
)
for _step in (ROLLUPS.c.count_step, ROLLUPS.c.total_step):
    _from_above = ROLLUPS.c.tenant_id, ROLLUPS.c.partition, _step.desc()
    Index(f"rollups_by_{_step.name}", *_from_above, postgresql_where=_step.is_not(None))

SCORE_DAYS = Table(
    "score_days",
    METADATA,
    # The score that a lead had before its first change of a day (by the scorer's clock): movements are measured by it.
    Column("tenant_id", _key()),
    Column("day", Date),
    Column("lead_id", _key()),
    Column("score_before", Integer, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "lead_id"),
)

LEAD_NAMES = Table(
    "lead_names",
    METADATA,
    # What a lead can be found by: its id, name, e-mail and company, and the words of these, in lower case.
    Column("tenant_id", _key()),
    Column("name", _key()),
    Column("lead_id", _key()),
    PrimaryKeyConstraint("tenant_id", "name", "lead_id"),
)
# To take a lead's old names away.
Index("lead_names_by_lead", LEAD_NAMES.c.tenant_id, LEAD_NAMES.c.lead_id)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("tenant_id", _key()),
    Column("item_id", BigInteger, Identity(always=True)),
    Column("event_id", _key(), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("lead_id", Text, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("standing_lead_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_at", _time()),
    Column("received_at", _time(), nullable=False),
    Column("source", Text, nullable=False),
    Column("properties", JSONB),
    # What could not be read, as it came; NULL for what could.
    Column("payload", LargeBinary),
    Column("quarantined_at", _time(), nullable=False),
    # Held, released or dropped, as in the contract's QuarantineState. The row stays: its repeats are known by it.
    Column("state", SmallInteger, nullable=False, server_default=text("1")),
    Column("decided_at", _time()),
    Column("decided_by", Text, nullable=False, server_default=text("''")),
    Column("note", Text, nullable=False, server_default=text("''")),
    Column("released_event_id", Text, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("tenant_id", "item_id"),
)
Index("quarantine_by_state", QUARANTINE.c.tenant_id, QUARANTINE.c.state, QUARANTINE.c.item_id)
# To take away what names a lead that is erased.
Index("quarantine_by_lead", QUARANTINE.c.tenant_id, QUARANTINE.c.lead_id)
Index("quarantine_by_standing_lead", QUARANTINE.c.tenant_id, QUARANTINE.c.standing_lead_id)
Index("quarantine_by_content", QUARANTINE.c.tenant_id, QUARANTINE.c.event_id, QUARANTINE.c.digest, unique=True)

ERASED_FACTS = Table(
    "erased_facts",
    METADATA,
    # By what repeats of erased facts are known: the SHA-256 of the fact's id, and the digest of its content.
    Column("tenant_id", _key()),
    Column("event", LargeBinary),
    Column("digest", LargeBinary),
    PrimaryKeyConstraint("tenant_id", "event", "digest"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    # What was committed and is not known to be announced: written with the scores, removed after the announcement.
    Column("announcement_id", Text, primary_key=True),
    Column("scorer_id", Text, nullable=False),
    Column("tenant_id", Text, nullable=False),
    # The order: the transactions of one scorer follow each other, and within one its announcements are numbered.
    Column("committed_at", _time(), nullable=False, server_default=text("now()")),
    Column("number", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

IMPORTS = Table(
    "imports",
    METADATA,
    Column("tenant_id", _key()),
    Column("import_id", _key()),
    Column("report_number", BigInteger, nullable=False, server_default=text("0")),
    Column("reading", SmallInteger, nullable=False, server_default=text("1")),
    Column("file_name", Text, nullable=False, server_default=text("''")),
    Column("rows_read", BigInteger, nullable=False, server_default=text("0")),
    Column("rows_rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=False, server_default=text("''")),
    # The consistency token that covers all that was sent.
    Column("token", Text, nullable=False, server_default=text("''")),
    Column("started_at", _time(), nullable=False, server_default=text("now()")),
    Column("updated_at", _time(), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("tenant_id", "import_id"),
)
Index("imports_by_start", IMPORTS.c.tenant_id, IMPORTS.c.started_at, IMPORTS.c.import_id)

IMPORT_COUNTS = Table(
    "import_counts",
    METADATA,
    # What the scorer found in an import's events, by partition, so that two scorers never wait for the same row.
    Column("tenant_id", _key()),
    Column("import_id", _key()),
    Column("partition", SmallInteger),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "import_id", "partition"),
)

IMPORT_ERRORS = Table(
    "import_errors",
    METADATA,
    Column("tenant_id", _key()),
    Column("import_id", _key()),
    Column("row", BigInteger),
    Column("field", _key()),
    Column("description", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "import_id", "row", "field"),
)
