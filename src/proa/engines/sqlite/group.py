"""Group commit: many units, one fsync.

Units that arrive while a commit is on its way to the disk wait in a queue; then all of them run in one transaction,
whose COMMIT (one fsync) happens off the loop. Nobody is answered before it returns. A batch that wrote nothing, since
all its units lost a race or found their key finished, has nothing to wait for. A unit that fails takes its batch
back to the start, which then runs again without it: failing is rare, and a savepoint around each unit would cost every
unit two statements. A COMMIT that fails for want of room fails its batch; one that fails otherwise ends the process:
after a failed fsync nobody knows what is on the disk, so no later answer of this process could be trusted.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from proa.engines.sqlite.files import translated
from proa.engines.sqlite.log import Log, RunBlocking
from proa.errors import StoreCorrupt, StoreFull

T = TypeVar("T")
Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]
Results = list[tuple["asyncio.Future[Any]", Any]]
BATCH_MAX = 512


def end_process(error: BaseException) -> None:
    """The last resort after a failed fsync: stop at once, without running handlers that might answer somebody."""
    os.write(2, f"proa: the store failed to sync ({error}); ending the process\n".encode())
    os._exit(70)


class BatchState(Protocol):
    """The in-memory counters of a store, which must follow its transactions."""

    def seal(self) -> None:
        """The batch is about to be committed: write the counters that belong to it."""
        ...

    def publish(self) -> None:
        """The batch is durable."""
        ...

    def reset(self) -> None:
        """The batch is lost: go back to what is durable."""
        ...


class GroupCommit:
    """Runs units of work on one connection, a batch per fsync. A store in memory has no `log`."""

    def __init__(
        self, connection: sqlite3.Connection, state: BatchState, run_blocking: RunBlocking, log: Log | None
    ) -> None:
        self._connection = connection
        self._state = state
        self._run_blocking = run_blocking
        self._log = log
        self._queue: list[Work] = []
        self._busy = False
        self._idlers: list[asyncio.Future[None]] = []
        self.damaged = ""
        self.on_failure: Callable[[BaseException], None] = end_process
        if log:
            log.copied = self._log_copied
            log.failed = self._log_failed

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` inside a coming batch; the future is done when its batch is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append((work, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._begin)  # not at once: units that arrive in the same turn of the loop share a batch
        return future

    async def idle(self) -> None:
        """Wait until everything submitted so far is durable, and nothing uses the file any more."""
        while self._busy or (self._log and self._log.copying):
            idler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(idler)
            await idler

    def _begin(self) -> None:
        batch, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
        before = self._connection.total_changes
        try:
            results = self._run(batch)
            written = self._connection.total_changes != before
            if not written:
                self._sync()
        except sqlite3.Error as error:
            self._abandon(batch, error)
            self._next()
            return
        if written:
            self._await_sync(batch, results)
        else:
            self._answer(results)
            self._next()

    def _await_sync(self, batch: list[Work], results: Results) -> None:
        """Answer when the batch is on the disk."""
        syncing = self._run_blocking(self._sync)
        synced = syncing if isinstance(syncing, asyncio.Future) else asyncio.ensure_future(syncing)
        if synced.done():
            self._end(batch, results, synced)
        else:
            synced.add_done_callback(lambda _: self._end(batch, results, synced))

    def _end(self, batch: list[Work], results: Results, synced: asyncio.Future[None]) -> None:
        error = asyncio.CancelledError("the commit was cut off") if synced.cancelled() else synced.exception()
        if error is None:
            self._state.publish()
            self._answer(results)
        else:
            if not isinstance(translated(error), StoreFull):
                self.on_failure(error)
            self._abandon(batch, error)
        self._next()

    def _answer(self, results: Results) -> None:
        for future, result in results:
            if not future.done():
                future.set_result(result)

    def _log_copied(self) -> None:
        """Nobody may be writing while the copy of the log is finished."""
        if not self._busy:
            self._busy = True
            self._next()

    def _log_failed(self, error: BaseException) -> None:
        self.on_failure(error)

    def _next(self) -> None:
        if self._log:
            self._log.tend(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._queue:
            asyncio.get_running_loop().call_soon(self._begin)
            return
        self._busy = False
        idlers, self._idlers = self._idlers, []
        for idler in idlers:
            if not idler.done():
                idler.set_result(None)

    def _run(self, batch: list[Work]) -> Results:
        """Run every unit inside one open transaction; those that fail are left out."""
        while True:
            self._connection.execute("BEGIN IMMEDIATE")
            done: Results = []
            failed = self._first_failure(batch, done)
            if failed is None:
                self._state.seal()
                return done
            self._roll_back()
            batch.remove(failed)

    def _first_failure(self, batch: list[Work], done: Results) -> Work | None:
        for unit in batch:
            work, future = unit
            try:
                done.append((future, work()))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - it belongs to the unit, not to its batch-mates
                if not future.done():
                    future.set_exception(error)
                return unit
        return None

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._state.reset()

    def _sync(self) -> None:
        self._connection.execute("COMMIT")

    def _abandon(self, batch: list[Work], error: BaseException) -> None:
        """The batch found no room, or a damaged file: nothing of it is kept, in the file or in memory."""
        told = translated(error)
        try:
            self._roll_back()
        except sqlite3.Error:
            self.on_failure(told)  # not even what is durable can be read any more
        if isinstance(told, StoreCorrupt):
            self.damaged = told.detail
        for _, future in batch:
            if not future.done():
                future.set_exception(told)
