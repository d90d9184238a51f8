"""A region's own store: units commit here, and other regions' commits are applied here.

Every commit gets the next sequence of this origin and a stamp; rows, journal entry and outcome go into one transaction.
A row's local version is the stamp of its commit here, or of the application of another region's: stamps never repeat,
also after a restart, since each is kept in the journal or beside it.
Other origins' entries are kept as they came and served on, so that any survivor can help any region to catch up.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from proa.bell import Bell
from proa.core.dedupe import Outcome, Pair, RecentKeys
from proa.core.replicate.compaction import Floors, Retention, cut_below
from proa.core.replicate.journal import (
    NO_VERSIONS,
    Commit,
    Dot,
    Key,
    Row,
    Write,
    commit_of,
    incoming,
    missing,
    parks,
    read_entry,
)
from proa.core.replicate.records import ConflictRecord, ConflictsWanted, Parked
from proa.core.replicate.resolve import Committing, LastWriter, Merge, Stamping, order, resolve, verdict
from proa.core.replicate.snapshot import Page, Place
from proa.core.replicate.stamp import Versions, covers, join, region_of
from proa.core.replicate.tombstones import Passed, passed_by_all
from proa.core.residency import Gap, Holding, completed, gap, lacks
from proa.core.roles import Cut
from proa.core.time import HybridClock
from proa.engines.sqlite import duplicates
from proa.engines.sqlite.base import Base
from proa.engines.sqlite.files import SQL, get_meta, open_file, translated
from proa.engines.sqlite.group import GroupCommit
from proa.engines.sqlite.log import Log, RunBlocking
from proa.engines.sqlite.records import conflicts_dropped, log_conflict, read_commits, read_conflicts, read_parked
from proa.engines.sqlite.residency import Census, prepare_keys
from proa.engines.sqlite.rows import (
    Sweep,
    changed_key,
    claim_outcome,
    encode,
    obstacle,
    put_next_row,
    put_row,
    read_outcome,
    read_row,
    versions_of,
)
from proa.engines.sqlite.snapshot import Host, Joining, read_page
from proa.engines.sqlite.tables import NONE, Progress, Tables, count_rows, query_rows, unwatched, walk_rows
from proa.errors import CutBelowFloor, RegionJoining, StoreCorrupt
from proa.ports import (
    ENTRIES_BYTES,
    Batch,
    Clock,
    Committed,
    Fenced,
    Fits,
    Identity,
    Permit,
    RepairStore,
    Result,
    Schema,
    Span,
    Terms,
)

_decode_commit = msgspec.msgpack.Decoder(Commit).decode
_decode_versions = msgspec.msgpack.Decoder(Versions).decode
FORGOTTEN = "forgotten"
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
        self._tables = Tables(self._writer, schemas, progress)
        self._tables.prepare()
        self._address = prepare_keys(self._writer, schemas)
        self._clock = clock
        self._region = region
        self._permit = permit
        self._merges = dict(merges or {})
        # Policies of fields that merge by themselves have something to say at the commit; few tables have one.
        self._stamping: dict[str, Stamping] = {
            table: policy.committed for table, policy in self._merges.items() if isinstance(policy, Committing)
        }
        self._raised: list[ConflictRecord] = []
        self._doubled: list[tuple[Outcome, Outcome]] = []
        self.on_doubled: Callable[[Outcome, Outcome], None] | None = None
        self.on_merge_raised: Callable[[ConflictRecord], None] | None = None
        self.on_torn: Callable[[Dot], None] | None = None
        self.on_writes: Callable[[Sequence[Write]], None] | None = None
        self._fresh: list[Sequence[Write]] = []
        self._torn: dict[Dot, None] = {}
        self._news = Bell()
        self._lives = 0
        self._sweep = Sweep()
        self._recent = RecentKeys()
        self._base = Base(self._writer, self._reader, self._merges)
        host = Host(lambda: self._cursors, self._version, self._merge_outcome, self._park_told, self._adopt)
        self._joining = Joining((self._writer, self._reader), self._base, self._tables, self._merges, host)
        self._load()
        self._log = Log(path, self._writer, run_blocking) if isinstance(path, Path) else None
        self._group = GroupCommit(self._writer, self, run_blocking, self._log)
        if self._log:
            self._log.emptied = self._end_snapshot
        self._repairs: RepairStore | None = None

    def _load(self) -> None:
        """Take the counters from what is durable."""
        read = self._reader
        self._base.load()
        self._joining.load()
        self._cursors: Versions = dict(read.execute(SQL["cursors"]))
        self._stamps = HybridClock(self._last_stamp())
        self._unjournaled = False
        self._parked: dict[Dot, None] = {(row[0], row[1]): None for row in read.execute(SQL["parked"])}
        stored = get_meta(read, "identity")
        self.identity = msgspec.msgpack.decode(stored, type=Identity) if stored else None
        self.origin = f"{self._region}/{self.identity.incarnation}" if self.identity else ""
        self._durable_cursors = dict(self._cursors)
        self._free_of_tombstones: Versions | None = None
        self._durable_floors = self._base.reach
        self._forgotten = _decode_versions(get_meta(read, FORGOTTEN, encode({})))

    def _last_stamp(self) -> int:
        """The largest stamp ever given or observed: in the newest entry of an origin, or kept on its own."""
        _, kept = self._reader.execute(SQL["counters"]).fetchone()
        dropped = (floor.stamp for floor in self._base.floors.values())
        return max([kept, *dropped, *map(self._newest_stamp, self._cursors)])

    def _newest_stamp(self, origin: str) -> int:
        """The stamp of an origin's newest entry; 0 where that is damaged, and its stamp is kept beside the journal."""
        found = self._reader.execute(SQL["last_entry"], (origin,)).fetchone()
        commit = self._readable(origin, *found) if found else None
        if found is None or commit:
            return commit.stamp if commit else 0
        # Whatever was applied here left the counter in its transaction (see `seal`). A commit made here did not.
        return self._stamp_of_rows(origin, found[0]) if region_of(origin) == self._region else 0

    def _stamp_of_rows(self, origin: str, seq: int) -> int:
        """The stamp of a commit made here, of which the entry is damaged: all rows that it wrote have it."""
        (stamp,) = self._reader.execute(SQL["stamp_of_rows"], (origin, seq)).fetchone()
        if stamp is None:
            named = f"the journal's entry {origin}:{seq}, the newest made here"
            why = "no row tells its stamp: a new commit might be taken for an older one"
            raise StoreCorrupt(f"{named}, does not decode, and {why}")
        return stamp

    def _version(self) -> int:
        """A version for rows that another region's commit changes here: a stamp that no journal entry tells of."""
        self._unjournaled = True
        return self._stamps.tick(self._clock.now())

    # Identity.

    async def assume(self, identity: Identity) -> None:
        """Make `identity` this disk's own, durably; commits from now on belong to its origin."""
        await self._group.submit(lambda: self._assume(identity))

    def _assume(self, identity: Identity) -> None:
        origin = f"{self._region}/{identity.incarnation}"
        self._writer.execute(SQL["put_meta"], ("identity", encode(identity)))
        if origin != self.origin:
            self._begin_life(origin)
        self.identity = identity

    def _begin_life(self, origin: str) -> None:
        if self.origin:
            self._writer.execute(SQL["put_cursor"], (self.origin, self._cursors[self.origin]))
        self._writer.execute(SQL["put_origin"], (origin,))
        self.origin = origin
        self._cursors[origin] = 0
        self._lives += 1

    @property
    def whole_since(self) -> int:
        """The life since which this disk lost nothing; 0: the present one."""
        return self.identity.whole_since if self.identity else 0

    @property
    def head(self) -> int:
        """The last durable sequence of this origin."""
        return self._durable_cursors.get(self.origin, 0)

    # Reading: durable commits alone.

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        try:
            reader = self._snapshot()
            return [read_row(reader, key) for key in keys]
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    async def query(self, span: Span) -> list[Row]:
        try:
            return query_rows(self._snapshot(), span)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    async def walk(self, span: Span) -> tuple[list[Row], Span | None]:
        try:
            return walk_rows(self._snapshot(), span)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    async def count(self, span: Span) -> int:
        try:
            return count_rows(self._snapshot(), span)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

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

    def _told(self, error: sqlite3.DatabaseError) -> BaseException:
        """What SQLite says, as an error of Proa's; a damaged file is remembered."""
        told = translated(error)
        if isinstance(told, StoreCorrupt):
            self._group.damaged = told.detail
        return told

    @property
    def damaged(self) -> str:
        """What SQLite said when it found the file damaged, or which entries of the journal are; empty where none is."""
        named = ", ".join(f"{origin}:{seq}" for origin, seq in self._torn)
        return self._group.damaged or (named and f"{named} in the journal cannot be read")

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return read_outcome(self._reader, scope, self._address(key), self._clock.now())

    def finished_lately(self, scope: str, key: str) -> bool:
        return self._recent.maybe(scope, self._address(key))

    async def journal(self, after: Versions, limit: int, size: int = ENTRIES_BYTES) -> list[bytes]:
        """Each origin gets a share of the room: what another one's commits wait for must not stay behind them."""
        behind = [(origin, seq) for origin, seq in after.items() if self._serves_after(origin, seq)]
        entries: list[bytes] = []
        for number, (origin, seq) in enumerate(behind):
            others = len(behind) - number
            share, most = size // others, max(1, (limit - len(entries)) // others)
            for entry in self._entries_after(origin, seq, min(most, limit - len(entries))):
                entries.append(entry)
                size, share = size - len(entry), share - len(entry)
                if share <= 0:
                    break
        return entries

    def _serves_after(self, origin: str, seq: int) -> bool:
        return self._durable_floors.get(origin, 0) <= seq < self._durable_cursors.get(origin, 0)

    def _entries_after(self, origin: str, seq: int, limit: int) -> Iterator[bytes]:
        # Never past the cursors: the reader sees a commit a moment before they name it, and a peer that had more
        # of this origin than they say would prove that this disk was put back.
        room = min(limit, self._durable_cursors.get(origin, 0) - seq)
        for row in self._reader.execute(SQL["entries_after"], (origin, seq, room)):
            yield row[0]

    def cursors(self) -> Versions:
        return dict(self._durable_cursors)

    async def changed(self, after: Versions, timeout_s: float) -> bool:
        loop, lives = asyncio.get_running_loop(), self._lives
        deadline = loop.time() + timeout_s
        while not self._beyond(after) and self._lives == lives:
            if not await self._news.wait(deadline - loop.time()):
                return False
        return True

    def _beyond(self, after: Versions) -> bool:
        return any(self._durable_cursors.get(origin, 0) > seq for origin, seq in after.items())

    def parked_between(self, origin: str, after: int, upto: int) -> int:
        return sum(1 for name, seq in self._parked if name == origin and after < seq <= upto)

    async def parked(self) -> list[Parked]:
        return read_parked(self._reader, self._readable)

    async def conflicts(self, wanted: ConflictsWanted = EVERY_CONFLICT) -> list[ConflictRecord]:
        return read_conflicts(self._reader, wanted)

    def conflicts_dropped(self) -> int:
        return conflicts_dropped(self._reader)

    async def commits(self, dots: Iterable[Dot]) -> dict[Dot, Commit]:
        return read_commits(self._reader, dots, self._readable)

    async def duplicates(self) -> list[Pair]:
        try:
            return duplicates.listed(self._reader)
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error

    def duplicates_counted(self) -> tuple[int, int]:
        """How many pairs are listed, and how many of them are handled."""
        return duplicates.counted(self._reader)

    async def note(self, records: Sequence[ConflictRecord]) -> None:
        await self._group.submit(lambda: [log_conflict(self._writer, record) for record in records])

    # A unit's commit.

    def commit(self, batch: Batch) -> asyncio.Future[Result]:
        return self._group.submit(lambda: self._commit(batch))

    async def flush(self) -> int:
        """Wait until everything admitted so far is durable; the head then."""
        await self._group.idle()
        return self.head

    def _commit(self, batch: Batch) -> Result:
        if self._joining.merging:
            return Fenced(RegionJoining.code, f"{self._region} merges the snapshot of a peer")
        if self._permit and (refused := self._permit(batch)):
            return refused
        now = self._clock.now()
        if batch.outcome:
            self._recent.add(batch.outcome.scope, self._address(batch.outcome.address))
        return obstacle(self._writer, batch, now, self._address) or self._append(batch, now)

    def _append(self, batch: Batch, now: float) -> Committed:
        origin, seq = self.origin, self._cursors[self.origin] + 1
        stamp = self._stamps.tick(now)
        self._cursors[origin] = seq
        stamped = [self._committed(write, stamp, seq) for write in batch.writes] if self._stamping else batch.writes
        writes = [self._put(write, stamp, seq) for write in stamped]
        deps = {name: cursor for name, cursor in self._cursors.items() if name != origin}
        commit = Commit(origin, seq, stamp, batch.epoch, deps, writes, batch.dots, batch.outcome, batch.id, batch.trace)
        self._writer.execute(SQL["put_entry"], (origin, seq, encode(commit)))
        if self.on_writes:
            self._fresh.append(writes)
        if seq % Sweep.EVERY == 0:
            self._sweep.step(self._writer, now)
            duplicates.expire(self._writer, now)
        return Committed(seq, now, origin)

    def _committed(self, write: Write, stamp: int, seq: int) -> Write:
        """The write with the dot of this commit in fields that merge by themselves."""
        stamping = self._stamping.get(write.table)
        if stamping is None or write.value is None:
            return write
        return msgspec.structs.replace(write, value=stamping(write.value, self.origin, seq, stamp))

    def _put(self, write: Write, stamp: int, seq: int) -> Write:
        """Write one row over what is there; the write as the journal tells it, with what it had seen."""
        table, key, value, origin = write.table, write.key, write.value, self.origin
        if table in self._tables.indexed:
            self._tables.move(table, key, value)
        columns = (table, key, value, stamp, origin, seq, stamp, write.expires_at)
        if self._writer.execute(SQL["put_next_row"], columns).rowcount:
            return write
        versions = self._seen(write) | {origin: seq}
        put_row(self._writer, Row(table, key, value, stamp, origin, seq, versions, stamp, write.expires_at))
        return msgspec.structs.replace(write, versions=versions)

    def _seen(self, write: Write) -> Versions:
        _, origin, seq, versions = self._writer.execute(SQL["row_version"], (write.table, write.key)).fetchone()
        return versions_of(origin, seq, versions)

    # Other regions' commits.

    async def apply(self, entries: Sequence[bytes], terms: Terms) -> Versions:
        await self._group.submit(lambda: self._apply_all(entries, terms))
        return self.cursors()

    def applied(self) -> Versions:
        """The cursors with what is on its way to the disk: nothing beyond them was applied so far."""
        return join(self._cursors, self._joining.reach)

    def _apply_all(self, entries: Sequence[bytes], terms: Terms) -> None:
        if self._joining.merging:
            return
        version = self._version()
        for entry in entries:
            commit = commit_of(entry)  # what follows a damaged one of its origin is not due
            if commit and self._due(commit, terms.limits) and not missing(commit, self._cursors):
                self._apply(commit, entry, terms.cuts, version)

    def _due(self, commit: Commit, limits: Versions) -> bool:
        """Whether it is the next of its origin (not this region's own), and within the limit if that is held."""
        origin, seq = commit.origin, commit.seq
        return origin != self.origin and seq == self._cursors.get(origin, 0) + 1 and seq <= limits.get(origin, seq)

    def _apply(self, commit: Commit, entry: bytes, cuts: Sequence[Cut], version: int) -> None:
        self._writer.execute(SQL["put_entry"], (commit.origin, commit.seq, entry))
        self._lives += commit.seq == 1  # nobody who waits has named a new origin
        self._cursors[commit.origin] = commit.seq
        self._stamps.observe(commit.stamp)
        if lacks(commit, self._region):
            self._writer.execute(SQL["put_gap"], (commit.origin, commit.seq))
        if cut := parks(commit, cuts, self._parked):
            self._park(commit, cut)
            self._forget_outcome(commit.outcome)  # a snapshot may have brought it
        else:
            self._merge(commit, version)

    def _park(self, commit: Commit, cut: Cut) -> None:
        self._writer.execute(SQL["park"], (commit.origin, commit.seq, cut.epoch, self._clock.now()))
        self._parked[commit.origin, commit.seq] = None

    def _merge(self, commit: Commit, version: int) -> None:
        seen = commit.seen
        if not covers(seen, self._forgotten):
            self._rebuild({(write.table, write.key) for write in commit.writes})
        else:
            for write in commit.writes:
                self._merge_write(incoming(commit, write, version), seen)
        if commit.outcome:
            self._merge_outcome(commit.outcome)

    def _merge_write(self, theirs: Row, seen: Versions) -> None:
        """Merge a row of a commit; where what is here is damaged, the row is made anew of its whole history."""
        try:
            self._merge_row(theirs, seen)
        except msgspec.MsgspecError:
            self._tables.remake(theirs.table, theirs.key, None)
            self._rebuild({(theirs.table, theirs.key)})

    def _merge_row(self, theirs: Row, seen: Versions = NO_VERSIONS) -> None:
        plain = len(theirs.versions) == 1 and theirs.table not in self._tables.indexed
        if plain and put_next_row(self._writer, theirs):
            return
        ours = read_row(self._writer, (theirs.table, theirs.key))
        policy = self._merges.get(theirs.table, LastWriter())
        kept, rule = resolve(policy, ours, theirs, seen)
        if rule == "older":
            return
        self._tables.move(kept.table, kept.key, kept.value)
        put_row(self._writer, msgspec.structs.replace(kept, version=theirs.version))
        if ours and rule == "concurrent":
            self._log_conflict(verdict(policy, kept), policy, ours, theirs)

    def _log_conflict(self, rule: str, policy: Merge, ours: Row, theirs: Row) -> None:
        record = ConflictRecord(self._clock.now(), rule, ours, theirs)
        log_conflict(self._writer, record)
        if rule != policy.name:
            self._raised.append(record)

    def _merge_outcome(self, theirs: Outcome) -> None:
        """Two finished units under one key: all replicas keep the earlier one (unit ids sort by time) and list both."""
        address = self._address(theirs.address)
        self._recent.add(theirs.scope, address)
        now = self._clock.now()
        ours = claim_outcome(self._writer, theirs, now, self._address)
        if ours and ours.unit != theirs.unit:
            duplicates.list_pair(self._writer, ours, theirs, now, self._address)
            self._doubled.append((ours, theirs))
        elif ours and ours.is_sealed:
            duplicates.put_whole(self._writer, theirs, self._address)

    # Commits that came incomplete, since only a region that may not hold all of them had them.

    async def gaps(self, limit: int = 100, after: Dot = ("", 0)) -> list[Gap]:
        found = self._reader.execute(SQL["gaps"], (*after, limit))
        return [gap(commit, self._region) for row in found if (commit := self._readable(*row))]

    def _readable(self, origin: str, seq: int, entry: bytes) -> Commit | None:
        """A journal entry as a commit; None for a damaged one, which peers have another copy of."""
        with suppress(StoreCorrupt):
            return self._entry(origin, seq, entry)

    async def fill(self, entries: Sequence[bytes]) -> int:
        return await self._group.submit(lambda: sum(self._fill(_decode_commit(entry)) for entry in entries))

    def _fill(self, theirs: Commit) -> bool:
        """Take what another copy of an incomplete commit has beside this one; whether it had anything."""
        dot = (theirs.origin, theirs.seq)
        if not self._writer.execute(SQL["is_gap"], dot).fetchone():
            return False
        mine = self._entry(*dot, self._writer.execute(SQL["entry"], dot).fetchone()[0])
        commit = completed(mine, theirs)
        self._writer.execute(SQL["replace_entry"], (encode(commit), *dot))
        if not lacks(commit, self._region):
            self._writer.execute(SQL["fill_gap"], dot)
        if dot not in self._parked:
            self._merge(commit, self._version())
        return commit != mine

    async def holdings(self, fits: Fits) -> list[Holding]:
        return await Census(self._reader, fits, self._readable).take()

    # Setting a suffix aside.

    async def set_aside(self, cuts: Sequence[Cut]) -> int:
        """Park every applied commit that came too late for a cut, and rebuild the rows that it had touched.

        The rows become what the remaining journal makes of them, so this needs nobody else. Returns how many commits
        were parked.

        Raises:
            CutBelowFloor: such commits are part of the base, out of which nothing can be taken.
        """
        while self.joining:
            await self.merge_staged()
        done = await self._group.submit(lambda: cut_below(cuts, self._base.floors) or self._set_aside(cuts))
        if isinstance(done, Cut):
            raise CutBelowFloor(f"epoch {done.epoch} starts from {done.origin}:{done.seq}; later commits are compacted")
        return done

    def _set_aside(self, cuts: Sequence[Cut]) -> int:
        touched: set[Key] = set()
        late = [commit for cut in cuts for commit in self._applied_after(cut)]
        newly = 0
        for commit in sorted(late, key=lambda commit: (commit.stamp, commit.origin, commit.seq)):
            cut = None if (commit.origin, commit.seq) in self._parked else parks(commit, cuts, self._parked)
            if cut:
                self._park(commit, cut)
                self._forget_outcome(commit.outcome)
                touched |= {(write.table, write.key) for write in commit.writes}
                newly += 1
        if touched:
            self._rebuild(touched)
        return newly

    def _forget_outcome(self, outcome: Outcome | None) -> None:
        """The unit that recorded it does not stand any more."""
        if outcome:
            duplicates.unlist(self._writer, outcome, self._address)

    def _applied_after(self, cut: Cut) -> Iterator[Commit]:
        """The applied commits that came too late for `cut`. Epochs rise along an origin, so they are one run."""
        for seq, row in enumerate(self._writer.execute(SQL["entries_after"], (cut.origin, cut.seq, -1)), cut.seq + 1):
            commit = self._entry(cut.origin, seq, row[0])
            if commit.epoch >= cut.epoch:
                return
            yield commit

    def _rebuild(self, keys: set[Key]) -> None:
        """Make `keys` what the base and the journal without its parked commits make of them, oldest write first."""
        version = self._version()
        for key in keys:
            self._tables.move(*key, None)
            self._writer.execute(SQL["drop_row"], key)
        for row in self._base.rows(keys, version):
            self._merge_row(row)
        for row, seen in sorted(self._history(keys, version), key=lambda written: order(written[0])):
            self._merge_row(row, seen)

    def _history(self, keys: set[Key], version: int) -> Iterator[tuple[Row, Versions]]:
        for origin, seq, entry in self._writer.execute(SQL["all_entries"]):
            if (origin, seq) not in self._parked and seq > self._base.floor_of(origin):
                commit = self._entry(origin, seq, entry)
                for write in commit.writes:
                    if (write.table, write.key) in keys:
                        yield incoming(commit, write, version), commit.seen

    def _entry(self, origin: str, seq: int, entry: bytes) -> Commit:
        """A journal entry as a commit; a damaged one is remembered: without it rows would be wrong."""
        try:
            return read_entry(entry, (origin, seq))
        except StoreCorrupt:
            self._tear((origin, seq))
            raise

    def _tear(self, dot: Dot) -> None:
        """Remember that an entry is damaged, until another copy of it is in its place."""
        if dot not in self._torn:
            self._torn[dot] = None
            if self.on_torn:
                self.on_torn(dot)

    # Forgetting rows that are gone.

    async def forget(self, peers: Collection[Passed], limit: int, ended: float = 0.0) -> int:
        """Drop what all peers have passed of the `limit` oldest tombstones, and of as many rows expired by `ended`.

        How many there were. Should a write turn up all the same that had not seen one of them (the commits of a disk
        that was thought lost), the journal still tells what to make of it.
        """
        rows = [*self._tombstones(limit), *self._reader.execute(SQL["expired_rows"], (ended, limit))]
        gone = [
            ((table, key), version, vector)
            for table, key, version, origin, seq, versions in rows
            if passed_by_all(vector := versions_of(origin, seq, versions), peers)
        ]
        return await self._group.submit(lambda: self._forget(gone)) if gone else 0

    def _tombstones(self, limit: int) -> list[Any]:
        """The oldest ones; not looked for again where there was none, and nothing was published since."""
        if self._free_of_tombstones is self._durable_cursors:
            return []
        found = self._reader.execute(SQL["tombstones"], (limit,)).fetchall()
        self._free_of_tombstones = None if found else self._durable_cursors
        return found

    def _forget(self, gone: Sequence[tuple[Key, int, Versions]]) -> int:
        """Drop those of these rows, with their entries, that were not written again; how many they were.

        What the others had seen counts as forgotten, too: at worst the journal is asked once more.
        """
        for key, version, _ in gone:
            if key[0] in self._tables.indexed and not changed_key(self._writer, {key: version}):
                self._tables.move(*key, None)
        these = [(*key, version) for key, version, _ in gone]
        dropped = self._writer.executemany(SQL["drop_row_of_version"], these).rowcount
        self._forgotten = join(self._forgotten, *(versions for _, _, versions in gone))
        self._writer.execute(SQL["put_meta"], (FORGOTTEN, encode(self._forgotten)))
        self._version()  # what is written here from now on is stamped after the end of what expired
        return dropped

    # Compaction, and snapshots for those who come too late for the journal.

    def floors(self) -> Versions:
        return dict(self._durable_floors)

    async def compact(self, retention: Retention) -> int:
        if self._joining.merging or not self._base.due(retention, self._durable_cursors):
            return 0
        return await self._group.submit(lambda: self._base.compact(retention, self._cursors, self._parked))

    def latest_stamp(self) -> int:
        return self._stamps.last

    async def snapshot(self, after: Place, size: int) -> Page:
        self._end_snapshot()  # a page is a transaction of its own
        return read_page(self._reader, after, size, self._clock.now())

    @property
    def joining(self) -> bool:
        return self._joining.merging

    async def stage(self, page: Page, *, first: bool) -> bool:
        return await self._group.submit(lambda: self._joining.stage(page, first=first))

    async def merge_staged(self) -> bool:
        return await self._group.submit(self._joining.merge)

    def _park_told(self, origin: str, seq: int, parked: tuple[int, float, bytes]) -> list[Key]:
        """Keep a commit that a peer had parked; the rows to rebuild, where it is part of them here."""
        epoch, at, entry = parked
        commit, known = _decode_commit(entry), (origin, seq) in self._parked
        self._writer.execute(SQL["keep_entry"], (origin, seq, entry))
        self._writer.execute(SQL["park"], (origin, seq, epoch, at))
        self._parked[origin, seq] = None
        self._forget_outcome(commit.outcome)
        shown = not known and seq <= self._cursors.get(origin, 0)
        return [(write.table, write.key) for write in commit.writes] if shown else []

    def _adopt(self, floors: Floors, touched: Sequence[Key]) -> None:
        """All that a peer's base includes is here now: go on from its floors."""
        for origin, floor in sorted(floors.items()):
            if floor.seq > self._base.floor_of(origin):
                self._base.lift(origin, floor)
            self._cursors[origin] = max(self._cursors.get(origin, 0), floor.seq)
            self._stamps.observe(floor.stamp)
        self._unjournaled = True
        if touched:
            self._rebuild(set(touched))

    @property
    def repairs(self) -> RepairStore:
        if self._repairs is None:
            from proa.engines.sqlite.repairs import Inside, SqliteRepairs  # no unit ever needs it

            self._repairs = SqliteRepairs(
                Inside(
                    self._reader,
                    self._writer,
                    self._tables,
                    self._merges,
                    self._base,
                    self._group.submit,
                    durable=self.cursors,
                    floors=self.floors,
                    applied=self.applied,
                    version=self._version,
                    parked=lambda: self._parked,
                    torn=self._torn,
                    tear=self._tear,
                )
            )
        return self._repairs

    async def close(self) -> None:
        """Finish what was submitted and close the file."""
        self._news.ring()
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
        for origin, seq in self._cursors.items():
            if origin != self.origin and seq != self._durable_cursors.get(origin):
                self._writer.execute(SQL["put_cursor"], (origin, seq))
        if self._unjournaled:
            self._writer.execute(SQL["put_counters"], (0, self._stamps.last))
            self._unjournaled = False

    def publish(self) -> None:
        self._end_snapshot()
        self._durable_cursors = dict(self._cursors)
        if self._base.floors:
            self._durable_floors = self._base.reach
        if self.on_writes:
            fresh, self._fresh = self._fresh, []
            for writes in fresh:
                self.on_writes(writes)
        self._news.ring()
        if self._doubled or self._raised:
            self._tell()

    def _tell(self) -> None:
        """What the batch had to say of merges, now that it is durable."""
        doubled, self._doubled = self._doubled, []
        for ours, theirs in doubled:
            if self.on_doubled:
                self.on_doubled(ours, theirs)
        raised, self._raised = self._raised, []
        for record in raised:
            if self.on_merge_raised:
                self.on_merge_raised(record)

    def reset(self) -> None:
        self._end_snapshot()
        self._raised = []
        self._doubled = []
        self._fresh = []
        self._load()
