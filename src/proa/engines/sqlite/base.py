"""The base of a region's journal: what the entries made that were dropped, and the floors up to which they were.

A slice of compaction folds entries into the base, drops them and raises their floors, all in one transaction, so a
crash leaves either. It is bounded, for units wait while it runs. Parked commits are no part of the base: their entries
stay in the journal below the floor. At an entry that is damaged its origin waits, until a peer's copy is in its place.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf, nextafter
from typing import Any

import msgspec
from msgspec.structs import replace

from proa.core.replicate.compaction import Floor, Floors, Retention
from proa.core.replicate.journal import Commit, Dot, Key, Row, incoming, missing
from proa.core.replicate.resolve import LastWriter, Merge, resolve
from proa.core.replicate.stamp import Versions
from proa.core.time import wall_of
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.rows import ReadEntry, row_of, stored_versions

SLICE = 500
"""How many entries and writes one slice folds: a few milliseconds."""
TOMBSTONES = 200


class Base:
    """The base of one store, on its writer's connection. `floors` follow its transactions."""

    def __init__(
        self, writer: sqlite3.Connection, reader: sqlite3.Connection, merges: Mapping[str, Merge], read: ReadEntry
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._merges = merges
        self._read = read
        self._swept = 0
        """The stamp up to which this round over deleted rows has come."""
        self._ended = 0.0
        """The time of expiry up to which that over expired ones has."""
        self.load()

    def load(self) -> None:
        """Take the floors from what is durable."""
        self.floors: Floors = {origin: Floor(*floor) for origin, *floor in self._reader.execute(SQL["floors"])}

    @property
    def reach(self) -> Versions:
        """All that the base includes."""
        return {origin: floor.seq for origin, floor in self.floors.items()}

    def floor_of(self, origin: str) -> int:
        """The last sequence of an origin that the base holds."""
        return self.floors[origin].seq if origin in self.floors else 0

    def lift(self, origin: str, floor: Floor) -> None:
        """Raise an origin's floor."""
        self.floors[origin] = floor
        self._writer.execute(SQL["put_floor"], (origin, *msgspec.structs.astuple(floor)))

    # Rows.

    def rows(self, keys: Iterable[Key], version: int) -> Iterator[Row]:
        """Those of `keys` that are in the base, under a local `version`."""
        for key in keys:
            if row := self.row(key):
                yield msgspec.structs.replace(row, version=version)

    def row(self, key: Key) -> Row | None:
        """A row of the base."""
        found = self._writer.execute(SQL["base_row"], key).fetchone()
        return row_of(*key, found) if found else None

    def put(self, *rows: Row) -> None:
        """Put rows into the base as they are."""
        self._writer.executemany(SQL["put_base_row"], map(_columns, rows))

    def drop(self, key: Key) -> None:
        """Take a row out of the base."""
        self._writer.execute(SQL["drop_base_row"], key)

    def _fold(self, commit: Commit) -> None:
        for write in commit.writes:
            row = incoming(commit, write, 0)
            if not (len(row.versions) == 1 and self._put_next(row)):
                kept, rule = resolve(
                    self._merges.get(row.table, LastWriter()), self.row((row.table, row.key)), row, commit.seen
                )
                if rule != "older":
                    self.put(kept)

    def _put_next(self, row: Row) -> bool:
        values = (row.table, row.key, row.value, row.stamp, row.origin, row.seq, row.expires_at)
        return self._writer.execute(SQL["put_next_base_row"], values).rowcount > 0

    # Compaction.

    def due(self, retention: Retention, origins: Iterable[str]) -> bool:
        """Whether the floor of any origin may rise, as far as durable entries tell."""
        heads = (head for origin in origins for head in self._entries(self._reader, origin, 1))
        return any(head and retention.drops(head) for head in heads)

    def compact(self, retention: Retention, origins: Collection[str], parked: Collection[Dot]) -> int:
        """Fold and drop a slice of the oldest entries; how many there were."""
        retention = replace(retention, needed=retention.needed | self._lacked(retention))
        before = self.reach
        count = sum(1 for commit in self._foldable(retention, origins) if self._take(commit, parked))
        for origin, seq in self.reach.items():
            if seq > before.get(origin, 0):
                self._writer.execute(SQL["drop_entries"], (origin, before.get(origin, 0), seq))
                self._writer.execute(SQL["drop_gaps"], (origin, seq))
                self.lift(origin, self.floors[origin])
        self._forget(min([retention.oldest, *self._before_heads(origins)]))
        return count

    def _lacked(self, retention: Retention) -> Versions:
        """Entries that lack something here stay until they are whole: what they made must not be taken for all."""
        lacked: Versions = {}
        for origin, seq in self._writer.execute(SQL["open_gaps"]):
            needed = lacked.get(origin, retention.needed.get(origin, seq - 1))
            lacked[origin] = min(needed, seq - 1)
        return lacked

    def _take(self, commit: Commit, parked: Collection[Dot]) -> bool:
        is_parked = (commit.origin, commit.seq) in parked
        if not is_parked:
            self._fold(commit)
        self.floors[commit.origin] = self.floors.get(commit.origin, Floor()).raised(commit, parked=is_parked)
        return True

    def _foldable(self, retention: Retention, origins: Iterable[str]) -> Iterator[Commit]:
        """The entries that may go, each after all that it depends on, as long as the slice has room."""
        room, waiting = SLICE, set[str]()
        queues = [self._queue(origin, waiting) for origin in sorted(origins)]
        for commit in heapq.merge(*queues, key=lambda commit: (commit.stamp, commit.origin)):
            if not retention.drops(commit) or missing(commit, self.reach):
                waiting.add(commit.origin)
                continue
            yield commit
            room -= 1 + len(commit.writes)
            if room <= 0:
                return

    def _queue(self, origin: str, waiting: Collection[str]) -> Iterator[Commit]:
        """The next entries of an origin, up to one that cannot be read, or until the origin waits."""
        for commit in self._entries(self._writer, origin, SLICE):
            if commit is None or origin in waiting:
                return
            yield commit

    def _entries(self, connection: sqlite3.Connection, origin: str, limit: int) -> Iterator[Commit | None]:
        """The next entries above the floor of an origin; None for one that is damaged."""
        for seq, entry in connection.execute(SQL["entries_after"], (origin, self.floor_of(origin), limit)):
            yield self._read(origin, seq, entry)

    def _before_heads(self, origins: Iterable[str]) -> Iterator[int]:
        """The stamps after which what is above each origin's floor was made."""
        for origin in origins:
            for head in self._entries(self._writer, origin, 1):
                yield head.stamp - 1 if head else self.floors.get(origin, Floor()).stamp

    def _forget(self, stamp: int) -> None:
        """Drop deleted and expired rows that the rows have forgotten, where no entry as old is left to be merged.

        What is merged later is stamped after their end, so that it makes the same with them and without.
        """
        found = self._writer.execute(SQL["base_tombstones"], (self._swept, stamp, TOMBSTONES)).fetchall()
        self._swept = found[-1][0] + 1 if len(found) == TOMBSTONES else 0
        between = (self._ended, wall_of(stamp))
        ended = self._writer.execute(SQL["expired_base_rows"], (*between, stamp, TOMBSTONES)).fetchall()
        self._ended = nextafter(ended[-1][0], inf) if len(ended) == TOMBSTONES else 0.0
        self._writer.executemany(SQL["forget_base_row"], [key for _, *key in found + ended])


def _columns(row: Row) -> tuple[Any, ...]:
    versions = stored_versions(row.origin, row.seq, row.versions)
    return (row.table, row.key, row.value, row.stamp, row.origin, row.seq, versions, row.expires_at)
