"""What a region tells people of its conflicts and lost writes: rows decoded through their tables, dots as units.

The store keeps bytes and dots; the app knows what the bytes mean, and the journal which unit and trace a dot was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from proa.app import App
from proa.core.dedupe import Outcome, Pair, began_at
from proa.core.replicate.journal import Commit, Dot, Row, Write, read_entry
from proa.core.replicate.lost import FATES, Fate, fate, worst
from proa.core.replicate.records import ConflictRecord, ConflictsWanted, Parked, trace_of
from proa.core.replicate.resolve import dots_of
from proa.core.residency import table_of
from proa.core.roles import Cut
from proa.core.time import wall_of
from proa.declare.codec import readable
from proa.declare.keys import SEPARATOR
from proa.errors import StoreCorrupt
from proa.ports import RegionStore
from proa.runtime.repairer import Found

MERGED_MAX = 1000
"""So many of the commits that came after a cut and merged as usual are listed; there may be any number."""


class Author(msgspec.Struct, frozen=True):
    """The unit that wrote a version of a row, and when. Unit and trace are empty where the journal has it no more."""

    dot: str
    at: float
    unit: str = ""
    trace: str = ""


class Side(msgspec.Struct, frozen=True):
    """One version of a row. `row` is None where it was deleted; `authors` are several where it was merged before."""

    row: Any
    authors: list[Author]


class Conflict(msgspec.Struct, frozen=True):
    """One record of the conflict log. `differs` names the fields in which the two versions are not the same."""

    region: str
    at: float
    table: str
    key: str
    rule: str
    differs: list[str]
    ours: Side
    theirs: Side


class LostRow(msgspec.Struct, frozen=True):
    """One row of a lost commit: what it wrote, what stands there now, and what that means."""

    table: str
    key: str
    fate: Fate
    wrote: Any
    stands: Any


class LostCommit(msgspec.Struct, frozen=True):
    """One acknowledged commit that `epoch` started without. `parked_at` is None where it merged as usual."""

    dot: str
    at: float
    epoch: int
    unit: str
    trace: str
    fate: Fate
    rows: list[LostRow]
    parked_at: float | None = None


class Answered(msgspec.Struct, frozen=True):
    """One of the units under a doubled key, and what it answered; the body as JSON where it is any."""

    unit: str
    region: str
    at: float
    status: int
    body: Any


class DoubledKey(msgspec.Struct, frozen=True):
    """A key under which two units took effect. `handled` is the unit that dealt with it; empty: none yet."""

    route: str
    key: str
    same_payload: bool
    found_at: float
    kept: Answered
    other: Answered
    handled: str


class Divergence(msgspec.Struct, frozen=True):
    """One row that differs from a peer's: in what way the asking region's is another, both rows, and whether mended."""

    region: str
    table: str
    key: str
    what: str
    differs: list[str]
    ours: Any
    theirs: Any
    mended: bool


class Records:
    """Reads one region's records."""

    def __init__(self, app: App, region: str, store: RegionStore) -> None:
        self._app = app
        self._region = region
        self._store = store

    # Conflicts.

    async def conflicts(self, wanted: ConflictsWanted) -> list[Conflict]:
        """The newest first."""
        records = await self._store.conflicts(wanted)
        sides = [side for record in records for side in (record.ours, record.theirs)]
        commits = await self._store.commits({dot: None for row in sides for dot in dots_of(row)})
        return [self._conflict(record, commits) for record in records]

    def _conflict(self, record: ConflictRecord, commits: Mapping[Dot, Commit]) -> Conflict:
        ours, theirs = (self._side(row, commits) for row in (record.ours, record.theirs))
        row = record.theirs
        return Conflict(
            self._region,
            record.at,
            row.table,
            shown(row.key),
            record.rule,
            differing(ours.row, theirs.row),
            ours,
            theirs,
        )

    def _side(self, row: Row, commits: Mapping[Dot, Commit]) -> Side:
        stamps = {row.dot: row.stamp} | {dot: commit.stamp for dot, commit in commits.items()}
        authors = [_author(dot, stamps.get(dot, row.stamp), commits.get(dot)) for dot in dots_of(row)]
        return Side(self.decoded(row.table, row.value), authors)

    def decoded(self, table: str, value: bytes | None) -> Any:
        """A row's bytes as the JSON that its table makes of them; named as bytes where no table can read them."""
        if value is None:
            return None
        return readable(lambda data: self._app.table_of(table).decode(data), value)

    def difference(self, found: Found) -> Divergence:
        """A row that differs from a peer's, as people read it."""
        table, key = found.key
        ours, theirs = (self.decoded(table, row.value if row else None) for row in (found.ours, found.theirs))
        differs = differing(ours, theirs)
        return Divergence(
            self._region, table_of(table), shown(key), found.what, differs, ours, theirs, mended=found.mended
        )

    # Lost writes.

    async def lost(self, cuts: Sequence[Cut] = ()) -> list[LostCommit]:
        """The commits that came too late for a cut: those set aside, then those that merged as usual."""
        aside = [await self._aside(parked) for parked in await self._store.parked()]
        return aside + [self._merged(cut, commit) async for cut, commit in self._late(cuts, {one.dot for one in aside})]

    async def aside(self, dot: Dot) -> Parked | None:
        """The parked commit with this dot."""
        return next((parked for parked in await self._store.parked() if parked.dot == dot), None)

    async def standing(self, commit: Commit) -> list[Row | None]:
        """What stands now under the keys that a commit wrote."""
        return await self._store.read([(write.table, write.key) for write in commit.writes])

    async def fates(self, parked: Parked, standing: Iterable[Row | None]) -> list[Fate]:
        """What became of each row that a parked commit wrote, given what stands there."""
        rows = list(standing)
        found = await self._store.commits([row.dot for row in rows if row])
        epochs = {dot: commit.epoch for dot, commit in found.items()}
        return [
            fate(write, parked, row, lambda dot: epochs.get(dot, 0))
            for write, row in zip(parked.commit.writes, rows, strict=True)
        ]

    async def _aside(self, parked: Parked) -> LostCommit:
        commit, standing = parked.commit, await self.standing(parked.commit)
        fates = await self.fates(parked, standing)
        rows = [
            self._row(write, one, row.value if row else None)
            for write, one, row in zip(commit.writes, fates, standing, strict=True)
        ]
        whole = worst(fates) if not commit.withheld else FATES[0]  # a region that has all of it knows better
        return _lost(commit, parked.epoch, whole, rows, parked.at)

    async def _late(self, cuts: Sequence[Cut], aside: set[str]) -> AsyncGenerator[tuple[Cut, Commit]]:
        """The commits past a cut that nobody had to set aside: they had written `any` rows alone."""
        for cut in cuts:
            for seq, entry in enumerate(await self._store.journal({cut.origin: cut.seq}, MERGED_MAX), cut.seq + 1):
                try:
                    commit = read_entry(entry, (cut.origin, seq))
                except StoreCorrupt:
                    await self._store.repairs.torn([(cut.origin, seq)])  # so it is named, and fetched from a peer
                    continue
                if commit.epoch >= cut.epoch:
                    break
                if named(commit) not in aside:
                    yield cut, commit

    def _merged(self, cut: Cut, commit: Commit) -> LostCommit:
        rows = [self._row(write, "merged", write.value) for write in commit.writes]
        return _lost(commit, cut.epoch, "merged", rows, None)

    # Doubled keys.

    async def duplicates(self) -> list[DoubledKey]:
        """The keys that two units finished, each for itself, as they were found here."""
        return [_doubled(pair) for pair in await self._store.duplicates()]

    def _row(self, write: Write, one: Fate, stands: bytes | None) -> LostRow:
        table = write.table
        return LostRow(table, shown(write.key), one, self.decoded(table, write.value), self.decoded(table, stands))


def _doubled(pair: Pair) -> DoubledKey:
    kept, other = pair.kept, pair.other
    same = kept.fingerprint == other.fingerprint
    return DoubledKey(kept.scope, kept.key, same, pair.at, _answered(kept), _answered(other), pair.handled)


def _answered(outcome: Outcome) -> Answered:
    try:
        body = msgspec.json.decode(outcome.body)
    except ValueError:
        body = outcome.body.decode(errors="replace")
    return Answered(outcome.unit, outcome.region, began_at(outcome.unit), outcome.status, body)


def _lost(commit: Commit, epoch: int, one: Fate, rows: list[LostRow], parked_at: float | None) -> LostCommit:
    at, trace = wall_of(commit.stamp), trace_of(commit)
    return LostCommit(named(commit), at, epoch, commit.unit, trace, one, rows, parked_at)


def _author(dot: Dot, stamp: int, commit: Commit | None) -> Author:
    who = (commit.unit, trace_of(commit)) if commit else ("", "")
    return Author(f"{dot[0]}:{dot[1]}", wall_of(stamp), *who)


def named(commit: Commit) -> str:
    """A commit's dot as people write it."""
    return f"{commit.origin}:{commit.seq}"


async def damaged(store: RegionStore) -> list[str]:
    """The entries of the journal that are known to be damaged, as people write them."""
    return [f"{origin}:{seq}" for origin, seq in await store.repairs.torn()]


def shown(key: str) -> str:
    """A key as people write it: its parts divided by a slash."""
    return key.replace(SEPARATOR, "/")


def differing(ours: Any, theirs: Any) -> list[str]:
    """The names of the fields in which two decoded rows differ; `*` where they cannot be compared by fields."""
    if ours == theirs:
        return []
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return ["*"]
    mine, yours = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
    return [name for name in mine | yours if mine.get(name, ...) != yours.get(name, ...)]
