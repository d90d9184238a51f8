"""The global store's file: rows under compare-and-set, opened by the witness process and by nobody else.

A transaction names the versions it rests on; it commits if they still hold. Its id is recorded with its result in the
same commit, so that a caller whose reply was lost asks again and hears the same. The revision (one number for the whole
store) rises with every commit; it is the version of the rows that the commit wrote, and what `watch` counts in.

Most of what is written to control tables are beats that say nothing new. They wake no watcher: they are told with the
next news, or when the watcher's time is up, and with how long they were kept, so that nobody counts from when he heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import msgspec

from proa.bell import Bell
from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.core.time import HybridClock, wall_of
from proa.engines.global_rows import EXPIRED_KEPT_S, TRANSACTIONS_KEPT_S, global_row
from proa.engines.schemas import NONE, Progress, unwatched
from proa.engines.sqlite.files import SQL, open_file
from proa.engines.sqlite.group import GroupCommit
from proa.engines.sqlite.log import Log, RunBlocking
from proa.engines.sqlite.rows import (
    Sweep,
    encode,
    obstacle,
    put_row,
    read_outcome,
    read_row,
    read_rows,
    row_of,
)
from proa.engines.sqlite.tables import Tables, query_rows
from proa.errors import GlobalStoreUnreachable
from proa.ports import Batch, Changes, Clock, Committed, Result, Schema, Span, View

Found = tuple[list[Row], list[float | None]]
"""Rows by version, and since when the store has had each of those that were routine."""
NOTHING: Found = ([], [])
RECENT_MAX = 256
"""So many control rows are kept in memory, for those who watch; whoever was away for longer is told from the file."""

_decode_result = msgspec.msgpack.Decoder(Result).decode


class SqliteGlobalStore:
    """`ports.GlobalStore` on one file."""

    def __init__(
        self,
        path: Path | str,
        clock: Clock,
        run_blocking: RunBlocking,
        schemas: Mapping[str, Schema] = NONE,
        progress: Progress = unwatched,
    ) -> None:
        self._writer, self._reader = open_file(path)
        self._tables = Tables(self._writer, schemas, progress)
        self._tables.prepare()
        self._clock = clock
        self._sweep = Sweep()
        self._load()
        self._bells: dict[tuple[str, ...], Bell] = {}
        self._log = Log(path, self._writer, run_blocking) if isinstance(path, Path) else None
        self._group = GroupCommit(self._writer, self, run_blocking, self._log)

    def _load(self) -> None:
        """Take the counters from what is durable."""
        self._revision, stamp = self._reader.execute(SQL["counters"]).fetchone()
        self._durable = self._revision
        self._stamps = HybridClock(stamp)
        self._pending: list[Row] = []
        self._recent: dict[Key, Row] = {}
        self._recent_after = self._revision
        self._news_of: set[str] = set()
        self._last_control = self._revision
        self._routine: dict[Key, tuple[int, float]] = {}
        self._found: dict[tuple[str, int], Found] = {}

    # The port.

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        return read_rows(self._reader, keys)

    async def query(self, span: Span) -> list[Row]:
        return query_rows(self._reader, span)

    async def view(self, keys: Sequence[Key], span: Span | None = None) -> View:
        self._reader.execute("BEGIN")
        try:
            revision, _ = self._reader.execute(SQL["counters"]).fetchone()
            rows = query_rows(self._reader, span) if span else [read_row(self._reader, key) for key in keys]
            return View(revision, [*rows])
        finally:
            self._reader.execute("COMMIT")

    async def scan(self, table: str) -> list[Row]:
        return [row_of(table, key, rest) for key, *rest in self._reader.execute(SQL["scan"], (table,))]

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return read_outcome(self._reader, scope, key, self._clock.now())

    async def commit(self, batch: Batch) -> Result:
        return await self._group.submit(lambda: self._commit(batch))

    async def watch(self, prefix: str, after: int, timeout_s: float, waking: Sequence[str] = ()) -> Changes:
        if not prefix.startswith("~"):
            raise GlobalStoreUnreachable(f"only control tables can be watched, not {prefix!r}")
        rows, written_at = self._changed(prefix, after)
        if timeout_s > 0 and not _news_among(rows, written_at, waking):
            await self._bells.setdefault(tuple(waking), Bell()).wait(timeout_s)
            rows, written_at = self._changed(prefix, after)
        now = self._clock.monotonic()
        kept_s = [0.0 if at is None else now - at for at in written_at]
        return Changes(rows[-1].version if rows else after, rows, self._clock.now(), kept_s)

    async def close(self) -> None:
        """Finish what was submitted and close the file; waiting watchers are sent home."""
        self._ring()
        await self._group.idle()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is, finishing nothing: what the end of the process would do."""
        if self._log:
            self._log.close()
        self._reader.close()
        self._writer.close()

    # One transaction.

    def _commit(self, batch: Batch) -> Result:
        if batch.id and (known := self._writer.execute(SQL["transaction"], (batch.id,)).fetchone()):
            return _decode_result(known[0])
        now = self._clock.now()
        result = obstacle(self._writer, batch, now) or self._write(batch, now)
        if batch.id and isinstance(result, Committed):
            self._writer.execute(SQL["put_transaction"], (batch.id, encode(result), result.at))
        return result

    def _write(self, batch: Batch, now: float) -> Committed:
        self._revision += 1
        if self._revision % Sweep.EVERY == 0:
            self._sweep.step(self._writer, now)
            self._writer.execute(SQL["expire_transactions"], (now - TRANSACTIONS_KEPT_S,))
            self._collect(now - EXPIRED_KEPT_S)
        stamp = self._stamps.tick(now)
        for write in batch.writes:
            row = global_row(write.table, write.key, write.value, stamp, self._revision, write.expires_at)
            self._tables.move(write.table, write.key, write.value)
            put_row(self._writer, row)
            if write.table.startswith("~"):
                self._note_control(row, routine=batch.routine)
        return Committed(self._revision, wall_of(stamp))

    def _note_control(self, row: Row, *, routine: bool) -> None:
        """A row that is watched was written."""
        self._pending.append(row)
        if routine:
            self._routine[row.table, row.key] = row.version, self._clock.monotonic()
        else:
            self._news_of.add(row.table)

    def _collect(self, before: float) -> None:
        """Remove some of the rows that expired before this time. There is one copy of them, so that suffices."""
        for table, key in self._writer.execute(SQL["expired"], (before, Sweep.STRETCH)).fetchall():
            self._tables.move(table, key, None)
            self._writer.execute(SQL["drop_row"], (table, key))

    def _changed(self, prefix: str, after: int) -> Found:
        """What changed since; looked up once for all who wait for the same."""
        if after >= self._last_control:
            return NOTHING
        found = self._found.get((prefix, after))
        if found is None:
            rows = [row for row in self._control_after(after) if row.table.startswith(prefix)]
            found = self._found[prefix, after] = rows, [self._written_at(row) for row in rows]
        return found

    def _control_after(self, after: int) -> list[Row]:
        """The control rows that changed since, out of memory where that goes back far enough."""
        if after < self._recent_after:
            changed = self._reader.execute(SQL["control_changes"], (after,))
            return [row_of(table, key, rest) for table, key, *rest in changed]
        rows = list(takewhile(lambda row: row.version > after, reversed(self._recent.values())))
        return sorted(rows, key=lambda row: (row.version, row.table, row.key))

    def _remember(self, row: Row) -> None:
        """Keep a control row that is durable now, the latest last, and drop the oldest of too many."""
        self._recent.pop((row.table, row.key), None)
        self._recent[row.table, row.key] = row
        if len(self._recent) > RECENT_MAX:
            oldest = next(iter(self._recent))
            self._recent_after = self._recent.pop(oldest).version

    def _written_at(self, row: Row) -> float | None:
        """Since when this store has had a row that was routine; None where it was news, or is from an earlier life."""
        version, at = self._routine.get((row.table, row.key), (0, 0.0))
        return at if version == row.version else None

    # The in-memory side of a batch (`group.BatchState`).

    def seal(self) -> None:
        if self._revision != self._durable:
            self._writer.execute(SQL["put_counters"], (self._revision, self._stamps.last))

    def publish(self) -> None:
        self._durable = self._revision
        if self._pending:
            for row in self._pending:
                self._remember(row)
            self._pending = []
            self._last_control = self._revision
            self._found = {}
        if self._news_of:
            self._ring(self._news_of)
            self._news_of = set()

    def _ring(self, tables: set[str] | None = None) -> None:
        """Wake whoever waits for news of one of these tables (None: everybody)."""
        for waking, bell in self._bells.items():
            if tables is None or not waking or not tables.isdisjoint(waking):
                bell.ring()

    def reset(self) -> None:
        self._load()


def _news_among(rows: Sequence[Row], written_at: Sequence[float | None], waking: Sequence[str]) -> bool:
    """Whether there is news that ends the wait. What is routine has a time since when it is kept."""
    if None not in written_at:
        return False
    return not waking or any(at is None and row.table in waking for row, at in zip(rows, written_at, strict=True))
