"""What a store keeps because of how tables are declared: the entries of their indexes.

An entry is made, moved and removed in the transaction that writes its row. When a table's declaration has changed since
the store was last opened, every row of it is read once and its entries are made anew; a row that the declaration cannot
read any more stops the start there, before anything is served.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from proa.core.replicate.journal import Row
from proa.engines.queries import bounds, of_span
from proa.engines.schemas import (
    Progress,
    changed,
    left_behind,
    made,
    orphans,
    readable,
    refuse,
    shapes_of,
    unwatched,
)
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.rows import encode, row_of
from proa.ports import Schema, Span

SHAPES = "shapes"
AFTER = "\0"
"""What is behind a key and before the next one."""
SLICE = 100_000
"""So many rows are read before their entries are sorted and put: in order, a page of the index is met once a slice."""


_decode_shapes = msgspec.msgpack.Decoder(dict[str, str]).decode


class Tables:
    """The declared tables of one store. `indexed` names those whose rows have entries to keep."""

    def __init__(
        self, writer: sqlite3.Connection, schemas: Mapping[str, Schema], progress: Progress = unwatched
    ) -> None:
        self._writer = writer
        self._schemas = schemas
        self._progress = progress
        self.indexed = frozenset(name for name, schema in schemas.items() if schema.indexes)

    def prepare(self) -> None:
        """Bring the entries of tables whose declaration has changed up to date.

        Raises:
            SchemaIncompatible: rows of such a table cannot be read.
        """
        shapes = shapes_of(self._schemas)
        known = _decode_shapes(get_meta(self._writer, SHAPES, encode({})))
        if shapes == known:
            return
        for name in left_behind(known, self._schemas):
            if self._writer.execute(SQL["values"], (name,)).fetchone():
                raise orphans(name)
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            for table in changed(known, shapes):
                self._rebuild(table)
            self._writer.execute(SQL["put_meta"], (SHAPES, encode(shapes)))
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise

    def move(self, table: str, key: str, value: bytes | None) -> None:
        """Let the entries of a row that is about to become `value` (None: no row) say so."""
        if table not in self.indexed:
            return
        found = self._writer.execute(SQL["value"], (table, key)).fetchone()
        try:
            before = self._told(table, key, found and found[0])
        except ValueError:  # a damaged row may have any entries, one of another declaration has none
            self.remake(table, key, value)
            return
        after = self._entries(table, key, value)
        for index in self._schemas[table].indexes:
            old, new = before.get(index), after.get(index)
            if old != new:
                if old is not None:
                    self._writer.execute(SQL["drop_index_entry"], (table, index, old, key))
                if new is not None:
                    self._writer.execute(SQL["put_index_entry"], (table, index, new, key))

    def remake(self, table: str, key: str, value: bytes | None) -> None:
        """The same for a row whose bytes may be damaged, so that they do not tell its entries: whatever they are."""
        if table in self.indexed:
            self._writer.execute(SQL["drop_index_entries_of"], (table, key))
            anew = [(table, index, entry, key) for index, entry in self._entries(table, key, value).items()]
            self._writer.executemany(SQL["put_index_entry"], anew)

    def _entries(self, table: str, key: str, value: bytes | None) -> Mapping[str, str]:
        return readable(self._schemas[table], key, value)

    def _told(self, table: str, key: str, value: bytes | None) -> Mapping[str, str]:
        return {} if value is None else self._schemas[table].entries(key, value)

    def _rebuild(self, table: str) -> None:
        """Make all entries of a table anew; SchemaIncompatible where some of its rows could not be read."""
        self._writer.execute(SQL["drop_index_entries"], (table,))
        if schema := self._schemas.get(table):
            unreadable: list[str] = []
            rows, count = self._writer.execute(SQL["values"], (table,)), 0
            while found := rows.fetchmany(SLICE):
                entries = sorted(made(table, schema, found, unreadable))
                self._writer.executemany(SQL["put_index_entry"], entries)
                count += len(found)
                self._progress(table, count)
            refuse(table, unreadable)


def query_rows(connection: sqlite3.Connection, span: Span) -> list[Row]:
    """The rows of a stretch; one statement, so that they are of one moment."""
    found = connection.execute(SQL[of_span(span, "between")], bounds(span))
    return [row_of(span.table, key, rest) for key, *rest in found]


def walk_rows(connection: sqlite3.Connection, span: Span) -> tuple[list[Row], Span | None]:
    """Those of the next rows of a stretch that are there, and what is left of it, if anything."""
    name = "rows_walked_reversed" if span.reverse else "rows_walked"
    walked = [row_of(span.table, key, rest) for key, *rest in connection.execute(SQL[name], bounds(span))]
    living = [row for row in walked if row.alive(span.now)]
    if len(walked) < span.limit:
        return living, None
    last = walked[-1].key
    left = {"end": ("", last)} if span.reverse else {"start": ("", last + AFTER)}
    return living, msgspec.structs.replace(span, **left)


def count_rows(connection: sqlite3.Connection, span: Span) -> int:
    """How many rows a stretch has."""
    name = "count_of_entries" if span.index else "count_of_rows"
    return connection.execute(SQL[name], bounds(span)).fetchone()[0]
