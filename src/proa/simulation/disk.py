"""Disks: real SQLite files, in a world where a sync takes time, finds no room, or never returns.

A store's writer runs its COMMIT through the disk. When the process dies, the next one gets a copy of the files as a
machine would find them after power came back: with everything that was synced, and of a sync under way all, nothing or
a torn part (the write-ahead log cut somewhere within it, its last page spoilt), which SQLite's recovery must see for
what it is. The dead process keeps the old files: whatever it still did to them nobody sees.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

from proa.engines.sqlite.files import open_file
from proa.simulation.loop import SimLoop
from proa.simulation.process import Life

SYNC_S = 0.001
PAGE_BYTES = 1024
DYING_S = 0.3
"""What is answered before its sync is over must have time to be heard."""
When = Literal["before", "inside", "after"]
Work = Callable[[], None]


class Disk:
    """One host's disk, for the file `store` if it keeps one. `slow_s` is added to each sync; `full` makes each fail.

    `crash` kills at the next one, which takes longer than others do; `pause_s` is how long the process stands still in
    the next one.
    """

    def __init__(
        self, folder: Path, rng: Random, loop: SimLoop, fired: Callable[[str], None], store: str | None = None
    ) -> None:
        self._folder = folder
        self._store = store
        self._rng = rng
        self._loop = loop
        self._fired = fired
        self._copies = 0
        self._syncing: list[Work] = []
        self._kept: Path | None = None
        self.slow_s = 0.0
        self.full = False
        self.crash: When | None = None
        self.pause_s = 0.0
        self.on_crash: Callable[[], None] = lambda: None
        self.path = self._next()
        self.path.mkdir(parents=True)
        self._prepare()

    def _prepare(self) -> None:
        """Put the empty store there with which a new disk's first process would begin."""
        if self._store:
            (self.path / self._store).write_bytes(_empty_store())

    def _next(self) -> Path:
        self._copies += 1
        return self._folder / str(self._copies)

    # Syncing.

    def runner(self, life: Life) -> Callable[[Work], asyncio.Future[None]]:
        """What the stores of one process run their COMMITs with."""

        def run_blocking(work: Work) -> asyncio.Future[None]:
            life.port()
            future: asyncio.Future[None] = self._loop.create_future()
            self._syncing.append(work)
            took_s = SYNC_S * (0.5 + self._rng.random()) + self.slow_s * self._rng.random()
            if self.slow_s:
                self._fired("slow disk")
            if self.crash:
                took_s += DYING_S * self._rng.random()
            self._loop.call_later(took_s, self._finish, life, work, future)
            return future

        return run_blocking

    def _finish(self, life: Life, work: Work, future: asyncio.Future[None]) -> None:
        """The sync is over, in the process that asked for it; a dead one never comes here."""
        if self.pause_s:
            self._stand_still(life)
        if self.crash:
            self._die(work)
        self._syncing = [other for other in self._syncing if other is not work]
        try:
            if self.full:
                self._fired("full disk")
                raise _full()
            work()
        except sqlite3.Error as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _stand_still(self, life: Life) -> None:
        seconds, self.pause_s = self.pause_s, 0.0
        self._fired("pause inside fsync")
        life.stall(seconds)

    def _die(self, work: Work) -> None:
        when, self.crash = self.crash, None
        self._fired(f"crash {when} fsync")
        if when != "inside":
            self._syncing.remove(work)
        if when == "after":
            work()
        self.on_crash()

    # What is left after a death.

    def crashed(self) -> None:
        """The process died: put a copy in place of what it had, as it would be found."""
        works, self._syncing = self._syncing, []
        keep = self._interrupted(works[-1]) if works else None
        old, self.path = self.path, self._next()
        _copy(old, self.path)
        if keep is not None:
            self._tear(keep)

    def _interrupted(self, work: Work) -> int | None:
        """A sync was under way: half of the times nothing reached the disk; else how much of the log was good.

        Of two, a commit's and the log's, it is the last one begun: the log's would never copy what is not synced yet.
        """
        if self._rng.random() < 0.5:
            return None
        before = _log_size(self.path)
        work()
        return before

    def _tear(self, good: int) -> None:
        """Cut the log somewhere after `good` bytes and spoil what is left of the last write; or leave it whole."""
        log, size = _log(self.path), _log_size(self.path)
        if log is None or size <= good or self._rng.random() < 0.3:
            return
        self._fired("torn write")
        cut = self._rng.randrange(good, size)
        with log.open("r+b") as file:
            file.truncate(cut)
            if cut > good:
                file.seek(self._rng.randrange(good, cut))
                file.write(self._rng.randbytes(min(64, cut - file.tell())))

    # What may happen to a disk as a whole, while nobody uses it.

    def heal(self) -> None:
        """It is well from now on: quick, with room, and no death or pause is due."""
        self.slow_s, self.full, self.crash, self.pause_s = 0.0, False, None, 0.0

    def snapshot(self) -> None:
        """Keep a copy to put back later."""
        self._kept = self._next()
        _copy(self.path, self._kept)

    def restore(self) -> None:
        """Put the copy back; without one the disk comes back empty."""
        if self._kept is None:
            self.lose()
        else:
            self.path = self._next()
            _copy(self._kept, self.path)

    def lose(self) -> None:
        """A new, empty disk."""
        self.path = self._next()
        self.path.mkdir()
        self._prepare()


@cache
def _empty_store() -> bytes:
    """A store's file before its first commit: made once, because every world begins with several.

    Its pages are small, as its rows are few: each commit writes whole pages, and that is a tenth of what a run costs.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
        for connection in open_file(file):
            connection.close()
        return file.read_bytes()


def _copy(old: Path, new: Path) -> None:
    new.mkdir()
    for file in sorted(old.iterdir()):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, new / file.name)


def _log(folder: Path) -> Path | None:
    return next((file for file in sorted(folder.iterdir()) if file.name.endswith("-wal")), None)


def _log_size(folder: Path) -> int:
    log = _log(folder)
    return log.stat().st_size if log else 0


def _full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error
