"""The store's side of anti-entropy: stretches of rows summed up, rows made anew of the journal, and fixes.

Reading goes in slices on the reading side, so that neither the loop nor the writer waits for more than a few
milliseconds. A fix goes through the writer like a commit, rests on the local version at which its row was judged, and
gives the row a new one, so that units which read it run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from proa.bell import breathe
from proa.core.replicate.journal import NO_VERSIONS, Commit, Dot, Key, Row, commit_of, incoming
from proa.core.replicate.repair import Fix, Held, Stretch, Sum, folded, heads, summed
from proa.core.replicate.stamp import Versions, covers
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.group import GroupCommit
from proa.engines.sqlite.inside import Inside
from proa.engines.sqlite.rows import put_row, read_row, row_of
from proa.engines.sqlite.snapshot import Joining
from proa.engines.sqlite.tables import AFTER

SLICE = 500
TRIES = 5
"""How often history is read again because entries were compacted meanwhile."""
END = b""
"""The end of a stretch that has none: bytes sort after every text."""
_decode_commit = msgspec.msgpack.Decoder(Commit).decode
Written = tuple[Dot, Row, Versions]
"""One write of a row: its commit, the row, and all that its writer had seen."""


class SqliteRepairs:
    """`ports.RepairStore` of one region's store."""

    def __init__(self, inside: Inside, joining: Joining, group: GroupCommit) -> None:
        self._in = inside
        self._joining = joining
        self._group = group

    # Comparing.

    async def sums(self, stretches: Sequence[Stretch]) -> list[Sum]:
        return [summed(await self._rows(stretch)) for stretch in stretches]

    async def heads(self, stretch: Stretch) -> dict[str, bytes]:
        return heads(await self._rows(stretch))

    async def _rows(self, stretch: Stretch) -> list[tuple[Any, ...]]:
        """The rows of a stretch that are there. A million deleted ones may be among them: a statement walks a slice."""
        living: list[tuple[Any, ...]] = []
        start, end, most = stretch.start, END if stretch.end is None else stretch.end, min(SLICE, stretch.limit)
        while True:
            await breathe()
            walked = self._in.reader.execute(SQL["stretch"], (stretch.table, start, end, most)).fetchall()
            living += (row for row in walked if _lives(row, stretch.at))
            if len(walked) < most or len(living) >= stretch.limit:
                return living[: stretch.limit]
            start, most = walked[-1][0] + AFTER, SLICE

    def held(self, keys: Sequence[Key], asked: Sequence[Dot] = ()) -> Held:
        durable, parked = self._in.durable_cursors, self._in.parked
        rows = [read_row(self._in.reader, key) for key in keys]  # the reader may be a moment ahead of what is durable
        return Held(rows, durable, self._joining.applied, [dot for dot in asked if dot in parked])

    # What the journal says.

    async def made(self, keys: Sequence[Key]) -> dict[Key, Row | None]:
        for _ in range(TRIES):
            floors = self._in.durable_floors
            history = {key: list(self._from_base(key)) for key in keys}
            for origin, last in sorted(self._in.durable_cursors.items()):
                await self._read_history(origin, floors.get(origin, 0), last, history)
            if floors == self._in.durable_floors:
                return {key: self._made(key, writes) for key, writes in history.items()}
        return {}

    def _from_base(self, key: Key) -> Iterator[Written]:
        """What the entries made of a row that are compacted."""
        if found := self._in.reader.execute(SQL["base_row"], key).fetchone():
            row = row_of(*key, found)
            yield row.dot, row, NO_VERSIONS

    def _made(self, key: Key, writes: Sequence[Written]) -> Row | None:
        parked = self._in.parked
        return folded(self._in.merges.get(key[0]), [(row, seen) for dot, row, seen in writes if dot not in parked])

    async def _read_history(self, origin: str, seq: int, last: int, history: dict[Key, list[Written]]) -> None:
        """Add every write of these rows by one origin after a sequence, a slice of its journal at a time."""
        marks = [key.encode() for _, key in history]  # an entry has its rows' keys in it as they are
        while found := self._in.reader.execute(SQL["entries_up_to"], (origin, seq, last, SLICE)).fetchall():
            for _, entry in found:
                if any(mark in entry for mark in marks):
                    for key, written in _writes(entry):
                        if key in history:
                            history[key].append(written)
            seq = found[-1][0]
            await breathe()

    async def entries(self, dots: Sequence[Dot]) -> dict[Dot, bytes]:
        found = {dot: self._in.reader.execute(SQL["entry"], dot).fetchone() for dot in dots}
        return {dot: row[0] for dot, row in found.items() if row}

    async def torn(self, asked: Sequence[Dot] = ()) -> list[Dot]:
        for dot, entry in (await self.entries(asked)).items():
            if not commit_of(entry, dot):
                self._in.tear(dot)
        return list(self._in.torn)

    # Fixing.

    async def fix(self, fixes: Sequence[Fix]) -> int:
        return await self._group.submit(lambda: self._fix(fixes))

    def _fix(self, fixes: Sequence[Fix]) -> int:
        version = self._in.version()
        return sum(self._fixed(fix, version) for fix in fixes)

    def _fixed(self, fix: Fix, version: int) -> bool:
        found = self._in.writer.execute(SQL["row_version"], fix.key).fetchone()
        if (found[0] if found else 0) != fix.version:
            return False
        row = fix.row
        self._in.tables.remake(*fix.key, row.value if row else None)
        if row is None:
            self._in.writer.execute(SQL["drop_row"], fix.key)
        else:
            put_row(self._in.writer, msgspec.structs.replace(row, version=version))
            if fix.based and covers(self._in.base.reach, row.versions):
                self._in.base.put(row)
        return True

    async def replace_entries(self, entries: Mapping[Dot, bytes]) -> None:
        await self._group.submit(lambda: self._replace_entries(entries))

    def _replace_entries(self, entries: Mapping[Dot, bytes]) -> None:
        self._in.writer.executemany(SQL["replace_entry"], [(entry, *dot) for dot, entry in sorted(entries.items())])
        for dot in entries:
            self._in.torn.pop(dot, None)


def _lives(row: Sequence[Any], at: float) -> bool:
    """Whether a reader at a time sees a row, given as `stretch` has it."""
    _, value, *_, expires_at = row
    return value is not None and (expires_at is None or expires_at > at)


def _writes(entry: bytes) -> Iterator[tuple[Key, Written]]:
    """The rows that a commit wrote; none where the entry is damaged."""
    try:
        commit = _decode_commit(entry)
    except ValueError:
        return
    for write in commit.writes:
        yield (write.table, write.key), ((commit.origin, commit.seq), incoming(commit, write, 0), commit.seen)
