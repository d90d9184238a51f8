"""The journal: what one commit says to other regions, and when another region may apply it.

A commit travels whole. It carries the cursors that its region had applied (`deps`), so that nobody applies an effect
before its cause; the rows it read (`reads`, as dots), so that a commit that built on a parked row is parked too; and
the epoch under which it was made, so that a cut can tell old rights from new ones.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Literal

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.stamp import Versions, join
from proa.core.roles import Cut
from proa.errors import StoreCorrupt

FORMAT = 1
"""The version of the journal's format; a peer with a newer one is refused, not guessed at."""

Key = tuple[str, str]
"""A row's address: table name and encoded key."""
Dot = tuple[str, int]
"""The one commit that wrote a row: origin and sequence."""

RowMode = Literal["any", "home", "active", "strong"]
NO_VERSIONS: Versions = {}
# Rows, writes and commits are made by the thousand and can be in no cycle: the garbage collector need not visit them.


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row as a store holds it. `value` is None for a tombstone; `version` is local and rises with every change."""

    table: str
    key: str
    value: bytes | None
    stamp: int
    origin: str
    seq: int
    versions: Versions
    version: int
    expires_at: float | None = None

    @property
    def dot(self) -> Dot:
        """The commit that wrote it."""
        return (self.origin, self.seq)

    def alive(self, now: float) -> bool:
        """Whether a reader at `now` sees it."""
        return self.value is not None and (self.expires_at is None or self.expires_at > now)


class Write(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row's new value (None deletes). `versions` is empty where the commit's own dot says it all."""

    table: str
    key: str
    value: bytes | None
    mode: RowMode = "any"
    expires_at: float | None = None
    versions: Versions = NO_VERSIONS

    def alive(self, now: float) -> bool:
        """Whether a reader at `now` sees the row that it makes."""
        return self.value is not None and (self.expires_at is None or self.expires_at > now)


class Withheld(msgspec.Struct, frozen=True, array_like=True):
    """How many writes of a part of a table this copy of a commit does not have, since its region may not hold them."""

    table: str
    mode: RowMode
    count: int


class Commit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One journal entry: a unit's rows and result, atomic everywhere. `trace` is empty where the unit began its own.

    `withheld` is what this copy of it does not have (see `core.residency`).
    """

    origin: str
    seq: int
    stamp: int
    epoch: int
    deps: Versions
    writes: list[Write]
    reads: list[Dot]
    outcome: Outcome | None
    unit: str
    trace: str = ""
    withheld: list[Withheld] = []

    @property
    def seen(self) -> Versions:
        """All that its region had applied when it was made, itself included."""
        return {**self.deps, self.origin: self.seq}

    @property
    def fenced_rows(self) -> bool:
        """Whether it wrote rows that only the holder of a role may write."""
        return any(write.mode in ("active", "home") for write in (*self.writes, *self.withheld))


_decode_commit = msgspec.msgpack.Decoder(Commit).decode


def read_entry(entry: bytes, dot: Dot) -> Commit:
    """A journal entry as a commit.

    Raises:
        StoreCorrupt: it is damaged; `dot` is where it stands.
    """
    try:
        commit = _decode_commit(entry)
    except ValueError as error:
        raise StoreCorrupt(f"the journal's entry {dot[0]}:{dot[1]} does not decode: {error}") from error
    if (commit.origin, commit.seq) != dot:
        raise StoreCorrupt(f"the journal's entry {dot[0]}:{dot[1]} says that it is {commit.origin}:{commit.seq}")
    return commit


def commit_of(entry: bytes | None, dot: Dot | None = None) -> Commit | None:
    """A journal entry as a commit, of this `dot` if one is asked for; None where it is missing, damaged, or another."""
    try:
        commit = _decode_commit(entry or b"")
    except ValueError:
        return None
    return commit if dot in (None, (commit.origin, commit.seq)) else None


def incoming(commit: Commit, write: Write, version: int) -> Row:
    """The row that a commit's write makes of its key, under the local `version` of its application here."""
    origin, seq = commit.origin, commit.seq
    versions = join(write.versions, {origin: seq})
    return Row(write.table, write.key, write.value, commit.stamp, origin, seq, versions, version, write.expires_at)


def missing(commit: Commit, cursors: Mapping[str, int]) -> Versions:
    """The dependencies that a region with `cursors` has not applied yet; empty when the commit may be applied."""
    return {
        origin: seq for origin, seq in commit.deps.items() if origin != commit.origin and cursors.get(origin, 0) < seq
    }


def past_cut(commit: Commit, cuts: Sequence[Cut]) -> Cut | None:
    """The cut that this commit came too late for, if any: made under an older epoch, beyond the sequence kept."""
    return next(
        (cut for cut in cuts if cut.origin == commit.origin and commit.epoch < cut.epoch and commit.seq > cut.seq),
        None,
    )


def parks(commit: Commit, cuts: Sequence[Cut], parked: Container[Dot]) -> Cut | None:
    """The cut under which the commit is parked whole, or None where it may be merged.

    Parked are commits past a cut that wrote `active` or `home` rows, and those that read a row of a parked commit.
    """
    cut = past_cut(commit, cuts)
    if cut and (commit.fenced_rows or any(dot in parked for dot in commit.reads)):
        return cut
    return None
