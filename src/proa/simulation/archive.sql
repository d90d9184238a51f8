-- What compaction drops from a journal is kept beside it, in the same transaction, for the checkers alone.
CREATE TABLE IF NOT EXISTS archive (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (origin, seq)
) WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS archived BEFORE DELETE ON journal BEGIN
    INSERT OR REPLACE INTO archive (origin, seq, entry) VALUES (old.origin, old.seq, old.entry);
END;
