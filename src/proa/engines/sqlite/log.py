"""The write-ahead log, and how it is emptied beside the commits' way.

A commit is appended to the log; a checkpoint brings the log's pages to their places in the file and syncs that. The
pages of a large table lie all over it, so the sync of a few thousand of them takes longer than many commits do.
Therefore most of it is done on a connection of its own while commits go on (`_copy`). What they append meanwhile is
copied between two batches, while nobody writes (`_finish`): few pages. Then the log is empty, and the next commit
begins it anew, unless somebody still reads out of it. That is done after so many changes, or where they were large ones
when the log's file is long, which bounds it: by that, and by what is written while a copy runs.

A crash at any point leaves the log as it is until everything in it is synced in the file; the next start reads it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from math import inf
from pathlib import Path
from typing import Any, Literal

from proa.engines.sqlite.files import connect, translated
from proa.errors import StoreFull

RunBlocking = Callable[[Callable[[], None]], "Coroutine[Any, Any, None] | asyncio.Future[None]"]
"""Runs a blocking call off the loop (or, in a simulation, in virtual time). Two may run at a time."""
CHANGES = 4_000
"""How many rows of SQLite's are changed until a copy begins: about half as many units."""
BYTES = 32_000_000
"""How long its file may be before a copy begins earlier."""
FEW = 100
"""So many changes there are between two looks at the file, and so at least between two copies, even where somebody
keeps the log from being begun anew."""
LITTLE = 256
"""So many pages are quickly copied between two batches."""
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class Log:
    """The log of one store's writer.

    `copied` is called when a copy has ended, `emptied` before the next commit that may begin the log anew, `failed`
    where no sync can be trusted any more.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, run_blocking: RunBlocking) -> None:
        self._writer = writer
        self._path = path
        self._copier: sqlite3.Connection | None = None
        self._file = path.with_name(f"{path.name}-wal")
        self._run_blocking = run_blocking
        self._counted = self._looked = writer.total_changes
        self._state: Literal["growing", "copying", "copied"] = "growing"
        self.copied: Callable[[], None] = lambda: None
        self.emptied: Callable[[], None] = lambda: None
        self.failed: Callable[[BaseException], None] = lambda _: None

    @property
    def copying(self) -> bool:
        """Whether a copy is under way."""
        return self._state == "copying"

    def tend(self, go_on: Callable[[], None]) -> None:
        """Between two batches, while nobody writes: go on once what has to be done now is done."""
        if self._state == "copied":
            self._state, self._counted = "growing", self._writer.total_changes
            self._looked = self._counted
            self._perform(self._finish, lambda: self._finished(go_on))
            return
        if self._state == "growing" and self._due():
            self._state = "copying"
            self._perform(self._copy, self._copy_ended)
        go_on()

    def _due(self) -> bool:
        total = self._writer.total_changes
        if total - self._counted >= CHANGES:
            return True
        if total - self._looked < FEW:
            return False
        self._looked = total
        return self._file.stat().st_size > BYTES

    def _copy_ended(self) -> None:
        self._state = "copied"
        self.copied()

    def _finished(self, go_on: Callable[[], None]) -> None:
        self.emptied()
        go_on()

    def _perform(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        done = asyncio.ensure_future(self._run_blocking(work))
        done.add_done_callback(lambda _: self._performed(done, then))

    def _performed(self, done: asyncio.Future[None], then: Callable[[], None]) -> None:
        """A full disk leaves the log as it is until there is room; what failed to sync may be lost for the next one."""
        error = None if done.cancelled() else done.exception()
        if error and not isinstance(translated(error), StoreFull):
            self.failed(error)
        then()

    def _copy(self) -> None:
        """Copy the log's pages, and then those that came meanwhile, as long as they get fewer."""
        before, size = 0, inf
        while True:
            upto = self._checkpoint()
            copied, before = upto - before, upto
            if copied <= LITTLE or copied > size / 2:
                return
            size = copied

    def _finish(self) -> None:
        self._checkpoint()

    def _checkpoint(self) -> int:
        """Copy what the log has; how many of its pages are copied. The first copy opens the connection for all."""
        if self._copier is None:
            self._copier = connect(self._path)
        _, _, upto = self._copier.execute(CHECKPOINT).fetchone()
        return upto

    def close(self) -> None:
        """Close its connection; no copy may be under way."""
        if self._copier:
            self._copier.close()
