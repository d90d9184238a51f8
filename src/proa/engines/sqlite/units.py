"""A unit's commit in its region's store: the deciding line, and what it leaves behind.

Every commit gets the next sequence of this origin and a stamp; rows, journal entry and outcome go into one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proa.core.replicate.journal import Commit, Row, Write
from proa.core.replicate.resolve import Committing, Stamping
from proa.core.replicate.stamp import Versions
from proa.engines.sqlite import duplicates
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.inside import Inside
from proa.engines.sqlite.rows import Sweep, encode, obstacle, put_row, versions_of
from proa.engines.sqlite.snapshot import Joining
from proa.errors import RegionJoining
from proa.ports import Batch, Committed, Fenced, Permit, Result


class Units:
    """The commits of this region's own units."""

    def __init__(self, inside: Inside, joining: Joining, permit: Permit | None) -> None:
        self._in = inside
        self._joining = joining
        self._permit = permit
        self._sweep = Sweep()
        self._fresh: list[Sequence[Write]] = []
        # Policies of fields that merge by themselves have something to say at the commit; few tables have one.
        self._stamping: dict[str, Stamping] = {
            table: policy.committed for table, policy in inside.merges.items() if isinstance(policy, Committing)
        }

    def commit(self, batch: Batch) -> Result:
        """Commit a unit's batch, or say what stands against it."""
        if self._joining.merging:
            return Fenced(RegionJoining.code, f"{self._in.region} merges the snapshot of a peer")
        if self._permit and (refused := self._permit(batch)):
            return refused
        now, address = self._in.clock.now(), self._in.address
        if batch.outcome:
            self._in.recent.add(batch.outcome.scope, address(batch.outcome.address))
        return obstacle(self._in.writer, batch, now, address) or self._append(batch, now)

    def _append(self, batch: Batch, now: float) -> Committed:
        cursors, origin = self._in.cursors, self._in.origin
        seq, stamp = cursors[origin] + 1, self._in.stamps.tick(now)
        cursors[origin] = seq
        stamped = [self._committed(write, stamp, seq) for write in batch.writes] if self._stamping else batch.writes
        writes = [self._put(write, stamp, seq) for write in stamped]
        deps = {name: cursor for name, cursor in cursors.items() if name != origin}
        commit = Commit(origin, seq, stamp, batch.epoch, deps, writes, batch.dots, batch.outcome, batch.id, batch.trace)
        self._in.writer.execute(SQL["put_entry"], (origin, seq, encode(commit)))
        if self._in.listeners.writes:
            self._fresh.append(writes)
        if seq % Sweep.EVERY == 0:
            self._sweep.step(self._in.writer, now)
            duplicates.expire(self._in.writer, now)
        return Committed(seq, now, origin)

    def _committed(self, write: Write, stamp: int, seq: int) -> Write:
        """The write with the dot of this commit in fields that merge by themselves."""
        stamping = self._stamping.get(write.table)
        if stamping is None or write.value is None:
            return write
        return msgspec.structs.replace(write, value=stamping(write.value, self._in.origin, seq, stamp))

    def _put(self, write: Write, stamp: int, seq: int) -> Write:
        """Write one row over what is there; the write as the journal tells it, with what it had seen."""
        table, key, value, origin = write.table, write.key, write.value, self._in.origin
        if table in self._in.tables.indexed:
            self._in.tables.move(table, key, value)
        columns = (table, key, value, stamp, origin, seq, stamp, write.expires_at)
        if self._in.writer.execute(SQL["put_next_row"], columns).rowcount:
            return write
        versions = self._seen(write) | {origin: seq}
        put_row(self._in.writer, Row(table, key, value, stamp, origin, seq, versions, stamp, write.expires_at))
        return msgspec.structs.replace(write, versions=versions)

    def _seen(self, write: Write) -> Versions:
        _, origin, seq, versions = self._in.writer.execute(SQL["row_version"], (write.table, write.key)).fetchone()
        return versions_of(origin, seq, versions)

    def tell(self) -> None:
        """The batch is durable: tell of its writes."""
        if self._fresh and (listener := self._in.listeners.writes):
            fresh, self._fresh = self._fresh, []
            for writes in fresh:
                listener(writes)

    def lose(self) -> None:
        """The batch is lost."""
        self._fresh = []
