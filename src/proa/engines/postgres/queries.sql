-- name: settings
-- What decides whether an acknowledged commit is durable.
SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit');

-- name: set
-- A setting of this session.
SELECT set_config(%s, %s, false);

-- name: format
SELECT format FROM proa_counters WHERE id = 1;

-- name: found
-- The store exists from here on.
INSERT INTO proa_counters (id, version, stamp, format) VALUES (1, 0, 0, %s) ON CONFLICT (id) DO NOTHING;

-- name: begin
BEGIN;

-- name: begin_view
-- All that it reads is of one moment.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: patient
-- This transaction may take its time.
SELECT set_config('lock_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true),
    set_config('statement_timeout', '0', true);

-- name: lock
-- The counters, which nobody else has until this transaction ends.
SELECT version, stamp FROM proa_counters WHERE id = 1 FOR UPDATE;

-- name: clock
-- The database's, in seconds since the Unix epoch.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: revision
SELECT version FROM proa_counters WHERE id = 1;

-- name: put_counters
UPDATE proa_counters SET version = %s, stamp = %s WHERE id = 1;

-- name: versions
SELECT tbl, key, version FROM proa_rows
WHERE (tbl, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]));

-- name: rows
SELECT tbl, key, value, stamp, version, expires_at FROM proa_rows
WHERE (tbl, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]));

-- name: scan
SELECT tbl, key, value, stamp, version, expires_at FROM proa_rows WHERE tbl = %s ORDER BY key;

-- name: rows_between
-- Rows of a stretch of a table in the order of keys: a row that is deleted or expired is not there.
SELECT tbl, key, value, stamp, version, expires_at FROM proa_rows
WHERE tbl = %(table)s AND key >= %(start)s AND key < %(end)s AND value IS NOT NULL
    AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY key LIMIT %(limit)s;

-- name: rows_between_reversed
-- The same, the last ones first.
SELECT tbl, key, value, stamp, version, expires_at FROM proa_rows
WHERE tbl = %(table)s AND key >= %(start)s AND key < %(end)s AND value IS NOT NULL
    AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY key DESC LIMIT %(limit)s;

-- name: entries_between
-- Rows in the order of an index.
SELECT r.tbl, r.key, value, stamp, version, expires_at
FROM proa_indexed i JOIN proa_rows r ON r.tbl = i.tbl AND r.key = i.key
WHERE i.tbl = %(table)s AND idx = %(index)s
    AND (entry, i.key) >= (%(start_entry)s, %(start)s) AND (entry, i.key) < (%(end_entry)s, %(end)s)
    AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY entry, i.key LIMIT %(limit)s;

-- name: entries_between_reversed
-- The same, the last ones first.
SELECT r.tbl, r.key, value, stamp, version, expires_at
FROM proa_indexed i JOIN proa_rows r ON r.tbl = i.tbl AND r.key = i.key
WHERE i.tbl = %(table)s AND idx = %(index)s
    AND (entry, i.key) >= (%(start_entry)s, %(start)s) AND (entry, i.key) < (%(end_entry)s, %(end)s)
    AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY entry DESC, i.key DESC LIMIT %(limit)s;

-- name: changes
-- The revision, the time, and the control rows changed after a revision, of one moment; nothing but the former two
-- where none did.
SELECT c.version, extract(epoch FROM clock_timestamp())::float8,
    r.tbl, r.key, r.value, r.stamp, r.version, r.expires_at, r.routine
FROM proa_counters c LEFT JOIN proa_rows r ON substr(r.tbl, 1, 1) = '~' AND r.version > %s
WHERE c.id = 1 ORDER BY r.version, r.tbl, r.key;

-- name: changed
-- The same without what they say.
SELECT c.version, r.tbl, r.key, r.version, r.routine
FROM proa_counters c LEFT JOIN proa_rows r ON substr(r.tbl, 1, 1) = '~' AND r.version > %s
WHERE c.id = 1 ORDER BY r.version;

-- name: news
-- The revision, and of which revision the last news in each control table is.
SELECT c.version, n.tbl, n.version FROM proa_counters c LEFT JOIN (
    SELECT tbl, max(version) AS version FROM proa_rows WHERE substr(tbl, 1, 1) = '~' AND NOT routine GROUP BY tbl
) n ON true
WHERE c.id = 1;

-- name: listen
LISTEN proa;

-- name: notify
NOTIFY proa;

-- name: put_rows
INSERT INTO proa_rows (tbl, key, value, stamp, version, expires_at, routine)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::bytea[], %s::bigint[], %s::bigint[], %s::double precision[], %s::boolean[]
)
ON CONFLICT (tbl, key) DO UPDATE SET
    value = excluded.value, stamp = excluded.stamp, version = excluded.version, expires_at = excluded.expires_at,
    routine = excluded.routine;

-- name: collect_rows
-- Some of the rows that expired before a time, with their entries.
WITH gone AS (
    DELETE FROM proa_rows WHERE (tbl, key) IN (
        SELECT tbl, key FROM proa_rows WHERE expires_at <= %s ORDER BY expires_at LIMIT %s
    ) RETURNING tbl, key
)
DELETE FROM proa_indexed USING gone WHERE proa_indexed.tbl = gone.tbl AND proa_indexed.key = gone.key;

-- name: entries
-- Those of some rows.
SELECT tbl, idx, entry, key FROM proa_indexed
WHERE (tbl, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]));

-- name: put_entries
INSERT INTO proa_indexed (tbl, idx, entry, key)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]);

-- name: drop_entries
DELETE FROM proa_indexed
WHERE (tbl, idx, entry, key) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]));

-- name: drop_entries_of_table
DELETE FROM proa_indexed WHERE tbl = %s;

-- name: values_after
-- The next rows of a table that are not deleted.
SELECT key, value FROM proa_rows WHERE tbl = %s AND key > %s AND value IS NOT NULL ORDER BY key LIMIT %s;

-- name: shapes
SELECT tbl, shape FROM proa_shapes;

-- name: shapes_indexed
-- How those of some tables are declared that have indexes.
SELECT tbl, shape FROM proa_shapes WHERE has_indexes AND tbl = ANY(%s::text[]);

-- name: drop_shapes
DELETE FROM proa_shapes;

-- name: put_shapes
INSERT INTO proa_shapes (tbl, shape, has_indexes)
SELECT * FROM unnest(%s::text[], %s::text[], %s::boolean[]);

-- name: outcome
-- One that has not expired.
SELECT record FROM proa_outcomes
WHERE scope = %s AND key = %s AND expires_at > extract(epoch FROM clock_timestamp());

-- name: outcomes
SELECT record FROM proa_outcomes WHERE (scope, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]));

-- name: put_outcomes
INSERT INTO proa_outcomes (scope, key, record, expires_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::double precision[])
ON CONFLICT (scope, key) DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at;

-- name: expire_outcomes
DELETE FROM proa_outcomes WHERE (scope, key) IN (
    SELECT scope, key FROM proa_outcomes WHERE expires_at <= %s ORDER BY expires_at LIMIT %s
);

-- name: transactions
SELECT id, result FROM proa_transactions WHERE id = ANY(%s::text[]);

-- name: put_transactions
INSERT INTO proa_transactions (id, result, at) SELECT * FROM unnest(%s::text[], %s::bytea[], %s::double precision[]);

-- name: expire_transactions
DELETE FROM proa_transactions WHERE at <= %s;
