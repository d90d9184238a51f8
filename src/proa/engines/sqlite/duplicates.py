"""The list of keys that two units finished, each for itself: kept in the transactions that find and undo it.

Of all units under a key the earliest is kept (ids sort by time), every other one stands beside it in the list. A unit
that a fail-over sets aside leaves the list: it had no effect any more.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from math import inf

import msgspec

from proa.core.dedupe import HANDLED, Outcome, Pair
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.rows import Address, encode, put_outcome

KEPT_S = 30 * 24 * 3600.0
"""How long a pair stays in the list."""
UNREADABLE = "unreadable"
_decode = msgspec.msgpack.Decoder(Outcome).decode


def list_pair(writer: sqlite3.Connection, ours: Outcome, theirs: Outcome, now: float, address: Address) -> None:
    """Keep the earlier of two units under one key, and list the other one."""
    kept, other = sorted((ours, theirs), key=lambda outcome: outcome.unit)
    scope, key = kept.scope, address(kept.address)
    if kept is theirs:
        put_whole(writer, kept, address)
    writer.execute(SQL["put_duplicate"], (scope, key, other.unit, encode(kept), encode(other), now))


def meet_damaged(writer: sqlite3.Connection, theirs: Outcome, now: float, address: Address) -> None:
    """The same where the record that is kept is damaged: which unit it is of is known beside it."""
    where = (theirs.scope, address(theirs.address))
    unit, record = writer.execute(SQL["outcome_of_unit"], where).fetchone()
    if theirs.unit <= unit:
        put_whole(writer, theirs, address)
    if theirs.unit != unit:
        (_, kept), (later, other) = sorted([(unit, record), (theirs.unit, encode(theirs))])
        writer.execute(SQL["put_duplicate"], (*where, later, kept, other, now))


def put_whole(writer: sqlite3.Connection, kept: Outcome, address: Address) -> None:
    """Put the outcome that is kept under its key, here and beside all that it is kept over."""
    put_outcome(writer, kept, address)
    writer.execute(SQL["keep_other"], (encode(kept), kept.scope, address(kept.address)))


def unlist(writer: sqlite3.Connection, outcome: Outcome, address: Address) -> None:
    """A unit does not stand any more: of the others under its key, if there are any, the earliest is kept now."""
    where = (outcome.scope, address(outcome.address))
    writer.execute(SQL["drop_duplicate"], (*where, outcome.unit))
    if writer.execute(SQL["drop_outcome"], (*where, outcome.unit)).rowcount:
        found = writer.execute(SQL["duplicate"], where).fetchone()
        if found:
            unit, kept = found
            writer.execute(SQL["drop_duplicate"], (*where, unit))
            writer.execute(SQL["put_outcome"], (*where, unit, kept, _expiry(kept, outcome.expires_at)))
            writer.execute(SQL["keep_other"], (kept, *where))


def _expiry(record: bytes, default: float) -> float:
    """When a record expires; one that is damaged is kept nevertheless: its key is taken."""
    with suppress(ValueError):
        return _decode(record).expires_at
    return default


def listed(reader: sqlite3.Connection) -> list[Pair]:
    """Every pair, in the order in which they were found here."""
    return [_pair(*found) for found in reader.execute(SQL["duplicates"], (HANDLED,))]


def _pair(kept: bytes, other: bytes, at: float, mark: bytes | None, scope: str, key: str, unit: str) -> Pair:
    """A pair; of one whose record is damaged only the names are left."""
    try:
        return Pair(_decode(kept), _decode(other), at, _handled_by(mark))
    except ValueError:
        lost = Outcome(scope, key, b"", 0, [], b"", unit, "", inf)
        return Pair(lost, lost, at, _handled_by(mark))


def _handled_by(mark: bytes | None) -> str:
    """The unit that dealt with a pair. A mark that is damaged says still that one did."""
    if mark is None:
        return ""
    with suppress(ValueError):
        return msgspec.msgpack.decode(mark, type=str) or UNREADABLE
    return UNREADABLE


def counted(reader: sqlite3.Connection) -> tuple[int, int]:
    """How many pairs there are, and how many of them have a mark."""
    return reader.execute(SQL["count_duplicates"], (HANDLED,)).fetchone()


def expire(writer: sqlite3.Connection, now: float) -> None:
    """Drop the pairs that have been in the list for long."""
    writer.execute(SQL["expire_duplicates"], (now - KEPT_S,))
