"""The inside of a region's store: its connections, and what it knows of its file without looking.

Its parts share it: units' commits (`units`), other regions' (`applying`, `merging`), snapshots, forgetting and repair.
What is here runs ahead of the file with the writer's batch: `publish` makes it what readers may know, once the batch is
durable, and `load` goes back to what is, where a batch is lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from proa.core.dedupe import Outcome, RecentKeys
from proa.core.replicate.journal import Commit, Dot, Write, read_entry
from proa.core.replicate.records import ConflictRecord
from proa.core.replicate.resolve import Merge
from proa.core.replicate.stamp import Versions, region_of
from proa.core.time import HybridClock
from proa.engines.sqlite.base import Base
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.residency import prepare_keys
from proa.engines.sqlite.rows import encode
from proa.engines.sqlite.tables import Tables
from proa.errors import StoreCorrupt
from proa.ports import Clock, Identity

FORGOTTEN = "forgotten"
_decode_identity = msgspec.msgpack.Decoder(Identity).decode
_decode_versions = msgspec.msgpack.Decoder(Versions).decode


@dataclass
class Listeners:
    """Who is told of keys that two units finished, of merges that raised and of commits' writes, once they are durable.

    A damaged entry of the journal is told of as it is found.
    """

    doubled: Callable[[Outcome, Outcome], None] | None = None
    merge_raised: Callable[[ConflictRecord], None] | None = None
    writes: Callable[[Sequence[Write]], None] | None = None
    torn: Callable[[Dot], None] | None = None


class Inside:
    """What the parts of one store share."""

    def __init__(
        self,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        region: str,
        clock: Clock,
        merges: Mapping[str, Merge],
        tables: Tables,
        declared: Sequence[str],
    ) -> None:
        self.writer = writer
        self.reader = reader
        self.region = region
        self.clock = clock
        self.merges = dict(merges)
        self.tables = tables
        self.address = prepare_keys(writer, declared)
        self.base = Base(writer, reader, self.merges, self.readable)
        self.recent = RecentKeys()
        self.listeners = Listeners()
        self.lives = 0
        """How many origins have begun since this process opened the file: nobody who waits has named a new one."""
        self.torn: dict[Dot, None] = {}
        self.load()

    def load(self) -> None:
        """Take everything from what is durable."""
        self.base.load()
        self.cursors: Versions = dict(self.reader.execute(SQL["cursors"]))
        self.stamps = HybridClock(self._last_stamp())
        self.unjournaled = False
        self.parked: dict[Dot, None] = {(row[0], row[1]): None for row in self.reader.execute(SQL["parked"])}
        stored = get_meta(self.reader, "identity")
        self.identity = _decode_identity(stored) if stored else None
        self.origin = f"{self.region}/{self.identity.incarnation}" if self.identity else ""
        self.forgotten = _decode_versions(get_meta(self.reader, FORGOTTEN, encode({})))
        self.durable_cursors = dict(self.cursors)
        self.durable_floors = self.base.reach

    # The batch (`group.BatchState`).

    def seal(self) -> None:
        """Write the counters that belong to the batch."""
        for origin, seq in self.cursors.items():
            if origin != self.origin and seq != self.durable_cursors.get(origin):
                self.writer.execute(SQL["put_cursor"], (origin, seq))
        if self.unjournaled:
            self.writer.execute(SQL["put_counters"], (0, self.stamps.last))
            self.unjournaled = False

    def publish(self) -> None:
        """The batch is durable."""
        self.durable_cursors = dict(self.cursors)
        if self.base.floors:
            self.durable_floors = self.base.reach

    # Stamps.

    def version(self) -> int:
        """A version for rows that another region's commit changes here: a stamp that no journal entry tells of."""
        self.unjournaled = True
        return self.stamps.tick(self.clock.now())

    def _last_stamp(self) -> int:
        """The largest stamp ever given or observed: in the newest entry of an origin, or kept on its own."""
        _, kept = self.reader.execute(SQL["counters"]).fetchone()
        dropped = (floor.stamp for floor in self.base.floors.values())
        return max([kept, *dropped, *map(self._newest_stamp, self.cursors)])

    def _newest_stamp(self, origin: str) -> int:
        """The stamp of an origin's newest entry; 0 where that is damaged, and its stamp is kept beside the journal."""
        found = self.reader.execute(SQL["last_entry"], (origin,)).fetchone()
        commit = self.readable(origin, *found) if found else None
        if found is None or commit:
            return commit.stamp if commit else 0
        # Whatever was applied here left the counter in its transaction (see `seal`). A commit made here did not.
        return self._stamp_of_rows(origin, found[0]) if region_of(origin) == self.region else 0

    def _stamp_of_rows(self, origin: str, seq: int) -> int:
        """The stamp of a commit made here, of which the entry is damaged: all rows that it wrote have it."""
        (stamp,) = self.reader.execute(SQL["stamp_of_rows"], (origin, seq)).fetchone()
        if stamp is None:
            named = f"the journal's entry {origin}:{seq}, the newest made here"
            why = "no row tells its stamp: a new commit might be taken for an older one"
            raise StoreCorrupt(f"{named}, does not decode, and {why}")
        return stamp

    # Identity.

    def assume(self, identity: Identity) -> None:
        """Commits from now on belong to the origin of this identity."""
        origin = f"{self.region}/{identity.incarnation}"
        self.writer.execute(SQL["put_meta"], ("identity", encode(identity)))
        if origin != self.origin:
            self._begin_life(origin)
        self.identity = identity

    def _begin_life(self, origin: str) -> None:
        if self.origin:
            self.writer.execute(SQL["put_cursor"], (self.origin, self.cursors[self.origin]))
        self.writer.execute(SQL["put_origin"], (origin,))
        self.origin = origin
        self.cursors[origin] = 0
        self.lives += 1

    # Entries of the journal.

    def entry(self, origin: str, seq: int, entry: bytes) -> Commit:
        """A journal entry as a commit; a damaged one is remembered: without it rows would be wrong."""
        try:
            return read_entry(entry, (origin, seq))
        except StoreCorrupt:
            self.tear((origin, seq))
            raise

    def readable(self, origin: str, seq: int, entry: bytes) -> Commit | None:
        """A journal entry as a commit; None for a damaged one, which peers have another copy of."""
        with suppress(StoreCorrupt):
            return self.entry(origin, seq, entry)

    def tear(self, dot: Dot) -> None:
        """Remember that an entry is damaged, until another copy of it is in its place."""
        if dot not in self.torn:
            self.torn[dot] = None
            if self.listeners.torn:
                self.listeners.torn(dot)

    def park(self, dot: Dot, epoch: int, at: float) -> None:
        """Set a commit aside, which came too late for an epoch."""
        self.writer.execute(SQL["park"], (*dot, epoch, at))
        self.parked[dot] = None
