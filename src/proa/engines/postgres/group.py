"""Group commit: the batches that wait are one transaction, so that they share a sync and two round trips.

The first brings the lock of the counters and all that the batches touch, the second writes what was decided and
commits. Whoever has that lock commits alone; so revisions rise in the order of commits, whichever process they come
from. A batch that loses a race fails alone. Nobody is answered before COMMIT was.

A connection that is lost with a COMMIT on its way leaves it unknown. The group runs again under the same ids: it gets
the lock only once the former transaction is over, and then the recorded answers tell which of its batches are done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import OperationalError

from proa.core.replicate.journal import Key
from proa.engines.global_rows import EXPIRED_KEPT_S, TRANSACTIONS_KEPT_S
from proa.engines.postgres.connections import TRIES, Away, Connection, Line, Patience, Refused, execute, pipelined
from proa.engines.postgres.judging import Judge, Standing, Writes, keepable
from proa.engines.postgres.rows import columns, decode_outcome, decode_result, encode
from proa.engines.postgres.tables import moved
from proa.engines.postgres.watching import Eyes, went_back
from proa.engines.schemas import shapes_of
from proa.errors import GlobalStoreUnreachable, OutcomeUnknown, ProaError
from proa.ports import Batch, Result, Schema

BATCH_MAX = 256
SWEEP_EVERY = 500
"""After so many commits, a stretch of what need not be kept any more is removed."""
SWEEP_ROWS = 1000

Work = tuple[Batch, "asyncio.Future[Result]"]
Statement = tuple[str, Sequence[Any]]
"""Its name and what it is given."""


class Attempt:
    """One transaction of a group. `committing` as soon as its COMMIT may have been sent."""

    def __init__(self, group: list[Work], schemas: Mapping[str, Schema], revision_min: int, *, notifies: bool) -> None:
        self._batches = [batch for batch, _ in group]
        self._schemas = schemas
        self._revision_min = revision_min
        self._notifies = notifies
        self.committing = False
        self.writes = Writes()

    async def run(self, connection: Connection) -> list[Result]:
        """What each batch is answered, once that is durable."""
        standing, entries = await self._read(connection)
        if standing.revision < self._revision_min:
            raise went_back(self._revision_min, standing.revision)
        judge = Judge(standing, shapes_of(self._schemas))
        answers = [judge.judge(batch) for batch in self._batches]
        if judge.revision == standing.revision:
            await execute(connection, "rollback")  # nothing to sync
        else:
            self.committing = True
            await self._write(connection, standing, judge, entries)
            self.writes = judge.writes
        return answers

    async def _read(self, connection: Connection) -> tuple[Standing, list[Any]]:
        """The lock, and then what holds of everything that the batches name."""
        touched, written = _touched(self._batches)
        indexed = [key for key in written if key[0] in self._schemas and self._schemas[key[0]].indexes]
        addresses = {(b.outcome.scope, b.outcome.address) for b in self._batches if b.outcome}
        async with pipelined(connection):
            await execute(connection, "begin")
            counted = await execute(connection, "lock")
            timed = await execute(connection, "clock")
            versions = await execute(connection, "versions", columns(touched, 2))
            answered = await execute(connection, "transactions", ([b.id for b in self._batches if b.id],))
            finished = await execute(connection, "outcomes", columns(addresses, 2))
            shapes = await execute(connection, "shapes_indexed", (sorted({table for table, _ in written}),))
            entries = await execute(connection, "entries", columns(indexed, 2))
        (revision, stamp), (now,) = (await counted.fetchall())[0], (await timed.fetchall())[0]
        outcomes = [decode_outcome(record) for (record,) in await finished.fetchall()]
        standing = Standing(
            revision,
            stamp,
            now,
            {(table, key): version for table, key, version in await versions.fetchall()},
            {id_: decode_result(result) for id_, result in await answered.fetchall()},
            {(outcome.scope, outcome.address): outcome for outcome in outcomes},
            dict(await shapes.fetchall()),
        )
        return standing, await entries.fetchall()

    async def _write(self, connection: Connection, before: Standing, judge: Judge, entries: list[Any]) -> None:
        statements = [
            *_kept(judge.writes),
            *_entries_moved(judge.writes, entries, self._schemas),
            *_swept(before, judge),
            ("put_counters", (judge.revision, judge.stamps.last)),
            *([("notify", ())] if self._notifies and judge.writes.news else []),
        ]
        async with pipelined(connection):
            for name, given in statements:
                await execute(connection, name, given)
            committed = await execute(connection, "commit")
        if committed.statusmessage != "COMMIT":
            raise OperationalError(f"the database answered COMMIT with {committed.statusmessage}")


def _kept(writes: Writes) -> Iterator[Statement]:
    """The rows, outcomes and answers."""
    rows = [
        (row.table, row.key, row.value, row.stamp, row.version, row.expires_at, key in writes.routine)
        for key, row in writes.rows.items()
    ]
    outcomes = [(*address, encode(outcome), outcome.expires_at) for address, outcome in writes.outcomes.items()]
    results = [(id_, encode(result), result.at) for id_, result in writes.results.items()]
    yield "put_rows", columns(rows, 7)
    if outcomes:
        yield "put_outcomes", columns(outcomes, 4)
    if results:
        yield "put_transactions", columns(results, 3)


def _entries_moved(writes: Writes, before: list[Any], schemas: Mapping[str, Schema]) -> Iterator[Statement]:
    """What that makes of the indexes."""
    known = [(table, index, entry, key) for table, index, entry, key in before if (table, key) in writes.rows]
    rows = [row for row in writes.rows.values() if row.table in schemas]
    dropped, added = moved(rows, known, schemas)
    if dropped:
        yield "drop_entries", columns(dropped, 4)
    if added:
        yield "put_entries", columns(sorted(added), 4)


def _swept(before: Standing, judge: Judge) -> Iterator[Statement]:
    """Now and then, some of what need not be kept any more."""
    if before.revision // SWEEP_EVERY != judge.revision // SWEEP_EVERY:
        yield "expire_outcomes", (before.now, SWEEP_ROWS)
        yield "expire_transactions", (before.now - TRANSACTIONS_KEPT_S,)
        yield "collect_rows", (before.now - EXPIRED_KEPT_S, SWEEP_ROWS)


class GroupCommit:
    """Runs one group after another for all of a process's batches; `eyes` are told what became durable.

    Others are notified where the database can do that (`notifies`).
    """

    def __init__(self, line: Line, schemas: Mapping[str, Schema], patience: Patience, eyes: Eyes) -> None:
        self._line = line
        self._schemas = schemas
        self._patience = patience
        self._eyes = eyes
        self._queue: list[Work] = []
        self._running: asyncio.Task[None] | None = None
        self.notifies = False

    async def commit(self, batch: Batch) -> Result:
        """What the batch is answered.

        Raises:
            GlobalStoreUnreachable: it was not committed.
            OutcomeUnknown: it may have been.
        """
        keepable(batch)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((batch, future))
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
        return await future

    async def idle(self) -> None:
        """Wait until everything submitted so far is answered."""
        while self._running:
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        try:
            while self._queue:
                group, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
                await self._settle(group)
        finally:
            self._running = None

    async def _settle(self, group: list[Work]) -> None:
        """Answer every batch of a group."""
        try:
            answers = await self._answered(group)
        except Refused as error:
            await self._settle_apart(group, error)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            waiting, self._queue = [*group, *self._queue], []  # those behind them have waited as long
            for number, (_, future) in enumerate(waiting):
                _fail(future, error if number < len(group) else GlobalStoreUnreachable(str(error)))
        else:
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _settle_apart(self, group: list[Work], error: Refused) -> None:
        """What the database cannot take fails alone."""
        if len(group) == 1:
            _fail(group[0][1], error)
            return
        for work in group:
            await self._settle([work])

    async def _answered(self, group: list[Work]) -> list[Result]:
        """Try a few times, each bounded in time. Once a COMMIT may have happened, no failure says that it did not."""
        unknown, detail = False, ""
        for number in range(TRIES):
            if number:
                await self._patience.pause()
            attempt = Attempt(group, self._schemas, self._eyes.revision, notifies=self.notifies)
            try:
                answers = await self._patience.bounded(self._line.run(attempt.run))
            except Away as error:
                unknown, detail = unknown or attempt.committing, error.detail
            except ProaError as error:
                if not unknown:
                    raise
                raise OutcomeUnknown(error.detail) from error
            else:
                self._eyes.committed(attempt.writes)
                return answers
        raise OutcomeUnknown(detail) if unknown else GlobalStoreUnreachable(detail)


def _touched(batches: list[Batch]) -> tuple[set[Key], set[Key]]:
    """The rows that batches read, and those that they write."""
    read = {key for batch in batches for key in batch.reads}
    return read, {(write.table, write.key) for batch in batches for write in batch.writes}


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
