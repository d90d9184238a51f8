"""Residency: which regions may hold a row, and what of a commit may therefore go to whom.

Rows that only some regions may hold are kept in *parts* of their table, one part for each set of regions. A part's name
says its regions (`people@eu-central-1+eu-west-1`), so whatever carries a row carries who may hold it: a write in the
journal, a row, a deleted row without a value, a record of a conflict. Nobody needs a declaration to decide, and a row
whose regions change is deleted from one part and written to another, in one commit.

A commit goes to a region without the writes that it may not hold. What remains says how many were `withheld`, so that
sequences, dependencies and cursors go on. A region that was sent less cannot give more: it does not serve the entry to
one that may hold what it lacks itself, which waits for somebody who has it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, RowMode, Withheld, Write
from proa.core.replicate.stamp import Versions

MARK = "@"
JOINT = "+"
MISPLACED = "misplaced rows"
SEALED = "sealed "
"""What a key starts with of which only the digest is known. No client's key can: it holds a space."""
_decode = msgspec.msgpack.Decoder(Commit).decode
_encode = msgspec.msgpack.Encoder().encode


def part(table: str, regions: Iterable[str]) -> str:
    """The name of the part of a table that these regions may hold."""
    return table + MARK + JOINT.join(sorted(set(regions)))


def table_of(name: str) -> str:
    """The declared table that a part belongs to."""
    return name.partition(MARK)[0]


def resident(name: str) -> bool:
    """Whether only some regions may hold the rows kept under this name."""
    return MARK in name


@lru_cache(maxsize=4096)
def holders(name: str) -> tuple[str, ...]:
    """The regions that may hold the rows of a part."""
    return tuple(name.partition(MARK)[2].split(JOINT))


def may_hold(region: str, name: str) -> bool:
    """Whether a region may hold what is kept under this name."""
    return MARK not in name or region in holders(name)


def shared(names: Collection[str]) -> tuple[str, ...]:
    """The regions that may hold all that is kept under these names, in the order of their own; empty: every region."""
    sets = [holders(name) for name in sorted(names) if resident(name)]
    return tuple(region for region in sets[0] if all(region in other for other in sets)) if sets else ()


class Holding(msgspec.Struct, frozen=True, order=True):
    """How many things of one kind a store holds that only `regions` may hold; `table` is empty for answers."""

    what: str
    table: str
    regions: tuple[str, ...]
    count: int


class Inventory(msgspec.Struct, frozen=True):
    """All holdings of a store, in order. `unreadable` names records of finished keys that nobody can look into."""

    held: list[Holding]
    unreadable: list[str]


def forbidden(region: str, holdings: Iterable[Holding]) -> list[Holding]:
    """Those of a region's holdings that it may not have: others' rows, and rows kept where their field says not."""
    return [held for held in holdings if region not in held.regions or held.what == MISPLACED]


# The record of a finished key.


def sealed_key(key: str) -> str:
    """The digest under which a region knows a key that it may not know."""
    return key if key.startswith(SEALED) else SEALED + hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def sealed(outcome: Outcome) -> Outcome:
    """What every region may know of a finished unit: that its key is finished, by which payload, and who can answer."""
    return replace(outcome, key=sealed_key(outcome.address), status=0, headers=[], body=b"", owner="")


def readable(outcome: Outcome | None, region: str) -> bool:
    """Whether a region may hold the recorded answer."""
    return outcome is None or not outcome.holders or region in outcome.holders


# Commits.


def lacks(commit: Commit, region: str) -> bool:
    """Whether this copy of a commit misses something that `region` may hold."""
    outcome = commit.outcome
    if outcome and outcome.holders and outcome.is_sealed and region in outcome.holders:
        return True
    return bool(commit.withheld) and any(may_hold(region, gone.table) for gone in commit.withheld)


def shown(commit: Commit, region: str) -> Commit:
    """What may go to `region` of a commit: the same one where nothing has to be withheld."""
    kept = [write for write in commit.writes if may_hold(region, write.table)]
    outcome = commit.outcome if readable(commit.outcome, region) else commit.outcome and sealed(commit.outcome)
    if len(kept) == len(commit.writes) and outcome == commit.outcome:
        return commit
    gone = [write for write in commit.writes if not may_hold(region, write.table)]
    return replace(commit, writes=kept, outcome=outcome, withheld=[*commit.withheld, *_counted(gone)])


def _counted(gone: Sequence[Write]) -> list[Withheld]:
    counts: Counter[tuple[str, RowMode]] = Counter((write.table, write.mode) for write in gone)
    return [Withheld(table, mode, count) for (table, mode), count in counts.items()]


class Passing(NamedTuple):
    """Journal entries on their way to a region, and the last sequence of each origin that stops short."""

    entries: list[bytes]
    stuck: Versions


def passing(entries: Sequence[bytes], region: str, settled: Mapping[str, int]) -> Passing:
    """What of these journal entries, as they are held here, goes to `region`.

    An origin stops before the first entry that lacks here what `region` may hold: somebody else has it. Only where the
    region knows of nobody (`settled`: commits of an origin made before an epoch) it gets the entry as it is.
    """
    passed = Passing([], {})
    for entry in entries:
        commit = _decode(entry)
        if commit.origin in passed.stuck:
            continue
        if lacks(commit, region) and commit.epoch >= settled.get(commit.origin, 0):
            passed.stuck[commit.origin] = commit.seq - 1
            continue
        visible = shown(commit, region)
        passed.entries.append(entry if visible is commit else _encode(visible))
    return passed


def whole(entries: Iterable[bytes], region: str) -> list[bytes]:
    """Those of these entries that lack nothing of what `region` may hold, as they may go there."""
    commits = (_decode(entry) for entry in entries)
    return [_encode(shown(commit, region)) for commit in commits if not lacks(commit, region)]


# Commits that came incomplete.


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """What a region lacks of a commit although it may hold it: the writes of some parts of tables, and the answer."""

    origin: str
    seq: int
    parts: tuple[str, ...] = ()
    answer: bool = False


def gap(commit: Commit, region: str) -> Gap:
    """What this copy of a commit lacks for `region`."""
    answer = commit.outcome is not None and commit.outcome.is_sealed and region in commit.outcome.holders
    parts = tuple(gone.table for gone in commit.withheld if may_hold(region, gone.table))
    return Gap(commit.origin, commit.seq, parts, answer)


def helping(copies: Iterable[tuple[bytes, Gap]], region: str) -> list[bytes]:
    """Of copies of commits, each beside what `region` lacks of it, those that have some of that: as they go there."""
    found = ((shown(_decode(entry), region), lacking) for entry, lacking in copies)
    return [_encode(commit) for commit, lacking in found if _helps(commit, lacking)]


def _helps(commit: Commit, lacking: Gap) -> bool:
    if (commit.origin, commit.seq) != (lacking.origin, lacking.seq):
        return False  # its entry is dropped here; this is a later one
    if lacking.answer and commit.outcome and not commit.outcome.is_sealed:
        return True
    return any(write.table in lacking.parts for write in commit.writes)


def completed(mine: Commit, theirs: Commit) -> Commit:
    """A copy of a commit with what another copy has beside it."""
    brought = {gone.table for gone in mine.withheld} & {write.table for write in theirs.writes}
    known = mine.outcome is None or not mine.outcome.is_sealed
    return replace(
        mine,
        writes=mine.writes + [write for write in theirs.writes if write.table in brought],
        withheld=[gone for gone in mine.withheld if gone.table not in brought],
        outcome=mine.outcome if known else theirs.outcome,
    )
