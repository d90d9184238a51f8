"""A region's records for people: the conflict log, bounded by age and number, and the commits set aside.

Written inside the transactions of `region_store`, read on its reading side.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from proa.core.replicate.journal import Commit, Dot, Row
from proa.core.replicate.records import ConflictRecord, ConflictsWanted, Parked
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.rows import ReadEntry, encode

CONFLICTS_KEPT = 10_000
CONFLICTS_KEPT_S = 30 * 86_400.0
TRIM_EVERY = 100
DROPPED = "conflicts_dropped"
_decode_row = msgspec.msgpack.Decoder(Row).decode


def log_conflict(writer: sqlite3.Connection, record: ConflictRecord) -> None:
    """Note a conflict; now and then let the oldest go, and count them."""
    row = record.theirs
    columns = (record.at, row.table, row.key, record.rule, encode(record.ours), encode(row))
    number = writer.execute(SQL["put_conflict"], columns).lastrowid or 0
    if number % TRIM_EVERY == 0:
        _trim(writer, record.at)


def _trim(writer: sqlite3.Connection, now: float) -> None:
    gone = writer.execute(SQL["drop_conflicts"], (now - CONFLICTS_KEPT_S, CONFLICTS_KEPT)).rowcount
    if gone:
        writer.execute(SQL["put_meta"], (DROPPED, conflicts_dropped(writer) + gone))


def conflicts_dropped(connection: sqlite3.Connection) -> int:
    """How many records of the conflict log were let go so far."""
    return get_meta(connection, DROPPED, 0)


def read_conflicts(reader: sqlite3.Connection, wanted: ConflictsWanted) -> list[ConflictRecord]:
    """The newest conflicts first."""
    return [
        ConflictRecord(at, rule, _decode_row(ours), _decode_row(theirs))
        for at, rule, ours, theirs in reader.execute(SQL["conflicts"], msgspec.structs.asdict(wanted))
    ]


def read_parked(reader: sqlite3.Connection, read: ReadEntry) -> list[Parked]:
    """Every commit set aside that can be read, with the epoch that started without it."""
    rows = reader.execute(SQL["parked"]).fetchall()
    return [Parked(epoch, at, commit) for origin, seq, epoch, at, entry in rows if (commit := read(origin, seq, entry))]


def read_commits(reader: sqlite3.Connection, dots: Iterable[Dot], read: ReadEntry) -> dict[Dot, Commit]:
    """The commits with these dots, as far as the journal has them still and they can be read."""
    found = {dot: reader.execute(SQL["entry"], dot).fetchone() for dot in dots}
    return {dot: commit for dot, row in found.items() if row and (commit := read(*dot, row[0]))}
