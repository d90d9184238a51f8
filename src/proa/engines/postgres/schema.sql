-- The global store. All text sorts by its bytes, whatever the database's own collation is.

CREATE TABLE IF NOT EXISTS proa_rows (
    tbl TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value BYTEA,
    stamp BIGINT NOT NULL,
    version BIGINT NOT NULL,
    expires_at DOUBLE PRECISION,
    routine BOOLEAN NOT NULL,
    PRIMARY KEY (tbl, key)
);

-- What watchers are told of: control tables alone.
CREATE INDEX IF NOT EXISTS proa_control_rows ON proa_rows (version) WHERE substr(tbl, 1, 1) = '~';

CREATE INDEX IF NOT EXISTS proa_expiring ON proa_rows (expires_at) WHERE expires_at IS NOT NULL;

-- Which rows an index of a table finds under an entry; kept in the transaction that writes the row.
CREATE TABLE IF NOT EXISTS proa_indexed (
    tbl TEXT COLLATE "C" NOT NULL,
    idx TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tbl, idx, entry, key)
);

CREATE INDEX IF NOT EXISTS proa_indexed_rows ON proa_indexed (tbl, key);

-- How the tables are declared whose entries are kept, and whether there are any.
CREATE TABLE IF NOT EXISTS proa_shapes (
    tbl TEXT COLLATE "C" PRIMARY KEY,
    shape TEXT NOT NULL,
    has_indexes BOOLEAN NOT NULL
);

CREATE TABLE IF NOT EXISTS proa_outcomes (
    scope TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    record BYTEA NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX IF NOT EXISTS proa_outcomes_expiring ON proa_outcomes (expires_at);

-- What each transaction answered, so that a repeated call answers the same.
CREATE TABLE IF NOT EXISTS proa_transactions (
    id TEXT COLLATE "C" PRIMARY KEY,
    result BYTEA NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE INDEX IF NOT EXISTS proa_transactions_by_age ON proa_transactions (at);

-- One row, there once all else is: every commit locks it, so that revisions rise in the order of commits.
CREATE TABLE IF NOT EXISTS proa_counters (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,
    stamp BIGINT NOT NULL,
    format INTEGER NOT NULL
);
