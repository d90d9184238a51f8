-- Both stores. `version` is local and rises with every change; `versions` is NULL where the row's own dot says it all.
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;

-- One row: a global store's revision and last stamp; a region's own origin, and the last stamp that no entry tells of.
CREATE TABLE IF NOT EXISTS counters (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    origin TEXT NOT NULL
);
INSERT OR IGNORE INTO counters (id, version, stamp, origin) VALUES (1, 0, 0, '');

CREATE TABLE IF NOT EXISTS rows (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    stamp INTEGER NOT NULL,
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    versions BLOB,
    version INTEGER NOT NULL,
    expires_at REAL,
    PRIMARY KEY (tbl, key)
) WITHOUT ROWID;

-- Which rows an index of a table finds under an entry; kept in the transaction that writes the row.
CREATE TABLE IF NOT EXISTS indexed (
    tbl TEXT NOT NULL,
    idx TEXT NOT NULL,
    entry TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (tbl, idx, entry, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outcomes (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    unit TEXT NOT NULL,
    record BLOB NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

-- A region's store alone: the journal of every origin, how far each is applied, and what did not merge plainly.
CREATE TABLE IF NOT EXISTS journal (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (origin, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cursors (
    origin TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;

-- What the entries made that the journal has dropped, and up to where it has: the rest of the journal goes on from here.
CREATE TABLE IF NOT EXISTS base (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    stamp INTEGER NOT NULL,
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    versions BLOB,
    expires_at REAL,
    PRIMARY KEY (tbl, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS floors (
    origin TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    fenced INTEGER NOT NULL,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;

-- A peer's snapshot on its way into this store.
CREATE TABLE IF NOT EXISTS staged (
    section INTEGER NOT NULL,
    major TEXT NOT NULL,
    minor TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (section, major, minor)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS parked (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (origin, seq)
) WITHOUT ROWID;

-- Journal entries that came without something that this region may hold, and whether they are whole by now.
CREATE TABLE IF NOT EXISTS gaps (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    filled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (origin, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS conflicts (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    rule TEXT NOT NULL,
    ours BLOB NOT NULL,
    theirs BLOB NOT NULL
);

-- Units under a key besides the one that is kept.
CREATE TABLE IF NOT EXISTS doubled (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    unit TEXT NOT NULL,
    kept BLOB NOT NULL,
    other BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (scope, key, unit)
) WITHOUT ROWID;

-- The global store alone: what each transaction answered, so that a repeated call answers the same.
CREATE TABLE IF NOT EXISTS transactions (
    id TEXT PRIMARY KEY,
    result BLOB NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS transactions_by_age ON transactions (at);

CREATE INDEX IF NOT EXISTS tombstones ON rows (version) WHERE value IS NULL;

CREATE INDEX IF NOT EXISTS base_tombstones ON base (stamp) WHERE value IS NULL;

CREATE INDEX IF NOT EXISTS control_rows ON rows (version) WHERE substr(tbl, 1, 1) = '~';

CREATE INDEX IF NOT EXISTS expiring ON rows (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS base_expiring ON base (expires_at) WHERE expires_at IS NOT NULL;
