"""Compaction of a region's journal: now and then, slice by slice, what nobody needs any more goes.

A cut can take commits back only while their entries are there. So nothing is compacted unless this region holds its
lease, which says that no plan went on without it, and no roles are changing hands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from proa.core.replicate.compaction import Retention, copied_by, horizon, passed_by
from proa.core.replicate.stamp import Versions
from proa.errors import StoreFull
from proa.ports import Clock, RegionStore, Telemetry
from proa.runtime.authority import Authority
from proa.runtime.events import JournalCompacted
from proa.runtime.replicator import Replicator

EVERY_S_MAX = 5.0
EVERY_SHARE = 0.1
"""How often it looks: as a share of the retention."""
PAUSE_S = 0.01
"""Between two slices, so that units do not wait for one after the other."""


class Keep(msgspec.Struct, frozen=True):
    """How long entries are kept: until every peer has them, and in any case, in seconds.

    `for_ever`: a region that lacked some could get them from nobody's snapshot.
    """

    retention_s: float
    retention_max_s: float
    for_ever: bool = False

    @property
    def every_s(self) -> float:
        """The time between two looks."""
        return min(EVERY_S_MAX, self.retention_s * EVERY_SHARE)


class Compactor:
    """Compacts one region's journal for as long as it runs."""

    def __init__(
        self,
        keep: Keep,
        store: RegionStore,
        replicator: Replicator,
        authority: Authority,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._keep = keep
        self._store = store
        self._replicator = replicator
        self._authority = authority
        self._clock = clock
        self._telemetry = telemetry
        self.needed: Callable[[], Versions] = dict
        """Up to where change streams are done with each origin."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, where anything may ever go."""
        if not self._keep.for_ever:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        """Compact whenever something may go; a full disk waits for the next time."""
        while True:
            await self._clock.sleep(self._keep.every_s)
            with suppress(StoreFull):
                await self.compact()

    async def compact(self) -> int:
        """Drop all that may go now; how many entries."""
        dropped = 0
        while self._may():
            slice_ = await self._store.compact(self.retention())
            if not slice_:
                break
            dropped += slice_
            self._telemetry.emit(JournalCompacted(slice_))
            await self._clock.sleep(PAUSE_S)
        return dropped

    def retention(self) -> Retention:
        """What may be dropped at this moment."""
        now, latest = self._clock.now(), self._store.latest_stamp()
        own, peers = self._store.cursors(), {name: peer.passed for name, peer in self._replicator.peers.items()}
        return Retention(
            old=horizon(self._keep.retention_s, now, latest),
            oldest=horizon(self._keep.retention_max_s, now, latest),
            passed=passed_by(own, peers.values()),
            copied=copied_by(own, peers),
            held=tuple(self._replicator.terms.limits),
            needed=self._needed(),
        )

    def _needed(self) -> Versions:
        """What streams have not read, and what peers ask for again since their copies lack something."""
        needed = self.needed()
        gaps = [gap for peer in self._replicator.peers.values() for gap in peer.gaps]
        for gap in gaps:
            needed[gap.origin] = min(gap.seq - 1, needed.get(gap.origin, gap.seq))
        return needed

    def _may(self) -> bool:
        return self._authority.undisputed() and not self._replicator.joiner.lent()
