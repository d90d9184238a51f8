"""Snapshots of a region's store: a page at a time for a peer that needs one, and a peer's on its way in here.

What comes in is staged first, page by page, beside the store's own rows. Only when all of it is here, durably, is it
merged, slice by slice, and then nobody else is needed any more: after a crash the merge goes on where it was. Until it
is done rows stand for different moments, so no unit commits and nothing of other regions is applied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.compaction import Floor, Floors
from proa.core.replicate.journal import Commit, Key, Row
from proa.core.replicate.resolve import LastWriter
from proa.core.replicate.snapshot import DUPLICATES, OUTCOMES, PARKED, ROWS, SECTIONS, START, Item, Page, Place, joined
from proa.core.replicate.stamp import Versions, join
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.inside import Inside
from proa.engines.sqlite.merging import Merging
from proa.engines.sqlite.rows import columns_of, encode, row_of

JOINING = "joining"
SLICE = 200
"""How many keys of each side one slice of the merge looks at."""
ENTRIES = 2_000
"""How many dropped entries one slice clears away."""
DIVIDER = "\x1f"
"""Stands before what a key may hold, so that pairs keep their order."""
CLEARING = len(SECTIONS)
"""What follows a snapshot's sections: the entries that the base holds now go from the journal."""
Rows = dict[Key, Row]
"""A stretch of rows in the order of their keys."""
_LAST_WRITER = LastWriter()
_decode_commit = msgspec.msgpack.Decoder(Commit).decode
_decode_row = msgspec.msgpack.Decoder(Row).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
_decode_parked = msgspec.msgpack.Decoder(tuple[int, float, bytes]).decode
_decode_duplicate = msgspec.msgpack.Decoder(tuple[bytes, bytes, float]).decode


def read_page(connection: sqlite3.Connection, after: Place, size: int, now: float) -> Page:
    """The page of this store's snapshot that begins after a place, of about `size` bytes."""
    connection.execute("BEGIN")
    try:
        floors = {origin: Floor(*floor) for origin, *floor in connection.execute(SQL["floors"])}
        items: list[Item] = []
        for item in _items(connection, after, floors, now):
            items.append(item)
            size -= len(item.content) + len(item.first) + len(item.second)
            if size <= 0:
                break
        return Page(floors, items, items[-1].place if items else after, done=size > 0)
    finally:
        connection.execute("COMMIT")


def _items(connection: sqlite3.Connection, after: Place, floors: Floors, now: float) -> Iterator[Item]:
    for section in SECTIONS[after[0] :]:
        begin = after[1:] if section == after[0] else START[1:]
        if section == ROWS:
            for table, key, *rest in connection.execute(SQL["base_after"], begin):
                yield Item(ROWS, table, key, encode(row_of(table, key, rest)))
        elif section == OUTCOMES:
            for scope, key, record in connection.execute(SQL["outcomes_after"], (*begin, now)):
                yield Item(OUTCOMES, scope, key, record)
        elif section == PARKED:
            yield from (item for item in _parked(connection, floors) if (item.first, item.second) > begin)
        elif section == DUPLICATES:
            for scope, key, unit, *rest in connection.execute(SQL["duplicates_after"], (begin[0], *_divided(begin[1]))):
                yield Item(DUPLICATES, scope, f"{key}{DIVIDER}{unit}", encode(rest))


def _parked(connection: sqlite3.Connection, floors: Floors) -> Iterator[Item]:
    """The parked commits below the floors: the journal does not bring them any more."""
    nothing = Floor()
    for origin, seq, epoch, at, entry in connection.execute(SQL["parked"]):
        if seq <= floors.get(origin, nothing).seq:
            yield Item(PARKED, origin, f"{seq:020}", encode((epoch, at, entry)))


def _divided(address: str) -> tuple[str, str]:
    """The key and the unit of a pair in the list of doubled keys."""
    key, _, unit = address.rpartition(DIVIDER)
    return key, unit


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a snapshot has come in. `whole`: all is staged, and merged up to `at`; `touched` are keys to rebuild."""

    floors: Floors
    whole: bool = False
    at: Place = START
    touched: list[Key] = []


_decode_progress = msgspec.msgpack.Decoder(Progress).decode


class Joining:
    """A peer's snapshot on its way into one store."""

    def __init__(self, inside: Inside, merging: Merging) -> None:
        self._in = inside
        self._merging = merging
        self.load()

    def load(self) -> None:
        """Take the progress from what is durable."""
        stored = get_meta(self._in.reader, JOINING)
        self.progress: Progress | None = _decode_progress(stored) if stored else None

    @property
    def merging(self) -> bool:
        """Whether a whole snapshot is being merged."""
        return self.progress is not None and self.progress.whole

    @property
    def reach(self) -> Versions:
        """What the snapshot includes that is being merged."""
        return _reach(self.progress.floors) if self.progress and self.progress.whole else {}

    @property
    def applied(self) -> Versions:
        """How far other regions' commits are part of the rows, with what is on its way to the disk."""
        return join(self._in.cursors, self.reach)

    def _keep(self, progress: Progress) -> None:
        self.progress = progress
        self._in.writer.execute(SQL["put_meta"], (JOINING, encode(progress)))

    # Staging.

    def stage(self, page: Page, *, first: bool) -> bool:
        """Keep a page for the merge; False where it belongs to another snapshot than the pages before."""
        if first:
            self._in.writer.execute(SQL["drop_staged"])
        elif self.progress is None or self.progress.whole or self.progress.floors != page.floors:
            return False
        self._in.writer.executemany(SQL["put_staged"], map(msgspec.structs.astuple, page.items))
        if first or page.done:
            self._keep(Progress(page.floors, page.done))
        return True

    # Merging.

    def merge(self) -> bool:
        """Merge a slice of the staged snapshot; False when nothing is left to merge."""
        progress = self.progress
        if progress is None or not progress.whole:
            return False
        section = progress.at[0]
        if section == ROWS:
            self._advance(progress, self._merge_rows(progress))
        elif section < CLEARING:
            self._advance(progress, self._merge_items(progress))
        elif (place := self._clear(progress)) is not None:
            self._keep(msgspec.structs.replace(progress, at=place))
        else:
            self._finish(progress)
        return self.progress is not None

    def _advance(self, progress: Progress, place: tuple[Place | None, list[Key]]) -> None:
        """Go on from a place in the section, or with the next section."""
        at, touched = place
        at = at or (progress.at[0] + 1, "", "")
        self._keep(msgspec.structs.replace(progress, at=at, touched=progress.touched + touched))

    def _merge_rows(self, progress: Progress) -> tuple[Place | None, list[Key]]:
        """Join the next stretch of keys, which is as long as one side has rows for a slice."""
        begin = progress.at[1:]
        theirs = {(first, second): _decode_row(content) for first, second, content in self._staged(ROWS, begin)}
        rows, base = self._rows("rows_after", begin), self._rows("base_after", begin)
        end = min((next(reversed(side)) for side in (theirs, rows, base) if len(side) == SLICE), default=None)
        keys = [key for key in sorted(theirs | rows | base) if end is None or key <= end]
        told, known, reach = _reach(progress.floors), self._in.cursors, self._in.base.reach
        self._put(self._joined(keys, rows, known, theirs, told), self._in.version())
        self._put_base(self._joined(keys, base, reach, theirs, told))
        return (None if end is None else (ROWS, *end)), []

    def _joined(
        self, keys: Sequence[Key], ours: Rows, known: Versions, theirs: Rows, told: Versions
    ) -> Iterator[tuple[Key, Row | None, Row | None]]:
        """The keys under which another row is kept than the one that is there, with both."""
        for key in keys:
            mine = ours.get(key)
            kept = joined(self._in.merges.get(key[0], _LAST_WRITER), mine, theirs.get(key), known, told)
            if kept is not mine:
                yield key, mine, kept

    def _staged(self, section: int, begin: tuple[str, str]) -> Iterator[tuple[str, str, bytes]]:
        return islice(self._in.writer.execute(SQL["staged_after"], (section, *begin)), SLICE)

    def _rows(self, query: str, begin: tuple[str, str]) -> Rows:
        found = islice(self._in.writer.execute(SQL[query], begin), SLICE)
        return {(table, key): row_of(table, key, rest) for table, key, *rest in found}

    def _put(self, changes: Iterable[tuple[Key, Row | None, Row | None]], version: int) -> None:
        made: list[tuple[Any, ...]] = []
        for key, ours, kept in changes:
            if kept and ours and msgspec.structs.replace(kept, version=ours.version) == ours:
                continue
            self._in.tables.move(*key, kept.value if kept else None)
            if kept is None:
                self._in.writer.execute(SQL["drop_row"], key)
            else:
                made.append(columns_of(kept, version))
        self._in.writer.executemany(SQL["put_row"], made)

    def _put_base(self, changes: Iterable[tuple[Key, Row | None, Row | None]]) -> None:
        made: list[Row] = []
        for key, _, kept in changes:
            if kept is None:
                self._in.base.drop(key)
            else:
                made.append(kept)
        self._in.base.put(*made)

    def _merge_items(self, progress: Progress) -> tuple[Place | None, list[Key]]:
        section, touched = progress.at[0], list[Key]()
        found = list(self._staged(section, progress.at[1:]))
        for first, second, content in found:
            if section == OUTCOMES:
                self._merging.outcome(_decode_outcome(content))
            elif section == PARKED:
                touched += self._park(first, int(second), _decode_parked(content))
            else:
                values = (first, *_divided(second), *_decode_duplicate(content))
                self._in.writer.execute(SQL["keep_duplicate"], values)
        return ((section, *found[-1][:2]) if len(found) == SLICE else None), touched

    def _park(self, origin: str, seq: int, parked: tuple[int, float, bytes]) -> list[Key]:
        """Keep a commit that the peer had parked; the rows to rebuild, where it is part of them here."""
        epoch, at, entry = parked
        dot, commit = (origin, seq), _decode_commit(entry)
        shown = dot not in self._in.parked and seq <= self._in.cursors.get(origin, 0)
        self._in.writer.execute(SQL["keep_entry"], (*dot, entry))
        self._in.park(dot, epoch, at)
        self._merging.forget_outcome(commit.outcome)
        return [(write.table, write.key) for write in commit.writes] if shown else []

    def _clear(self, progress: Progress) -> Place | None:
        """Drop a stretch of the entries that the base will hold; None when there are none left."""
        for origin in sorted(progress.floors):
            floor = progress.floors[origin].seq
            first = self._in.writer.execute(SQL["first_entry"], (origin,)).fetchone()
            if first and first[0] <= floor:
                end = min(floor, first[0] + ENTRIES)
                self._in.writer.execute(SQL["drop_entries"], (origin, first[0] - 1, end))
                return (CLEARING, origin, str(end))
        return None

    def _finish(self, progress: Progress) -> None:
        self._adopt(progress.floors, progress.touched)
        self._in.writer.execute(SQL["drop_staged"])
        self._in.writer.execute(SQL["drop_meta"], (JOINING,))
        self.progress = None

    def _adopt(self, floors: Floors, touched: Sequence[Key]) -> None:
        """All that the peer's base includes is here now: go on from its floors."""
        for origin, floor in sorted(floors.items()):
            if floor.seq > self._in.base.floor_of(origin):
                self._in.base.lift(origin, floor)
            self._in.cursors[origin] = max(self._in.cursors.get(origin, 0), floor.seq)
            self._in.stamps.observe(floor.stamp)
        self._in.unjournaled = True
        if touched:
            self._merging.rebuild(touched)


def _reach(floors: Floors) -> Versions:
    return {origin: floor.seq for origin, floor in floors.items()}
