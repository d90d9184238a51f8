"""The global store in a PostgreSQL database, which every process reaches by itself.

A transaction names the versions it rests on; it commits if they still hold. Its id is recorded with its result in the
same commit, so that whoever does not know whether it committed asks again and hears the same. The revision (one
number for the whole store, in one row that every commit locks) rises with every commit; it is the version of the rows
that the commit wrote, and what `watch` counts in. Time is the database's; how long a row is kept is counted on this
process's own clock. How batches share a transaction is `group`, who notices the commits of others `watching`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.engines.global_rows import global_row
from proa.engines.postgres.connections import (
    READING,
    TRIES,
    Address,
    Away,
    Connection,
    Line,
    Lines,
    Patience,
    Work,
    fetched,
)
from proa.engines.postgres.group import GroupCommit
from proa.engines.postgres.rows import query_rows, read_outcome, read_rows, read_view, scan_rows
from proa.engines.postgres.tables import ensure, prepare
from proa.engines.postgres.watching import Eyes, can_notify
from proa.engines.schemas import Progress, unwatched
from proa.errors import GlobalStoreUnreachable
from proa.ports import Batch, Changes, Clock, Entropy, Result, Schema, Span, View

T = TypeVar("T")
CALL_TIMEOUT_S = 0.5
READERS = 4
"""So many connections are read through at once."""


class PostgresGlobalStore:
    """`ports.GlobalStore` in the database at `address`.

    `schemas` are the tables that this process declares; None where it declares none and leaves them as they are.
    """

    def __init__(
        self,
        address: Address,
        clock: Clock,
        entropy: Entropy,
        schemas: Mapping[str, Schema] | None = None,
        progress: Progress = unwatched,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._schemas = schemas
        self._progress = progress
        self._patience = Patience(clock, entropy, timeout_s)
        self._writer, self._readers, self._watcher = Line(address), Lines(address, READERS), Line(address, READING)
        self._eyes = Eyes(self._watcher, clock)
        self._group = GroupCommit(self._writer, schemas or {}, self._patience, self._eyes)
        self._preparing: asyncio.Task[None] | None = None
        self._ready = False

    # The port.

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        return await self._ask(lambda connection: read_rows(connection, keys))

    async def query(self, span: Span) -> list[Row]:
        return await self._ask(lambda connection: query_rows(connection, span))

    async def view(self, keys: Sequence[Key], span: Span | None = None) -> View:
        return await self._ask(lambda connection: read_view(connection, keys, span))

    async def scan(self, table: str) -> list[Row]:
        return await self._ask(lambda connection: scan_rows(connection, table))

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return await self._ask(lambda connection: read_outcome(connection, scope, key))

    async def commit(self, batch: Batch) -> Result:
        await self.prepared()
        return await self._group.commit(batch)

    async def watch(self, prefix: str, after: int, timeout_s: float, waking: Sequence[str] = ()) -> Changes:
        if not prefix.startswith("~"):
            raise GlobalStoreUnreachable(f"only control tables can be watched, not {prefix!r}")
        if timeout_s > 0:
            await self.prepared()
            await self._eyes.news(after, waking, timeout_s)
        found = await self._ask(lambda connection: fetched(connection, "changes", (after,)))
        return self._changes(prefix, after, found)

    async def close(self) -> None:
        """Finish what was submitted and close all connections; waiting watchers are sent home."""
        await self._eyes.close()
        await self._group.idle()
        if preparing := self._preparing:
            preparing.cancel()
            await asyncio.wait({preparing})
        for line in (self._writer, self._readers, self._watcher):
            await line.close()

    # One call.

    def _changes(self, prefix: str, after: int, found: list[Any]) -> Changes:
        """What the rows that changed tell; the first one tells revision and time, even where no row did."""
        told = [(global_row(*row), routine) for _, _, *row, routine in found if (row[0] or "").startswith(prefix)]
        self._eyes.saw(row for row, routine in told if routine)
        now = self._clock.monotonic()
        kept_s = [now - self._eyes.kept_since(row) if routine else 0.0 for row, routine in told]
        revision, at = found[0][:2]
        return Changes(max(after, revision), [row for row, _ in told], at, kept_s)

    async def _ask(self, work: Work[T]) -> T:
        """Read; what breaks on the way is tried again, all within the time of one call."""
        await self.prepared()
        return await self._patience.bounded(self._tried(work))

    async def _tried(self, work: Work[T]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._readers.run(work)
            except Away:
                await self._patience.pause()
        return await self._readers.run(work)

    async def prepared(self) -> None:
        """Once per process the store is made, where it is missing, and its indexes as declared, however long it takes.

        Raises:
            GlobalStoreUnreachable: that is not done yet.
            StoreNewer: a newer version of Proa made the store.
            SchemaIncompatible: rows do not fit their tables as this process declares them.
        """
        if self._ready:
            return
        preparing = self._preparing = self._preparing or asyncio.ensure_future(self._prepare())
        await self._patience.bounded(asyncio.shield(preparing))
        self._ready = True

    async def _prepare(self) -> None:
        try:
            await self._writer.run(self._make_ready)
        finally:
            self._preparing = None

    async def _make_ready(self, connection: Connection) -> None:
        await ensure(connection)
        self._group.notifies = await can_notify(connection)
        if self._schemas is not None:
            await prepare(connection, self._schemas, self._progress)
