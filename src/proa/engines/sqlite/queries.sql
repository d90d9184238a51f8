-- name: row
-- One row by its address, tombstones included.
SELECT value, stamp, origin, seq, versions, version, expires_at FROM rows WHERE tbl = ? AND key = ?;

-- name: version
-- Only what validation needs.
SELECT version FROM rows WHERE tbl = ? AND key = ?;

-- name: row_version
-- Only what a new write needs.
SELECT version, origin, seq, versions FROM rows WHERE tbl = ? AND key = ?;

-- name: put_row
INSERT INTO rows (tbl, key, value, stamp, origin, seq, versions, version, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tbl, key) DO UPDATE SET
    value = excluded.value, stamp = excluded.stamp, origin = excluded.origin, seq = excluded.seq,
    versions = excluded.versions, version = excluded.version, expires_at = excluded.expires_at;

-- name: put_next_row
-- The same where no other origin ever wrote the row, so that its version vector is the new dot; the row count tells.
INSERT INTO rows (tbl, key, value, stamp, origin, seq, versions, version, expires_at)
VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)
ON CONFLICT (tbl, key) DO UPDATE SET
    value = excluded.value, stamp = excluded.stamp, seq = excluded.seq, version = excluded.version,
    expires_at = excluded.expires_at
WHERE rows.origin = excluded.origin AND rows.versions IS NULL AND rows.seq < excluded.seq;

-- name: drop_row
DELETE FROM rows WHERE tbl = ? AND key = ?;

-- name: drop_row_of_version
DELETE FROM rows WHERE tbl = ? AND key = ? AND version = ?;

-- name: tombstones
-- The oldest deleted rows.
SELECT tbl, key, version, origin, seq, versions FROM rows WHERE value IS NULL ORDER BY version LIMIT ?;

-- name: expired
-- The rows that expired first, up to a time.
SELECT tbl, key FROM rows WHERE expires_at <= ? ORDER BY expires_at LIMIT ?;

-- name: expired_rows
-- The same with what tells who has passed them; a deleted row is a tombstone.
SELECT tbl, key, version, origin, seq, versions FROM rows
WHERE expires_at <= ? AND value IS NOT NULL ORDER BY expires_at LIMIT ?;

-- name: scan
SELECT key, value, stamp, origin, seq, versions, version, expires_at FROM rows WHERE tbl = ? ORDER BY key;

-- name: rows_between
-- Rows of a stretch of a table in the order of keys: a row that is deleted or expired is not there.
SELECT key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE tbl = :table AND key >= :start AND key < :end AND value IS NOT NULL
    AND (expires_at IS NULL OR expires_at > :now)
ORDER BY key LIMIT :limit;

-- name: rows_between_reversed
-- The same, the last ones first.
SELECT key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE tbl = :table AND key >= :start AND key < :end AND value IS NOT NULL
    AND (expires_at IS NULL OR expires_at > :now)
ORDER BY key DESC LIMIT :limit;

-- name: rows_walked
-- The next rows of a stretch in the order of keys, those included that are not there any more.
SELECT key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE tbl = :table AND key >= :start AND key < :end ORDER BY key LIMIT :limit;

-- name: rows_walked_reversed
-- The same, the last ones first.
SELECT key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE tbl = :table AND key >= :start AND key < :end ORDER BY key DESC LIMIT :limit;

-- name: entries_between
-- Rows in the order of an index. CROSS JOIN keeps SQLite from walking the rows first.
SELECT rows.key, rows.value, stamp, origin, seq, versions, version, expires_at
FROM indexed CROSS JOIN rows ON rows.tbl = indexed.tbl AND rows.key = indexed.key
WHERE indexed.tbl = :table AND idx = :index
    AND (entry, indexed.key) >= (:start_entry, :start) AND (entry, indexed.key) < (:end_entry, :end)
    AND (expires_at IS NULL OR expires_at > :now)
ORDER BY entry, indexed.key LIMIT :limit;

-- name: entries_between_reversed
-- The same, the last ones first.
SELECT rows.key, rows.value, stamp, origin, seq, versions, version, expires_at
FROM indexed CROSS JOIN rows ON rows.tbl = indexed.tbl AND rows.key = indexed.key
WHERE indexed.tbl = :table AND idx = :index
    AND (entry, indexed.key) >= (:start_entry, :start) AND (entry, indexed.key) < (:end_entry, :end)
    AND (expires_at IS NULL OR expires_at > :now)
ORDER BY entry DESC, indexed.key DESC LIMIT :limit;

-- name: count_of_rows
SELECT count(*) FROM rows
WHERE tbl = :table AND key >= :start AND key < :end AND value IS NOT NULL
    AND (expires_at IS NULL OR expires_at > :now);

-- name: count_of_entries
SELECT count(*)
FROM indexed CROSS JOIN rows ON rows.tbl = indexed.tbl AND rows.key = indexed.key
WHERE indexed.tbl = :table AND idx = :index
    AND (entry, indexed.key) >= (:start_entry, :start) AND (entry, indexed.key) < (:end_entry, :end)
    AND (expires_at IS NULL OR expires_at > :now);

-- name: rows_further_on
-- The row that is so many behind the start of a stretch, deleted ones included.
SELECT '', key FROM rows WHERE tbl = :table AND key >= :start AND key < :end ORDER BY key LIMIT 1 OFFSET :limit;

-- name: rows_further_on_reversed
-- The same from its end.
SELECT '', key FROM rows WHERE tbl = :table AND key >= :start AND key < :end ORDER BY key DESC LIMIT 1 OFFSET :limit;

-- name: entries_further_on
-- The same of an index.
SELECT entry, key FROM indexed
WHERE tbl = :table AND idx = :index AND (entry, key) >= (:start_entry, :start) AND (entry, key) < (:end_entry, :end)
ORDER BY entry, key LIMIT 1 OFFSET :limit;

-- name: entries_further_on_reversed
-- The same from its end.
SELECT entry, key FROM indexed
WHERE tbl = :table AND idx = :index AND (entry, key) >= (:start_entry, :start) AND (entry, key) < (:end_entry, :end)
ORDER BY entry DESC, key DESC LIMIT 1 OFFSET :limit;

-- name: stretch
-- Rows of a stretch of keys, with what regions must agree on; deleted and expired ones included, which may be many.
SELECT key, value, stamp, origin, seq, versions, expires_at FROM rows
WHERE tbl = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?;

-- name: value
SELECT value FROM rows WHERE tbl = ? AND key = ?;

-- name: values
-- Every row of a table that is not deleted.
SELECT key, value FROM rows WHERE tbl = ? AND value IS NOT NULL;

-- name: all_index_entries
SELECT tbl, idx, entry, key FROM indexed;

-- name: put_index_entry
INSERT INTO indexed (tbl, idx, entry, key) VALUES (?, ?, ?, ?);

-- name: drop_index_entry
DELETE FROM indexed WHERE tbl = ? AND idx = ? AND entry = ? AND key = ?;

-- name: drop_index_entries_of
-- All entries of one row; walks those of its table, so it is for rows that were found damaged.
DELETE FROM indexed WHERE tbl = ? AND key = ?;

-- name: drop_index_entries
DELETE FROM indexed WHERE tbl = ?;

-- name: control_changes
-- Rows of control tables changed after a revision.
SELECT tbl, key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE substr(tbl, 1, 1) = '~' AND version > ? ORDER BY version;

-- name: outcome
SELECT record, expires_at FROM outcomes WHERE scope = ? AND key = ?;

-- name: outcome_of_unit
-- A record with the unit that it is of, which it need not tell itself.
SELECT unit, record FROM outcomes WHERE scope = ? AND key = ?;

-- name: all_outcomes
SELECT scope, key, record FROM outcomes;

-- name: put_outcome
INSERT INTO outcomes (scope, key, unit, record, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope, key) DO UPDATE SET
    unit = excluded.unit, record = excluded.record, expires_at = excluded.expires_at;

-- name: claim_outcome
-- Record a finished unit unless its key is taken by one that has not expired; the row count tells.
INSERT INTO outcomes (scope, key, unit, record, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope, key) DO UPDATE SET
    unit = excluded.unit, record = excluded.record, expires_at = excluded.expires_at
WHERE outcomes.expires_at <= ?;

-- name: drop_outcome
-- Only where it is still the one that this unit recorded.
DELETE FROM outcomes WHERE scope = ? AND key = ? AND unit = ?;

-- name: outcome_further_on
-- The record that is so many behind another one in key order.
SELECT scope, key FROM outcomes WHERE (scope, key) > (?, ?) ORDER BY scope, key LIMIT 1 OFFSET ?;

-- name: expire_outcomes
-- Those after one record and before another one that have expired.
DELETE FROM outcomes WHERE (scope, key) > (?, ?) AND (scope, key) < (?, ?) AND expires_at <= ?;

-- name: readdress_outcome
UPDATE outcomes SET key = ? WHERE scope = ? AND key = ?;

-- name: readdress_duplicate
UPDATE doubled SET key = ? WHERE scope = ? AND key = ?;

-- name: duplicate_keys
SELECT DISTINCT scope, key FROM doubled;

-- name: next_table
-- The first table with rows after a name.
SELECT min(tbl) FROM rows WHERE tbl > ?;

-- name: rows_from
-- The next rows of a table in the order of keys, deleted ones included.
SELECT key, value FROM rows WHERE tbl = ? AND key > ? ORDER BY key LIMIT ?;

-- name: index_counts
SELECT tbl, count(*) FROM indexed GROUP BY tbl;

-- name: conflict_counts
SELECT tbl, count(*) FROM conflicts GROUP BY tbl;

-- name: records_from
-- The next outcomes in key order.
SELECT scope, key, record FROM outcomes WHERE (scope, key) > (?, ?) ORDER BY scope, key LIMIT ?;

-- name: entries_from
-- The next journal entries of all origins.
SELECT origin, seq, entry FROM journal WHERE (origin, seq) > (?, ?) ORDER BY origin, seq LIMIT ?;

-- name: put_gap
INSERT INTO gaps (origin, seq) VALUES (?, ?);

-- name: gaps
-- The entries of commits that lack here what this region may hold, from one on.
SELECT j.origin, j.seq, j.entry FROM gaps g JOIN journal j ON j.origin = g.origin AND j.seq = g.seq
WHERE filled = 0 AND (g.origin, g.seq) > (?, ?) ORDER BY g.origin, g.seq LIMIT ?;

-- name: open_gaps
SELECT origin, seq FROM gaps WHERE filled = 0;

-- name: is_gap
SELECT 1 FROM gaps WHERE origin = ? AND seq = ? AND filled = 0;

-- name: fill_gap
UPDATE gaps SET filled = 1 WHERE origin = ? AND seq = ?;

-- name: all_gaps
-- Every commit that ever came incomplete.
SELECT origin, seq FROM gaps;

-- name: drop_gaps
-- Those of an origin up to a sequence.
DELETE FROM gaps WHERE origin = ? AND seq <= ?;

-- name: replace_entry
UPDATE journal SET entry = ? WHERE origin = ? AND seq = ?;

-- name: put_entry
INSERT INTO journal (origin, seq, entry) VALUES (?, ?, ?);

-- name: entries_after
SELECT seq, entry FROM journal WHERE origin = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: entries_up_to
SELECT seq, entry FROM journal WHERE origin = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?;

-- name: all_entries
SELECT origin, seq, entry FROM journal;

-- name: drop_entries
-- The entries that the base holds, without those that are parked.
DELETE FROM journal WHERE origin = ? AND seq > ? AND seq <= ? AND NOT EXISTS (
    SELECT 1 FROM parked WHERE parked.origin = journal.origin AND parked.seq = journal.seq
);

-- name: first_entry
-- The oldest entry of an origin that is not parked.
SELECT seq FROM journal WHERE origin = ? AND NOT EXISTS (
    SELECT 1 FROM parked WHERE parked.origin = journal.origin AND parked.seq = journal.seq
) ORDER BY seq LIMIT 1;

-- name: keep_entry
-- One that a snapshot tells of.
INSERT OR IGNORE INTO journal (origin, seq, entry) VALUES (?, ?, ?);

-- name: floors
SELECT origin, seq, stamp, fenced, epoch FROM floors;

-- name: put_floor
INSERT INTO floors (origin, seq, stamp, fenced, epoch) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (origin) DO UPDATE SET
    seq = excluded.seq, stamp = excluded.stamp, fenced = excluded.fenced, epoch = excluded.epoch;

-- name: base_row
-- In the columns of `row`; a local version it has none.
SELECT value, stamp, origin, seq, versions, 0, expires_at FROM base WHERE tbl = ? AND key = ?;

-- name: put_base_row
INSERT INTO base (tbl, key, value, stamp, origin, seq, versions, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tbl, key) DO UPDATE SET
    value = excluded.value, stamp = excluded.stamp, origin = excluded.origin, seq = excluded.seq,
    versions = excluded.versions, expires_at = excluded.expires_at;

-- name: put_next_base_row
-- The same where no other origin ever wrote the row, like `put_next_row`.
INSERT INTO base (tbl, key, value, stamp, origin, seq, versions, expires_at)
VALUES (?, ?, ?, ?, ?, ?, NULL, ?)
ON CONFLICT (tbl, key) DO UPDATE SET
    value = excluded.value, stamp = excluded.stamp, seq = excluded.seq, expires_at = excluded.expires_at
WHERE base.origin = excluded.origin AND base.versions IS NULL AND base.seq < excluded.seq;

-- name: drop_base_row
DELETE FROM base WHERE tbl = ? AND key = ?;

-- name: base_after
-- The base in the order of a snapshot, in the columns of `row`.
SELECT tbl, key, value, stamp, origin, seq, versions, 0, expires_at FROM base
WHERE (tbl, key) > (?, ?) ORDER BY tbl, key;

-- name: rows_after
-- All tables' rows in the same order.
SELECT tbl, key, value, stamp, origin, seq, versions, version, expires_at FROM rows
WHERE (tbl, key) > (?, ?) ORDER BY tbl, key;

-- name: base_tombstones
-- Deleted rows of the base between two stamps, the oldest first.
SELECT stamp, tbl, key FROM base WHERE value IS NULL AND stamp >= ? AND stamp <= ? ORDER BY stamp LIMIT ?;

-- name: expired_base_rows
-- Rows of the base that expired between two times and are not younger than a stamp, the first to expire first.
SELECT expires_at, tbl, key FROM base WHERE expires_at >= ? AND expires_at <= ? AND stamp <= ?
ORDER BY expires_at LIMIT ?;

-- name: forget_base_row
-- Unless the rows themselves have not forgotten it yet.
DELETE FROM base WHERE tbl = ?1 AND key = ?2
    AND NOT EXISTS (SELECT 1 FROM rows WHERE rows.tbl = ?1 AND rows.key = ?2);

-- name: outcomes_after
-- What a snapshot tells of finished keys, in its order.
SELECT scope, key, record FROM outcomes WHERE (scope, key) > (?, ?) AND expires_at > ? ORDER BY scope, key;

-- name: duplicates_after
SELECT scope, key, unit, kept, other, at FROM doubled WHERE (scope, key, unit) > (?, ?, ?) ORDER BY scope, key, unit;

-- name: keep_duplicate
INSERT OR IGNORE INTO doubled (scope, key, unit, kept, other, at) VALUES (?, ?, ?, ?, ?, ?);

-- name: put_staged
INSERT OR REPLACE INTO staged (section, major, minor, content) VALUES (?, ?, ?, ?);

-- name: staged_after
-- A section's items in order.
SELECT major, minor, content FROM staged WHERE section = ? AND (major, minor) > (?, ?) ORDER BY major, minor;

-- name: drop_staged
DELETE FROM staged;

-- name: drop_meta
DELETE FROM meta WHERE name = ?;

-- name: put_cursor
INSERT INTO cursors (origin, seq) VALUES (?, ?) ON CONFLICT (origin) DO UPDATE SET seq = excluded.seq;

-- name: cursors
-- How far each origin is applied; the store's own is as long as its journal, what it has dropped included.
SELECT origin, seq FROM cursors
UNION ALL
SELECT origin, max(
    ifnull((SELECT max(seq) FROM journal WHERE journal.origin = counters.origin), 0),
    ifnull((SELECT seq FROM floors WHERE floors.origin = counters.origin), 0)
)
FROM counters WHERE origin <> '';

-- name: entry
SELECT entry FROM journal WHERE origin = ? AND seq = ?;

-- name: last_entry
-- The newest entry of an origin.
SELECT seq, entry FROM journal WHERE origin = ? ORDER BY seq DESC LIMIT 1;

-- name: stamp_of_rows
-- When a commit was made, as the rows tell that it wrote; walks all rows, so it is for an entry that was found damaged.
SELECT max(stamp) FROM rows WHERE origin = ? AND seq = ?;

-- name: park
INSERT OR IGNORE INTO parked (origin, seq, epoch, at) VALUES (?, ?, ?, ?);

-- name: parked
SELECT p.origin, p.seq, p.epoch, p.at, j.entry FROM parked p JOIN journal j ON j.origin = p.origin AND j.seq = p.seq
ORDER BY p.origin, p.seq;

-- name: put_conflict
INSERT INTO conflicts (at, tbl, key, rule, ours, theirs) VALUES (?, ?, ?, ?, ?, ?);

-- name: conflicts
-- The newest first, of a table, a key (its parts divided as stored, or by a slash) and a time on where given.
SELECT at, rule, ours, theirs FROM conflicts
WHERE (:table = '' OR tbl = :table) AND (:key = '' OR key = :key OR replace(key, char(31), '/') = :key)
    AND at >= :since
ORDER BY id DESC LIMIT :limit;

-- name: drop_conflicts
-- Those noted before a time, and the oldest beyond a number that are kept.
DELETE FROM conflicts WHERE at < ? OR id <= (SELECT max(id) FROM conflicts) - ?;

-- name: put_duplicate
-- Where it is listed already, this copy may say more.
INSERT INTO doubled (scope, key, unit, kept, other, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, key, unit) DO UPDATE SET kept = excluded.kept, other = excluded.other;

-- name: duplicates
-- Each with the mark of the unit that dealt with it, if one did.
SELECT d.kept, d.other, d.at, r.value, d.scope, d.key, d.unit FROM doubled d LEFT JOIN rows r ON r.tbl = ? AND r.key = d.unit
ORDER BY d.at, d.unit;

-- name: count_duplicates
SELECT count(*), count(r.key) FROM doubled d LEFT JOIN rows r ON r.tbl = ? AND r.key = d.unit;

-- name: duplicate
-- The earliest outcome that gave way to another one under its key.
SELECT unit, other FROM doubled WHERE scope = ? AND key = ? ORDER BY unit LIMIT 1;

-- name: keep_other
-- Another unit under this key is the one that is kept.
UPDATE doubled SET kept = ? WHERE scope = ? AND key = ?;

-- name: drop_duplicate
DELETE FROM doubled WHERE scope = ? AND key = ? AND unit = ?;

-- name: expire_duplicates
DELETE FROM doubled WHERE at <= ?;

-- name: transaction
SELECT result FROM transactions WHERE id = ?;

-- name: put_transaction
INSERT INTO transactions (id, result, at) VALUES (?, ?, ?);

-- name: expire_transactions
DELETE FROM transactions WHERE at <= ?;

-- name: meta
SELECT value FROM meta WHERE name = ?;

-- name: put_meta
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: counters
SELECT version, stamp FROM counters;

-- name: put_origin
UPDATE counters SET origin = ? WHERE id = 1;

-- name: put_counters
UPDATE counters SET version = ?, stamp = ? WHERE id = 1;
