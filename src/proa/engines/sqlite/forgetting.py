"""Forgetting rows that are gone: tombstones and expired rows that every peer has passed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from proa.core.replicate.journal import Key
from proa.core.replicate.stamp import Versions, join
from proa.core.replicate.tombstones import Passed, passed_by_all
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.inside import FORGOTTEN, Inside
from proa.engines.sqlite.rows import changed_key, encode, versions_of

Gone = tuple[Key, int, Versions]
"""A row to drop: its key, the version at which it was looked at, and what it had seen."""


class Forgetting:
    """Finds such rows of one store, and drops them."""

    def __init__(self, inside: Inside) -> None:
        self._in = inside
        self._free_of_tombstones: Versions | None = None

    def passed(self, peers: Collection[Passed], limit: int, ended: float) -> list[Gone]:
        """What all peers have passed of the `limit` oldest tombstones, and of as many rows expired by `ended`."""
        rows = [*self._tombstones(limit), *self._in.reader.execute(SQL["expired_rows"], (ended, limit))]
        return [
            ((table, key), version, vector)
            for table, key, version, origin, seq, versions in rows
            if passed_by_all(vector := versions_of(origin, seq, versions), peers)
        ]

    def _tombstones(self, limit: int) -> list[Any]:
        """The oldest ones; not looked for again where there was none, and nothing was published since."""
        if self._free_of_tombstones is self._in.durable_cursors:
            return []
        found = self._in.reader.execute(SQL["tombstones"], (limit,)).fetchall()
        self._free_of_tombstones = None if found else self._in.durable_cursors
        return found

    def drop(self, gone: Sequence[Gone]) -> int:
        """Drop those of these rows, with their entries, that were not written again; how many they were.

        What the others had seen counts as forgotten, too: at worst the journal is asked once more. Should a write turn
        up all the same that had not seen one of them (the commits of a disk that was thought lost), the journal still
        tells what to make of it.
        """
        for key, version, _ in gone:
            if key[0] in self._in.tables.indexed and not changed_key(self._in.writer, {key: version}):
                self._in.tables.move(*key, None)
        these = [(*key, version) for key, version, _ in gone]
        dropped = self._in.writer.executemany(SQL["drop_row_of_version"], these).rowcount
        self._in.forgotten = join(self._in.forgotten, *(versions for _, _, versions in gone))
        self._in.writer.execute(SQL["put_meta"], (FORGOTTEN, encode(self._in.forgotten)))
        self._in.version()  # what is written here from now on is stamped after the end of what expired
        return dropped
