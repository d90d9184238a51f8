"""What both stores share: rows and outcomes in and out of SQLite, validation, and the reading side."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Key, Row
from proa.core.replicate.stamp import Versions
from proa.engines.sqlite.files import SQL
from proa.errors import StoreCorrupt
from proa.ports import Batch, Conflict, Found

encode = msgspec.msgpack.Encoder().encode
_encode_versions = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_versions = msgspec.msgpack.Decoder(Versions).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
END = b""
"""After every text: so SQLite sorts bytes."""
Address = Callable[[str], str]
"""Under what an idempotency key is kept: itself, or its digest where residency is declared (see `residency`)."""
ReadEntry = Callable[[str, int, bytes], Commit | None]
"""An entry of the journal by origin and sequence as a commit; None for one that is damaged, which is told by then."""


def versions_of(origin: str, seq: int, stored: bytes | None) -> Versions:
    """A row's version vector; its own dot alone where none is stored."""
    return {origin: seq} if stored is None else _decode_versions(stored)


def stored_versions(origin: str, seq: int, versions: Mapping[str, int]) -> bytes | None:
    """The inverse of `versions_of`; the same vector is the same bytes, in every region."""
    return None if len(versions) <= 1 and versions.get(origin, seq) == seq else _encode_versions(versions)


def row_of(table: str, key: str, found: Sequence[Any]) -> Row:
    """A `Row` from the columns value, stamp, origin, seq, versions, version, expires_at."""
    value, stamp, origin, seq, versions, version, expires_at = found
    vector = {origin: seq} if versions is None else _decode_versions(versions)
    return Row(table, key, value, stamp, origin, seq, vector, version, expires_at)


def read_row(connection: sqlite3.Connection, key: Key) -> Row | None:
    found = connection.execute(SQL["row"], key).fetchone()
    return None if found is None else row_of(*key, found)


def read_rows(connection: sqlite3.Connection, keys: Sequence[Key]) -> list[Row | None]:
    """Several rows as they are at one moment."""
    if len(keys) == 1:
        return [read_row(connection, keys[0])]
    connection.execute("BEGIN")
    try:
        return [read_row(connection, key) for key in keys]
    finally:
        connection.execute("COMMIT")


def columns_of(row: Row, version: int) -> tuple[Any, ...]:
    """A row under a local `version`, as `put_row` takes it."""
    versions = stored_versions(row.origin, row.seq, row.versions)
    return (row.table, row.key, row.value, row.stamp, row.origin, row.seq, versions, version, row.expires_at)


def put_row(connection: sqlite3.Connection, row: Row) -> None:
    connection.execute(SQL["put_row"], columns_of(row, row.version))


def put_next_row(connection: sqlite3.Connection, row: Row) -> bool:
    """Put a row that only its own origin has written, without a look at what is there; False where others wrote too.

    Such a row has nothing in its version vector but its own dot.
    """
    values = (row.table, row.key, row.value, row.stamp, row.origin, row.seq, row.version, row.expires_at)
    return connection.execute(SQL["put_next_row"], values).rowcount > 0


def changed_key(connection: sqlite3.Connection, reads: Mapping[Key, int]) -> Key | None:
    """The first row that is no longer at the version it was read at (absence is version 0)."""
    for key, version in reads.items():
        found = connection.execute(SQL["version"], key).fetchone()
        if (found[0] if found else 0) != version:
            return key
    return None


def read_outcome(connection: sqlite3.Connection, scope: str, key: str, now: float) -> Outcome | None:
    """The outcome recorded under a key, unless it has expired.

    Raises:
        StoreCorrupt: its record is damaged.
    """
    found = connection.execute(SQL["outcome"], (scope, key)).fetchone()
    try:
        return _decode_outcome(found[0]) if found and found[1] > now else None
    except ValueError as error:
        raise StoreCorrupt(f"the record of a finished key of {scope} does not decode: {error}") from error


def claim_outcome(
    connection: sqlite3.Connection, outcome: Outcome, now: float, address: Address = str
) -> Outcome | None:
    """Record an outcome as the one of its key, or return the one that is recorded already."""
    key = address(outcome.address)
    values = (outcome.scope, key, outcome.unit, encode(outcome), outcome.expires_at, now)
    if connection.execute(SQL["claim_outcome"], values).rowcount:
        return None
    return read_outcome(connection, outcome.scope, key, now)


def obstacle(
    connection: sqlite3.Connection, batch: Batch, now: float, address: Address = str
) -> Conflict | Found | None:
    """What stands against a batch: a row that changed, or a key that is finished. If nothing, its key is claimed."""
    if changed := changed_key(connection, batch.reads):
        return Conflict(changed)
    if batch.outcome and (found := claim_outcome(connection, batch.outcome, now, address)):
        return Found(found)
    return None


def put_outcome(connection: sqlite3.Connection, outcome: Outcome, address: Address = str) -> None:
    values = (outcome.scope, address(outcome.address), outcome.unit, encode(outcome), outcome.expires_at)
    connection.execute(SQL["put_outcome"], values)


class Sweep:
    """Deletes expired outcomes a stretch at a time, round and round, so that no commit pays for a whole table.

    Twice as many records are looked at as units commit, so the table stays below about one and a half times what is
    unexpired. An index by expiry would cost every unit an insert.
    """

    EVERY = 500
    STRETCH = 1000

    def __init__(self) -> None:
        self._at = ("", "")

    def step(self, connection: sqlite3.Connection, now: float) -> None:
        end = connection.execute(SQL["outcome_further_on"], (*self._at, self.STRETCH)).fetchone()
        connection.execute(SQL["expire_outcomes"], (*self._at, *(end or (END, END)), now))
        self._at = end or ("", "")
