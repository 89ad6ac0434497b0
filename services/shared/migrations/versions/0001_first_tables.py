"""The first tables: facts, leads, ledger, models, positions, what was set apart, operations, the audit log."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE audit (
        tenant_id TEXT COLLATE "C" NOT NULL,
        entry_id BIGINT GENERATED ALWAYS AS IDENTITY,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        details JSONB NOT NULL,
        PRIMARY KEY (tenant_id, entry_id)
    )
    """,
    """
    CREATE INDEX audit_by_subject ON audit (tenant_id, subject, entry_id)
    """,
    """
    CREATE TABLE erased_facts (
        tenant_id TEXT COLLATE "C" NOT NULL,
        event BYTEA NOT NULL,
        digest BYTEA NOT NULL,
        PRIMARY KEY (tenant_id, event, digest)
    )
    """,
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
    CREATE INDEX notes_by_lead ON events (tenant_id, lead_id, occurred_at) WHERE type = '$note'
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
    CREATE INDEX imports_by_start ON imports (tenant_id, started_at, import_id)
    """,
    """
    CREATE TABLE leads (
        tenant_id TEXT COLLATE "C" NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        partition SMALLINT NOT NULL,
        score INTEGER NOT NULL,
        machine_score INTEGER NOT NULL,
        engagement INTEGER NOT NULL,
        fit INTEGER NOT NULL,
        grade TEXT NOT NULL,
        version BIGINT NOT NULL,
        event_count BIGINT NOT NULL,
        first_event_at TIMESTAMP WITH TIME ZONE,
        last_event_at TIMESTAMP WITH TIME ZONE,
        profile JSONB NOT NULL,
        status TEXT NOT NULL,
        owner TEXT NOT NULL,
        source TEXT NOT NULL,
        model_version INTEGER NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        state BYTEA NOT NULL,
        PRIMARY KEY (tenant_id, lead_id)
    )
    """,
    """
    CREATE INDEX leads_by_last_event ON leads (tenant_id, last_event_at, lead_id)
    """,
    """
    CREATE TABLE lead_names (
        tenant_id TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (tenant_id, name, lead_id)
    )
    """,
    """
    CREATE INDEX lead_names_by_lead ON lead_names (tenant_id, lead_id)
    """,
    """
    CREATE TABLE rollups (
        tenant_id TEXT COLLATE "C" NOT NULL,
        kind SMALLINT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        partition SMALLINT NOT NULL,
        count BIGINT NOT NULL,
        total BIGINT NOT NULL,
        count_step DOUBLE PRECISION GENERATED ALWAYS AS (
            CASE WHEN kind = 8 THEN floor(sqrt(greatest(count, 0)::float8)) END
        ) STORED,
        total_step DOUBLE PRECISION GENERATED ALWAYS AS (
            CASE WHEN kind = 8 THEN floor(sqrt(greatest(total, 0)::float8)) END
        ) STORED,
        PRIMARY KEY (tenant_id, kind, at, name, partition)
    )
    """,
    """
    CREATE INDEX rollups_by_count_step ON rollups (tenant_id, partition, count_step DESC) WHERE count_step IS NOT NULL
    """,
    """
    CREATE INDEX rollups_by_total_step ON rollups (tenant_id, partition, total_step DESC) WHERE total_step IS NOT NULL
    """,
    """
    CREATE TABLE score_days (
        tenant_id TEXT COLLATE "C" NOT NULL,
        day DATE NOT NULL,
        lead_id TEXT COLLATE "C" NOT NULL,
        score_before INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, day, lead_id)
    )
    """,
    """
    CREATE INDEX leads_due ON leads (partition, due_at) WHERE due_at IS NOT NULL
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
        crossings JSONB,
        PRIMARY KEY (tenant_id, lead_id, sequence)
    )
    """,
    """
    CREATE TABLE models (
        tenant_id TEXT COLLATE "C" NOT NULL,
        version INTEGER NOT NULL,
        definition JSONB NOT NULL,
        comment TEXT DEFAULT '' NOT NULL,
        revision INTEGER DEFAULT 1 NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        created_by TEXT DEFAULT '' NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_by TEXT DEFAULT '' NOT NULL,
        published_at TIMESTAMP WITH TIME ZONE,
        published_by TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (tenant_id, version)
    )
    """,
    """
    CREATE TABLE operation_partitions (
        tenant_id TEXT COLLATE "C" NOT NULL,
        operation_id BIGINT NOT NULL,
        partition SMALLINT NOT NULL,
        cursor TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (tenant_id, operation_id, partition)
    )
    """,
    """
    CREATE TABLE operations (
        tenant_id TEXT COLLATE "C" NOT NULL,
        operation_id BIGINT GENERATED ALWAYS AS IDENTITY,
        state SMALLINT NOT NULL,
        model_version INTEGER NOT NULL,
        leads_total BIGINT NOT NULL,
        leads_done BIGINT DEFAULT 0 NOT NULL,
        leads_changed BIGINT DEFAULT 0 NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        created_by TEXT NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (tenant_id, operation_id)
    )
    """,
    """
    CREATE TABLE outbox (
        announcement_id TEXT NOT NULL,
        scorer_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        committed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        number BIGINT NOT NULL,
        payload BYTEA STORAGE EXTERNAL NOT NULL, -- It is gone within a second: not worth compressing.
        PRIMARY KEY (announcement_id)
    )
    """,
    """
    CREATE TABLE partitions (
        partition SMALLINT NOT NULL,
        position BIGINT DEFAULT 0 NOT NULL,
        epoch BIGINT DEFAULT 0 NOT NULL,
        owner TEXT DEFAULT '' NOT NULL,
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
        state SMALLINT DEFAULT 1 NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE,
        decided_by TEXT DEFAULT '' NOT NULL,
        note TEXT DEFAULT '' NOT NULL,
        released_event_id TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (tenant_id, item_id)
    )
    """,
    """
    CREATE INDEX quarantine_by_state ON quarantine (tenant_id, state, item_id)
    """,
    """
    CREATE INDEX quarantine_by_lead ON quarantine (tenant_id, lead_id)
    """,
    """
    CREATE INDEX quarantine_by_standing_lead ON quarantine (tenant_id, standing_lead_id)
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
