"""A region's own store: one file in which units commit, and other regions' commits are applied.

This is the port, put together: reads see durable rows alone, every write goes through the group commit. The parts are
`units` (the deciding line), `applying` and `merging`, `serving`, `snapshot`, `forgetting`, `base` and `repairs`; what
they share is `inside`. A row's local version is the stamp of its commit here, or of the application of another
region's: stamps never repeat, also after a restart, since each is kept in the journal or beside it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from proa.core.dedupe import Outcome, Pair
from proa.core.replicate.compaction import Retention
from proa.core.replicate.journal import Commit, Dot, Key, Row
from proa.core.replicate.records import ConflictRecord, ConflictsWanted, Parked
from proa.core.replicate.resolve import Merge
from proa.core.replicate.snapshot import Page, Place
from proa.core.replicate.stamp import Versions
from proa.core.replicate.tombstones import Passed
from proa.core.residency import Gap, Inventory
from proa.core.roles import Cut
from proa.engines.schemas import NONE, Progress, unwatched
from proa.engines.sqlite import duplicates
from proa.engines.sqlite.applying import Applying
from proa.engines.sqlite.files import open_file, translated
from proa.engines.sqlite.forgetting import Forgetting
from proa.engines.sqlite.group import GroupCommit
from proa.engines.sqlite.inside import Inside, Listeners
from proa.engines.sqlite.log import Log, RunBlocking
from proa.engines.sqlite.merging import Merging
from proa.engines.sqlite.records import conflicts_dropped, log_conflict, read_commits, read_conflicts, read_parked
from proa.engines.sqlite.residency import Census
from proa.engines.sqlite.rows import read_outcome, read_row
from proa.engines.sqlite.serving import Serving
from proa.engines.sqlite.snapshot import Joining, read_page
from proa.engines.sqlite.spans import Spans
from proa.engines.sqlite.tables import Tables, walk_rows
from proa.engines.sqlite.units import Units
from proa.errors import CutBelowFloor, StoreCorrupt
from proa.ports import ENTRIES_BYTES, Batch, Clock, Fits, Identity, Permit, RepairStore, Result, Schema, Span, Terms

EVERY_CONFLICT = ConflictsWanted()


class SqliteRegionStore:
    """`ports.RegionStore` on one file. `origin` must be assumed (`assume`) before the first commit."""

    def __init__(
        self,
        path: Path | str,
        region: str,
        clock: Clock,
        run_blocking: RunBlocking,
        *,
        permit: Permit | None = None,
        merges: Mapping[str, Merge] | None = None,
        schemas: Mapping[str, Schema] = NONE,
        progress: Progress = unwatched,
    ) -> None:
        self._writer, self._reader = open_file(path)
        tables = Tables(self._writer, schemas, progress)
        tables.prepare()
        self._in = Inside(self._writer, self._reader, region, clock, merges or {}, tables, list(schemas))
        self._merging = Merging(self._in)
        self._joining = Joining(self._in, self._merging)
        self._applying = Applying(self._in, self._merging, self._joining)
        self._units = Units(self._in, self._joining, permit)
        self._forgetting = Forgetting(self._in)
        self._serving = Serving(self._in)
        self._log = Log(path, self._writer, run_blocking) if isinstance(path, Path) else None
        self._group = GroupCommit(self._writer, self, run_blocking, self._log)
        if self._log:
            self._log.emptied = self._end_snapshot
        self._telling = _Telling(self._group)
        self._spans = Spans(path, self._reader)
        self._repairs: RepairStore | None = None

    @property
    def listeners(self) -> Listeners:
        """Who is told of what happens here."""
        return self._in.listeners

    # Identity.

    async def assume(self, identity: Identity) -> None:
        """Make `identity` this disk's own, durably; commits from now on belong to its origin."""
        await self._group.submit(lambda: self._in.assume(identity))

    @property
    def identity(self) -> Identity | None:
        return self._in.identity

    @property
    def origin(self) -> str:
        return self._in.origin

    @property
    def whole_since(self) -> int:
        """The life since which this disk lost nothing; 0: the present one."""
        return self._in.identity.whole_since if self._in.identity else 0

    @property
    def head(self) -> int:
        """The last durable sequence of this origin."""
        return self._in.durable_cursors.get(self._in.origin, 0)

    # Reading: durable commits alone.

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        with self._telling:
            reader = self._snapshot()
            return [read_row(reader, key) for key in keys]

    async def query(self, span: Span) -> list[Row]:
        with self._telling:
            return await self._spans.query(self._snapshot(), span)

    async def walk(self, span: Span) -> tuple[list[Row], Span | None]:
        with self._telling:
            return walk_rows(self._snapshot(), span)

    async def count(self, span: Span) -> int:
        with self._telling:
            return await self._spans.count(self._snapshot(), span)

    async def duplicates(self) -> list[Pair]:
        with self._telling:
            return duplicates.listed(self._reader)

    def _snapshot(self) -> sqlite3.Connection:
        """The reader in a transaction that lasts until more is durable: to begin one costs what reading a row does.

        In memory a reader's transaction would keep the writer's from ending.
        """
        if self._log and not self._reader.in_transaction:
            self._reader.execute("BEGIN")
        return self._reader

    def _end_snapshot(self) -> None:
        if self._reader.in_transaction:
            self._reader.execute("COMMIT")

    @property
    def damaged(self) -> str:
        """What SQLite said when it found the file damaged, or which entries of the journal are; empty where none is."""
        named = ", ".join(f"{origin}:{seq}" for origin, seq in self._in.torn)
        return self._group.damaged or (named and f"{named} in the journal cannot be read")

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return read_outcome(self._reader, scope, self._in.address(key), self._in.clock.now())

    def finished_lately(self, scope: str, key: str) -> bool:
        return self._in.recent.maybe(scope, self._in.address(key))

    def duplicates_counted(self) -> tuple[int, int]:
        """How many pairs are listed, and how many of them are handled."""
        return duplicates.counted(self._reader)

    def parked_between(self, origin: str, after: int, upto: int) -> int:
        return sum(1 for name, seq in self._in.parked if name == origin and after < seq <= upto)

    async def parked(self) -> list[Parked]:
        return read_parked(self._reader, self._in.readable)

    async def conflicts(self, wanted: ConflictsWanted = EVERY_CONFLICT) -> list[ConflictRecord]:
        return read_conflicts(self._reader, wanted)

    def conflicts_dropped(self) -> int:
        return conflicts_dropped(self._reader)

    async def commits(self, dots: Iterable[Dot]) -> dict[Dot, Commit]:
        return read_commits(self._reader, dots, self._in.readable)

    async def holdings(self, fits: Fits) -> Inventory:
        return await Census(self._reader, fits, self._in.readable).take()

    # Units.

    def commit(self, batch: Batch) -> asyncio.Future[Result]:
        return self._group.submit(lambda: self._units.commit(batch))

    async def flush(self) -> int:
        """Wait until everything admitted so far is durable; the head then."""
        await self._group.idle()
        return self.head

    async def note(self, records: Sequence[ConflictRecord]) -> None:
        await self._group.submit(lambda: [log_conflict(self._writer, record) for record in records])

    # Other regions.

    async def journal(self, after: Versions, limit: int, size: int = ENTRIES_BYTES) -> list[bytes]:
        return self._serving.entries(after, limit, size)

    async def changed(self, after: Versions, timeout_s: float) -> bool:
        return await self._serving.changed(after, timeout_s)

    def cursors(self) -> Versions:
        return dict(self._in.durable_cursors)

    def applied(self) -> Versions:
        """The cursors with what is on its way to the disk: nothing beyond them was applied so far."""
        return self._joining.applied

    async def apply(self, entries: Sequence[bytes], terms: Terms) -> Versions:
        await self._group.submit(lambda: self._applying.apply(entries, terms))
        return self.cursors()

    async def gaps(self, limit: int = 100, after: Dot = ("", 0)) -> list[Gap]:
        return self._applying.gaps(limit, after)

    async def fill(self, entries: Sequence[bytes]) -> int:
        return await self._group.submit(lambda: self._applying.fill(entries))

    async def set_aside(self, cuts: Sequence[Cut]) -> int:
        """Park every applied commit that came too late for a cut, and rebuild the rows that it had touched.

        Returns how many commits were parked.

        Raises:
            CutBelowFloor: such commits are part of the base, out of which nothing can be taken.
        """
        while self.joining:
            await self.merge_staged()
        done = await self._group.submit(lambda: self._applying.set_aside(cuts))
        if isinstance(done, Cut):
            raise CutBelowFloor(f"epoch {done.epoch} starts from {done.origin}:{done.seq}; later commits are compacted")
        return done

    # Forgetting, compaction, and snapshots for those who come too late for the journal.

    async def forget(self, peers: Collection[Passed], limit: int, ended: float = 0.0) -> int:
        gone = self._forgetting.passed(peers, limit, ended)
        return await self._group.submit(lambda: self._forgetting.drop(gone)) if gone else 0

    def floors(self) -> Versions:
        return dict(self._in.durable_floors)

    def latest_stamp(self) -> int:
        return self._in.stamps.last

    async def compact(self, retention: Retention) -> int:
        base = self._in.base
        if self.joining or not base.due(retention, self._in.durable_cursors):
            return 0
        return await self._group.submit(lambda: base.compact(retention, self._in.cursors, self._in.parked))

    async def snapshot(self, after: Place, size: int) -> Page:
        self._end_snapshot()  # a page is a transaction of its own
        return read_page(self._reader, after, size, self._in.clock.now())

    @property
    def joining(self) -> bool:
        return self._joining.merging

    async def stage(self, page: Page, *, first: bool) -> bool:
        return await self._group.submit(lambda: self._joining.stage(page, first=first))

    async def merge_staged(self) -> bool:
        return await self._group.submit(self._joining.merge)

    @property
    def repairs(self) -> RepairStore:
        if self._repairs is None:
            from proa.engines.sqlite.repairs import SqliteRepairs  # no unit ever needs it

            self._repairs = SqliteRepairs(self._in, self._joining, self._group)
        return self._repairs

    # The end.

    async def close(self) -> None:
        """Finish what was submitted and close the file."""
        self._serving.news.ring()
        await self._group.idle()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is, finishing nothing: what the end of the process would do."""
        if self._log:
            self._log.close()
        self._reader.close()
        self._writer.close()

    # The in-memory side of a batch (`group.BatchState`).

    def seal(self) -> None:
        self._in.seal()

    def publish(self) -> None:
        self._end_snapshot()
        self._in.publish()
        self._units.tell()
        self._serving.news.ring()
        self._merging.tell()

    def reset(self) -> None:
        self._end_snapshot()
        self._units.lose()
        self._merging.lose()
        self._in.load()
        self._joining.load()


class _Telling:
    """What SQLite says in such a block is told as an error of Proa's; a file that is found damaged is remembered."""

    def __init__(self, group: GroupCommit) -> None:
        self._group = group

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.DatabaseError) and (told := translated(error)) is not error:
            if isinstance(told, StoreCorrupt):
                self._group.damaged = told.detail
            raise told from error
