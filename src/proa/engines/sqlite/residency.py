"""What a store does because only some regions may hold some rows: its keys of finished units, and a census of itself.

A region that may not hold an answer knows its key as a digest alone. So that it meets its own record of that key, all
records of such a store are kept under digests; those that it may hold still say the key inside.

The census looks at what is there, a stretch at a time, and asks no declaration what should be: it is the proof.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

import msgspec

from proa.core.dedupe import HANDLED, Outcome
from proa.core.replicate.journal import Commit
from proa.core.residency import MISPLACED, Holding, Inventory, holders, resident, sealed_key
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.rows import Address, ReadEntry, encode
from proa.ports import Fits

SEALING = "sealing"
STRETCH = 500
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


def prepare_keys(writer: sqlite3.Connection, tables: Iterable[str]) -> Address:
    """Under what this store keeps keys. Those kept before residency was declared are moved once."""
    if get_meta(writer, SEALING):
        return sealed_key
    if not any(resident(table) for table in tables):
        return str
    writer.execute("BEGIN IMMEDIATE")
    for scope, key, _ in writer.execute(SQL["all_outcomes"]).fetchall():
        writer.execute(SQL["readdress_outcome"], (sealed_key(key), scope, key))
    for scope, key in writer.execute(SQL["duplicate_keys"]).fetchall():
        writer.execute(SQL["readdress_duplicate"], (sealed_key(key), scope, key))
    writer.execute(SQL["put_meta"], (SEALING, encode(True)))
    writer.execute("COMMIT")
    return sealed_key


class Census:
    """Counts everything that only some regions may hold. It goes through the whole store, so it pauses often.

    What a damaged entry of the journal holds is not counted; the store names it. Nor is what the damaged record of a
    finished key holds, which is named here.
    """

    def __init__(self, reader: sqlite3.Connection, fits: Fits, read: ReadEntry) -> None:
        self._reader = reader
        self._fits = fits
        self._read = read
        self._counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        self._unreadable: dict[str, None] = {}

    async def take(self) -> Inventory:
        """The counts, in order, and what could not be counted."""
        await self._count_rows()
        for what, query in (("index entries", "index_counts"), ("conflicts", "conflict_counts")):
            for table, count in self._reader.execute(SQL[query]):
                self._note(what, table, count)
        async for entry in self._stretches("entries_from", ("", 0)):
            self._note_commit("journal writes", self._read(*entry))
        for origin, seq, _, _, entry in self._reader.execute(SQL["parked"]):
            self._note_commit("set aside", self._read(origin, seq, entry))
        async for scope, key, record in self._stretches("records_from", ("", "")):
            self._note_record("answers", record, scope, key)
        for kept, other, _, _, *name in self._reader.execute(SQL["duplicates"], (HANDLED,)):
            self._note_record("duplicates", kept, *name)
            self._note_record("duplicates", other, *name)
        return Inventory(sorted(Holding(*what, count) for what, count in self._counts.items()), list(self._unreadable))

    async def _count_rows(self) -> None:
        for part in self._parts():
            async for _, value in self._stretches("rows_from", ("",), part):
                self._note("rows", part)
                if value is not None and not self._fits(part, value):
                    self._note(MISPLACED, part)

    def _parts(self) -> Iterator[str]:
        """The names of tables of which only some regions may hold the rows."""
        name = ""
        while (name := self._reader.execute(SQL["next_table"], (name,)).fetchone()[0]) is not None:
            if resident(name):
                yield name

    async def _stretches(self, query: str, start: tuple[Any, ...], *where: str) -> AsyncGenerator[tuple[Any, ...]]:
        """Everything that a query finds, a stretch after the other; each row begins with its place in their order."""
        while found := self._reader.execute(SQL[query], (*where, *start, STRETCH)).fetchall():
            for row in found:
                yield row
            start = found[-1][: len(start)]
            await asyncio.sleep(0)

    def _note(self, what: str, table: str, count: int = 1) -> None:
        if resident(table):
            self._counts[what, table, holders(table)] += count

    def _note_commit(self, what: str, commit: Commit | None) -> None:
        for write in commit.writes if commit else ():
            self._note(what, write.table)
        if commit and commit.outcome:
            self._note_outcome(f"answers, {what}", commit.outcome)

    def _note_record(self, what: str, record: bytes, *name: str) -> None:
        try:
            self._note_outcome(what, _decode_outcome(record))
        except ValueError:
            self._unreadable[" ".join((what, *name))] = None

    def _note_outcome(self, what: str, outcome: Outcome) -> None:
        if outcome.holders and not outcome.is_sealed:
            self._counts[what, "", outcome.holders] += 1
