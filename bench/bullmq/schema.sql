-- The tables of the plain version: with fewer columns and indexes than the suite's.

CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    lead_id TEXT NOT NULL,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE leads (
    lead_id TEXT PRIMARY KEY,
    engagement INTEGER NOT NULL,
    fit INTEGER NOT NULL,
    score INTEGER NOT NULL,
    grade TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX leads_by_score ON leads (score DESC, lead_id);

-- The key also finds two first events of a lead at the same time, when there is no row yet to lock: the later one fails
-- and is tried again.
CREATE TABLE ledger (
    lead_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    score_before INTEGER NOT NULL,
    score_after INTEGER NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (lead_id, version)
);
