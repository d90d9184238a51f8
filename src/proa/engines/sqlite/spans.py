"""Stretches of rows, each read as it is at one moment, also where a million deleted rows are among them.

One statement reads a stretch; mostly it passes few rows. One that passes many is broken off, and begun anew on a
connection of its own: there one moment lasts as long as is needed, and others have their turn between its slices. A
store in memory cannot be written while somebody does so, and there the one statement goes on to its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from proa.bell import breathe
from proa.core.replicate.journal import Row
from proa.engines.queries import bounds, of_span
from proa.engines.sqlite.files import SQL, connect
from proa.engines.sqlite.tables import AFTER, count_rows, query_rows
from proa.ports import Span

T = TypeVar("T")
STEPS, LOOKS = 1_000, 50
"""So many steps of SQLite's machine are done between two looks, and so many looks until a statement is broken off."""
SLICE = 5_000
"""So many rows are passed until others have their turn: two milliseconds."""


class Spans:
    """Reads the stretches of one store."""

    def __init__(self, path: Path | str, reader: sqlite3.Connection) -> None:
        self._path = path
        self._left = 0
        if isinstance(path, Path):
            reader.set_progress_handler(self._look, STEPS)

    def _look(self) -> bool:
        """Whether the statement under way is broken off: never one that was not begun by `_at_once`."""
        self._left -= 1
        return self._left == 0

    async def query(self, reader: sqlite3.Connection, span: Span) -> list[Row]:
        """The rows of a stretch."""
        found = self._at_once(query_rows, reader, span)
        return await self._query(span) if found is None else found

    async def count(self, reader: sqlite3.Connection, span: Span) -> int:
        """How many rows a stretch has."""
        found = self._at_once(count_rows, reader, span)
        return await self._count(span) if found is None else found

    def _at_once(
        self, read: Callable[[sqlite3.Connection, Span], T], reader: sqlite3.Connection, span: Span
    ) -> T | None:
        """What one statement finds; None where others would wait for it."""
        self._left = LOOKS
        try:
            return read(reader, span)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return None
        finally:
            self._left = 0

    async def _query(self, span: Span) -> list[Row]:
        rows: list[Row] = []
        async with aclosing(self._slices(span)) as slices:
            async for own, part in slices:
                rows += query_rows(own, replace(part, limit=span.limit - len(rows)))
                if len(rows) == span.limit:
                    break
        return rows

    async def _count(self, span: Span) -> int:
        async with aclosing(self._slices(span)) as slices:
            return sum([count_rows(own, part) async for own, part in slices])

    async def _slices(self, span: Span) -> AsyncGenerator[tuple[sqlite3.Connection, Span]]:
        """A stretch in parts, one after the other, and the connection on which they are of one moment."""
        with closing(connect(self._path)) as own:
            own.execute("BEGIN")
            rest: Span | None = span
            while rest:
                part, rest = _cut(own, rest)
                yield own, part
                await breathe()


def _cut(connection: sqlite3.Connection, span: Span) -> tuple[Span, Span | None]:
    """The first rows of a stretch, as many as a slice passes, and what is left of it, if anything."""
    found = connection.execute(SQL[of_span(span, "further_on")], bounds(replace(span, limit=SLICE))).fetchone()
    if found is None:
        return span, None
    entry, key = found
    if span.reverse:
        return replace(span, start=(entry, key + AFTER)), replace(span, end=(entry, key + AFTER))
    return replace(span, end=(entry, key)), replace(span, start=(entry, key))
