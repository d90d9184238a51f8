"""Anti-entropy: whether two regions hold the same rows, said in few words, and which of two rows is right.

The rows of a table are cut into stretches of keys, and each stretch is summed up in one digest; equal digests end the
matter. Where they differ the stretch is cut finer, down to single rows. What a digest covers is what regions must agree
on: key, value, stamp, dot, version vector and expiry, not the local version. Deleted and expired rows are left out,
because regions forget them each in its own time.

A row in motion is no divergence: two rows differ only if each side has applied everything that the other's row has
seen. Which one is right the journals tell, for every region keeps every commit: a row is what the merge makes of its
writes. Only where journals themselves disagree is there a vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from proa.core.replicate.journal import NO_VERSIONS, Dot, Key, Row, Write
from proa.core.replicate.resolve import LastWriter, Merge, order, resolve
from proa.core.replicate.stamp import Versions, covers, join

DIGEST_BYTES = 16
HEAD_BYTES = 8
Judgement = Literal["same", "moving", "different"]
Difference = Literal["missing", "older", "newer", "extra", "other bytes", "both changed"]
_encode = msgspec.msgpack.Encoder().encode


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Keys of a table from `start` (included) to `end` (excluded; None: the last). `at` is when rows count as expired.

    At most `limit` rows of it are looked at.
    """

    table: str
    start: str
    end: str | None
    at: float
    limit: int


class Sum(msgspec.Struct, frozen=True, array_like=True):
    """A stretch summed up: how many rows, the last one's key, and their digest."""

    count: int
    last: str
    digest: bytes


class Held(msgspec.Struct, frozen=True, array_like=True):
    """Rows as a region holds them at one moment: it had durably applied `durable`, and nothing beyond `applied`.

    `parked` are those of the commits asked about that it had set aside.
    """

    rows: list[Row | None]
    durable: Versions
    applied: Versions
    parked: list[Dot]


class Fix(msgspec.Struct, frozen=True, array_like=True):
    """What a row should be (None: not there), if it is still at the local `version` at which it was judged.

    `based`: the journal has not all its commits any more, so that the base which it was compacted into must say so too.
    """

    key: Key
    version: int
    row: Row | None
    based: bool = False


def summed(rows: Sequence[Sequence[Any]]) -> Sum:
    """The sum of some rows, each a sequence of what regions must agree on, its key first."""
    return Sum(len(rows), rows[-1][0] if rows else "", blake2b(_encode(rows), digest_size=DIGEST_BYTES).digest())


def heads(rows: Iterable[Sequence[Any]]) -> dict[str, bytes]:
    """The digest of each row by its key."""
    return {row[0]: blake2b(_encode(row), digest_size=HEAD_BYTES).digest() for row in rows}


def suspects(ours: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> list[str]:
    """The keys whose rows have different digests, or that one side lacks."""
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


# Judging one row.


def content(row: Row | None, at: float) -> tuple[Any, ...] | None:
    """What regions must agree on in a row; None where a reader at `at` sees none."""
    if row is None or not row.alive(at):
        return None
    return (row.value, row.stamp, row.origin, row.seq, row.versions, row.expires_at)


def judge(ours: Row | None, theirs: Row | None, here: Held, there: Held, at: float) -> Judgement:
    """Whether two regions' rows under one key differ, as each region held its own.

    They may yet become the same where one side has still to apply what the other's row has seen, or to set it aside.
    """
    if content(ours, at) == content(theirs, at):
        return "same"
    if _impossible(ours, here) or _impossible(theirs, there):
        return "different"
    return "different" if _passed(theirs, here) and _passed(ours, there) else "moving"


def _passed(row: Row | None, held: Held) -> bool:
    """Whether a region has applied all that another one's row has seen, and set nothing of it aside."""
    return row is None or (
        covers(held.durable, row.versions) and not any(dot in held.parked for dot in row.versions.items())
    )


def _impossible(row: Row | None, held: Held) -> bool:
    """Whether a row has seen what its own region has not."""
    return row is not None and not covers(held.applied, row.versions)


def least(ours: Row | None, theirs: Row | None, here: Held, there: Held) -> Versions:
    """What the right row must have seen at least: all that either side's has, unless that cannot be."""
    sides = ((ours, here), (theirs, there))
    return reduce(join, [row.versions for row, held in sides if row and not _impossible(row, held)], NO_VERSIONS)


def difference(ours: Row | None, theirs: Row | None, at: float) -> Difference:
    """In what way a row differs from another region's."""
    mine, yours = (row if row and row.alive(at) else None for row in (ours, theirs))
    if mine is None or yours is None:
        return "missing" if mine is None else "extra"
    if mine.versions == yours.versions:
        return "other bytes"
    if covers(yours.versions, mine.versions):
        return "older"
    return "newer" if covers(mine.versions, yours.versions) else "both changed"


# Which row is right.


def folded(policy: Merge | None, history: Iterable[tuple[Row, Versions]]) -> Row | None:
    """The row that these writes make, each given with all that its writer had seen; None where there are none."""
    kept: Row | None = None
    for row, seen in sorted(history, key=lambda written: order(written[0])):
        kept, _ = resolve(policy or LastWriter(), kept, row, seen)
    return kept


def elected(candidates: Mapping[str, Write | None], readable: Callable[[Write], bool]) -> str | None:
    """The region whose copy of one write stands: that of most regions, then one that its table can read.

    None where no region has it. Of equals the larger bytes decide, so that every region elects the same.
    """
    copies = {region: write for region, write in sorted(candidates.items()) if write is not None}
    votes = Counter(_encode(write) for write in copies.values())
    ranks = {region: (votes[data := _encode(write)], readable(write), data) for region, write in copies.items()}
    return max(ranks, key=ranks.__getitem__, default=None)


def dots(rows: Iterable[Row | None]) -> list[Dot]:
    """The last commit of each origin that these rows have seen: among them are all writes that they are made of."""
    return sorted({dot: None for row in rows if row for dot in row.versions.items()})


def taken(policy: Merge | None, ours: Row | None, theirs: Row, durable: Versions) -> Row | None:
    """The row that a region takes over from another one where the journal cannot tell any more.

    None where it keeps its own: it is as new, or the other has seen what this region has not applied.
    """
    if not covers(durable, theirs.versions) or (ours and ours.versions == theirs.versions):
        return None
    kept, rule = resolve(policy or LastWriter(), ours, theirs)
    return None if rule == "older" else kept


def as_write(row: Row | None) -> Write | None:
    """A row as a write, to be voted on."""
    if row is None:
        return None
    versions = dict(sorted(row.versions.items()))
    return Write(row.table, row.key, row.value, expires_at=row.expires_at, versions=versions)
