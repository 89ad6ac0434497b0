"""The tables of the main path: facts, leads, ledger, positions, what was set apart."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE events (
        tenant_id TEXT COLLATE "C" NOT NULL,
        event_id TEXT COLLATE "C" NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        type TEXT NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        source TEXT NOT NULL,
        properties JSONB,
        digest BYTEA NOT NULL,
        PRIMARY KEY (tenant_id, event_id)
    )
    """,
    """
    CREATE INDEX events_by_lead ON events (tenant_id, lead_id, occurred_at)
    """,
    """
    CREATE TABLE import_counts (
        tenant_id TEXT COLLATE "C" NOT NULL,
        import_id TEXT COLLATE "C" NOT NULL,
        partition SMALLINT NOT NULL,
        accepted BIGINT NOT NULL,
        duplicates BIGINT NOT NULL,
        conflicts BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, import_id, partition)
    )
    """,
    """
    CREATE TABLE import_errors (
        tenant_id TEXT COLLATE "C" NOT NULL,
        import_id TEXT COLLATE "C" NOT NULL,
        row BIGINT NOT NULL,
        field TEXT COLLATE "C" NOT NULL,
        description TEXT NOT NULL,
        PRIMARY KEY (tenant_id, import_id, row, field)
    )
    """,
    """
    CREATE TABLE imports (
        tenant_id TEXT COLLATE "C" NOT NULL,
        import_id TEXT COLLATE "C" NOT NULL,
        report_number BIGINT DEFAULT 0 NOT NULL,
        reading SMALLINT DEFAULT 1 NOT NULL,
        file_name TEXT DEFAULT '' NOT NULL,
        rows_read BIGINT DEFAULT 0 NOT NULL,
        rows_rejected BIGINT DEFAULT 0 NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        token TEXT DEFAULT '' NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        PRIMARY KEY (tenant_id, import_id)
    )
    """,
    """
    CREATE TABLE leads (
        tenant_id TEXT COLLATE "C" NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        partition SMALLINT NOT NULL,
        score INTEGER NOT NULL,
        engagement INTEGER NOT NULL,
        fit INTEGER NOT NULL,
        grade TEXT NOT NULL,
        version BIGINT NOT NULL,
        event_count BIGINT NOT NULL,
        first_event_at TIMESTAMP WITH TIME ZONE,
        last_event_at TIMESTAMP WITH TIME ZONE,
        profile JSONB NOT NULL,
        status TEXT DEFAULT 'new' NOT NULL,
        model_version INTEGER NOT NULL,
        evaluated_on DATE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        state BYTEA NOT NULL,
        explanation JSONB NOT NULL,
        PRIMARY KEY (tenant_id, lead_id)
    )
    """,
    """
    CREATE INDEX leads_by_score ON leads (tenant_id, score DESC, lead_id)
    """,
    """
    CREATE TABLE ledger (
        tenant_id TEXT COLLATE "C" NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        sequence BIGINT NOT NULL,
        delta INTEGER NOT NULL,
        score_before INTEGER NOT NULL,
        score_after INTEGER NOT NULL,
        cause SMALLINT NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        model_version INTEGER NOT NULL,
        contributions JSONB NOT NULL,
        PRIMARY KEY (tenant_id, lead_id, sequence)
    )
    """,
    """
    CREATE TABLE models (
        tenant_id TEXT COLLATE "C" NOT NULL,
        version INTEGER NOT NULL,
        definition JSONB NOT NULL,
        published_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        PRIMARY KEY (tenant_id, version)
    )
    """,
    """
    CREATE TABLE outbox (
        announcement_id TEXT NOT NULL,
        scorer_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        committed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        number BIGINT NOT NULL,
        payload BYTEA NOT NULL,
        PRIMARY KEY (announcement_id)
    )
    """,
    """
    CREATE TABLE partitions (
        partition SMALLINT NOT NULL,
        position BIGINT DEFAULT 0 NOT NULL,
        epoch BIGINT DEFAULT 0 NOT NULL,
        owner TEXT DEFAULT '' NOT NULL,
        lease_until TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
        PRIMARY KEY (partition)
    )
    """,
    """
    CREATE TABLE quarantine (
        tenant_id TEXT COLLATE "C" NOT NULL,
        item_id BIGINT GENERATED ALWAYS AS IDENTITY,
        event_id TEXT COLLATE "C" NOT NULL,
        digest BYTEA NOT NULL,
        lead_id TEXT NOT NULL,
        reason SMALLINT NOT NULL,
        detail TEXT NOT NULL,
        standing_lead_id TEXT NOT NULL,
        type TEXT NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        source TEXT NOT NULL,
        properties JSONB,
        payload BYTEA,
        quarantined_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (tenant_id, item_id)
    )
    """,
    """
    CREATE UNIQUE INDEX quarantine_by_content ON quarantine (tenant_id, event_id, digest)
    """,
    """
    CREATE TABLE score_counts (
        tenant_id TEXT COLLATE "C" NOT NULL,
        partition SMALLINT NOT NULL,
        score INTEGER NOT NULL,
        leads BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, partition, score)
    )
    """,
    """
    CREATE TABLE scorers (
        scorer_id TEXT NOT NULL,
        alive_until TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (scorer_id)
    )
    """,
    """
    CREATE TABLE tenants (
        tenant_id TEXT COLLATE "C" NOT NULL,
        model_version INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        PRIMARY KEY (tenant_id)
    )
    """,
)


def upgrade() -> None:
    """Creates the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
