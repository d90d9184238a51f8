"""Changes as a stream's handler is given them: read out of an entry of the journal, or out of a row of the base.

A stream reads with a `Reader`, which stops at what it cannot read. People pass over that with a `BlindReader`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from proa.core.replicate.journal import Commit, Dot, Row, read_entry
from proa.core.replicate.stamp import region_of
from proa.core.time import wall_of
from proa.declare.streams import Change, Stream
from proa.errors import StoreCorrupt


class Reader:
    """Reads the changes of one stream's table. A row that its type cannot read is a ValueError."""

    def __init__(self, stream: Stream[Any]) -> None:
        self._table = stream.table

    def in_base(self, origin: str, row: Row) -> Change[Any]:
        """A row of the base as a change; which unit wrote it is not known any more."""
        assert row.value is not None
        return Change(row.key, self._row(row.value), region_of(origin), "", wall_of(row.stamp))

    def in_entry(self, entry: bytes, dot: Dot) -> tuple[Dot, list[Change[Any]]]:
        """An entry's place and its changes; `dot` is where it should be.

        Raises:
            StoreCorrupt: the entry is damaged.
        """
        commit = read_entry(entry, dot)
        return (commit.origin, commit.seq), list(self._changes(commit))

    def _changes(self, commit: Commit) -> Iterator[Change[Any]]:
        at = wall_of(commit.stamp)
        for write in commit.writes:
            if write.table in self._table.parts:
                row = None if write.value is None else self._row(write.value)
                yield Change(write.key, row, region_of(commit.origin), commit.unit, at)

    def _row(self, value: bytes) -> Any:
        return self._table.decode(value)


class BlindReader(Reader):
    """Reads over everything: a row that cannot be read is left out of its change, a damaged entry is one change."""

    def in_entry(self, entry: bytes, dot: Dot) -> tuple[Dot, list[Change[Any]]]:
        """As `Reader` does; a damaged entry stands for all the keys that it may have had."""
        with suppress(StoreCorrupt):
            return super().in_entry(entry, dot)
        return dot, [Change(f"{dot[0]}:{dot[1]}", None, region_of(dot[0]), "", 0.0)]

    def _row(self, value: bytes) -> Any:
        with suppress(ValueError):
            return super()._row(value)
        return None
