"""The tables. Every key starts with the tenant, so that tenants can be spread over databases.

Only the scorer writes. Text that is a key is compared by code point (collation "C"): the order of a page is the same on
every machine.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
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
    Column("published_at", _time(), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("tenant_id", "version"),
)

PARTITIONS = Table(
    "partitions",
    METADATA,
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    # Everything up to this sequence of the stream is committed.
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    # Raised at each change of ownership; with the position it fences a scorer that lost its lease without noticing.
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("owner", Text, nullable=False, server_default=text("''")),
    Column("lease_until", _time(), nullable=False, server_default=text("'-infinity'")),
)

SCORERS = Table(
    "scorers",
    METADATA,
    Column("scorer_id", Text, primary_key=True),
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

LEADS = Table(
    "leads",
    METADATA,
    Column("tenant_id", _key()),
    Column("lead_id", _key()),
    Column("partition", SmallInteger, nullable=False),
    Column("score", Integer, nullable=False),
    Column("engagement", Integer, nullable=False),
    Column("fit", Integer, nullable=False),
    Column("grade", Text, nullable=False),
    # The sequence of the newest ledger row.
    Column("version", BigInteger, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    Column("first_event_at", _time()),
    Column("last_event_at", _time()),
    Column("profile", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'new'")),
    Column("model_version", Integer, nullable=False),
    Column("evaluated_on", Date, nullable=False),
    Column("updated_at", _time(), nullable=False),
    # What the scorer goes on from: counts per rule and day, and since when each profile key is so (MessagePack).
    Column("state", LargeBinary, nullable=False),
    # What an explanation shows, written with the score.
    Column("explanation", JSONB, nullable=False),
    PrimaryKeyConstraint("tenant_id", "lead_id"),
)
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
    PrimaryKeyConstraint("tenant_id", "lead_id", "sequence"),
)

SCORE_COUNTS = Table(
    "score_counts",
    METADATA,
    # How many leads of a partition have a score. A rank is a sum over these, whatever the number of leads; they are
    # kept by partition so that two scorers never wait for the same row.
    Column("tenant_id", _key()),
    Column("partition", SmallInteger),
    Column("score", Integer),
    Column("leads", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "partition", "score"),
)

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
    PrimaryKeyConstraint("tenant_id", "item_id"),
)
Index("quarantine_by_content", QUARANTINE.c.tenant_id, QUARANTINE.c.event_id, QUARANTINE.c.digest, unique=True)

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
