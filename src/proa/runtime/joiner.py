"""Joining by a snapshot: a region that its peers' journals do not reach any more takes one's base instead.

Pages are staged until the whole snapshot is here; then it is merged from the disk alone, and the journal goes on from
its floors. While pages are asked for, the peer compacts nothing, so that they fit together; where they do not, because
the peer gave up waiting or started anew, they are asked for from the beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from proa.core.replicate.compaction import Floors, cut_below
from proa.core.replicate.snapshot import START, Page, Place
from proa.core.time import out_of_bound, wall_of
from proa.errors import LinkRefused, StoreFull
from proa.ports import Clock, Link, Method, RegionStore, Telemetry, Terms
from proa.runtime.events import ClockSkewSeen, SnapshotBegun, SnapshotMerged

if TYPE_CHECKING:
    from proa.runtime.passage import Passage

PAGE_BYTES = 256 * 1024
PAGE_TIMEOUT_S = 5.0
LENT_S = 10.0
"""How long after a page compaction waits for the next one to be asked for."""
RETRY_S = 0.2


class Ask(msgspec.Struct, frozen=True):
    """A request for the page of a snapshot after a place."""

    after: Place
    size: int = PAGE_BYTES


_encode = msgspec.msgpack.Encoder().encode
_decode_ask = msgspec.msgpack.Decoder(Ask).decode
_decode_page = msgspec.msgpack.Decoder(Page).decode


class Joiner:
    """Takes snapshots of peers, one at a time, and gives them. `needed`: the journals alone do not suffice."""

    def __init__(
        self,
        region: str,
        store: RegionStore,
        link: Link,
        clock: Clock,
        telemetry: Telemetry,
        *,
        clock_bound_s: float,
        passage: Passage | None = None,
    ) -> None:
        self._region = region
        self._store = store
        self._link = link
        self._clock = clock
        self._telemetry = telemetry
        self._clock_bound_s = clock_bound_s
        self._passage = passage
        self._lent_until = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.needed = store.joining
        self.on_merge: Callable[[], None] | None = None

    # Taking.

    def resume(self, terms: Callable[[], Terms]) -> None:
        """Go on with a merge that an earlier process began."""
        if self._store.joining:
            self._begin("", terms)

    async def join(self, peer: str, terms: Callable[[], Terms]) -> None:
        """Take the snapshot of `peer`, or wait for the one that is under way. Raises what the link does."""
        task = self._begin(peer, terms)
        await asyncio.wait([task])  # whoever waits may be cancelled; the snapshot goes on
        task.result()

    def _begin(self, peer: str, terms: Callable[[], Terms]) -> asyncio.Task[None]:
        self.needed = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._take(peer, terms))
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits is told
        return self._task

    async def merged(self) -> None:
        """Wait while a snapshot is being merged."""
        if self._store.joining and self._task:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """End what is under way; what is merged in part goes on at the next start."""
        if self._task:
            self._task.cancel()

    async def _take(self, peer: str, terms: Callable[[], Terms]) -> None:
        if not self._store.joining:
            self._telemetry.emit(SnapshotBegun(peer))
            await self._fetch(peer, terms)
        if self.on_merge:
            self.on_merge()
        while await self._merged_more():
            pass
        self.needed = False
        self._telemetry.emit(SnapshotMerged(self._store.floors()))

    async def _merged_more(self) -> bool:
        try:
            return await self._store.merge_staged()
        except StoreFull:
            await self._clock.sleep(RETRY_S)
            return True

    async def _fetch(self, peer: str, terms: Callable[[], Terms]) -> None:
        """Stage all pages, from the beginning where one does not fit to those before."""
        page: Page | None = None
        while page is None or not page.done:
            after = page.end if page else START
            reply = await self._link.call(peer, "snapshot", _encode(Ask(after)), timeout_s=PAGE_TIMEOUT_S)
            first, page = page is None, _decode_page(reply)
            self._check(page.floors, terms())
            if not await self._store.stage(page, first=first):
                page = None

    def _check(self, floors: Floors, terms: Terms) -> None:
        """What holds for entries holds for a snapshot: none from the future, nor past where one is held or cut."""
        if cut := cut_below(terms.cuts, floors):
            raise LinkRefused(f"it has compacted commits of {cut.origin} that epoch {cut.epoch} went on without")
        for origin, floor in sorted(floors.items()):
            if out_of_bound(floor.stamp, self._clock.now(), self._clock_bound_s):
                self._telemetry.emit(ClockSkewSeen(origin, wall_of(floor.stamp) - self._clock.now()))
                raise LinkRefused(f"{origin} is ahead of this region's clock; its snapshot waits")
            if floor.seq > terms.limits.get(origin, floor.seq):
                raise LinkRefused(f"{origin} is held while roles change hands; its snapshot waits")
            if origin == self._store.origin and floor.seq > self._store.cursors().get(origin, 0):
                raise LinkRefused(f"{origin} went on elsewhere; this disk needs a life of its own first")

    # Giving.

    def methods(self) -> dict[str, Method]:
        """The link methods that this region serves to its peers."""
        return {"snapshot": self._serve}

    async def _serve(self, caller: str, payload: Any) -> bytes:
        ask = _decode_ask(payload)
        if self._store.joining:
            raise LinkRefused(f"{self._region} merges a snapshot itself and has none for {caller}")
        self._lent_until = self._clock.monotonic() + LENT_S
        page = await self._store.snapshot(ask.after, ask.size)
        if self._passage:
            page = self._passage.page(caller, page)
        if page.done:
            self._lent_until = float("-inf")
        return _encode(page)

    def lent(self) -> bool:
        """Whether a peer is taking this region's snapshot, so that its base must stay as it is."""
        return self._clock.monotonic() < self._lent_until
