"""Readiness: whether a region serves. One that was away, or lost its disk, would answer from the past.

So it comes up behind its start: it contacts its peers, and serves once it has caught up with whoever can be reached.
When a snapshot has to be merged into its rows it steps back and comes up anew.
"""

from __future__ import annotations

import asyncio

from proa.core.replicate.stamp import Versions, join
from proa.ports import RegionStore
from proa.runtime.authority import Authority
from proa.runtime.replicator import Replicator

CATCH_UP_S = 30.0
CONTACT_S = 2.0


class Readiness:
    """The readiness of one region. `spoilt` says why it must not serve although it caught up; empty where it may."""

    def __init__(self, store: RegionStore, replicator: Replicator, authority: Authority) -> None:
        self._store = store
        self._replicator = replicator
        self._authority = authority
        self.serving = False
        self.spoilt = ""
        self._coming_up: asyncio.Task[None] | None = None
        replicator.joiner.on_merge = self._step_back

    def admits(self) -> bool:
        """Whether requests of clients are let in."""
        return self.serving and not self.spoilt

    def ready(self) -> bool:
        """Whether others should send requests here."""
        return self.admits() and bool(self._store.origin) and not self._authority.fenced

    # Coming up.

    def start(self) -> asyncio.Task[None]:
        """Begin to come up; the task ends when the region serves."""
        self._coming_up = asyncio.get_running_loop().create_task(self._come_up())
        return self._coming_up

    def stop(self) -> None:
        """Serve no more."""
        self.serving = False
        if self._coming_up:
            self._coming_up.cancel()

    async def _come_up(self) -> None:
        await self.caught_up()
        self.serving = True

    async def caught_up(self) -> None:
        """Catch up with whoever can be reached; however long it takes, where that needs a snapshot."""
        await self._replicator.contact(CONTACT_S)
        joiner, caught_up = self._replicator.joiner, False
        while not caught_up:
            await joiner.merged()
            caught_up = await self._replicator.catch_up(self.known_elsewhere(), CATCH_UP_S) or not joiner.needed
            caught_up = caught_up and not self._store.joining

    def _step_back(self) -> None:
        """A snapshot is being merged into the rows: nobody is served until that is done and the rest caught up."""
        self.serving = False
        if self._coming_up and self._coming_up.done():
            self.start()

    def known_elsewhere(self) -> Versions:
        """The furthest that any reachable peer said it is, of every origin but this one."""
        furthest: Versions = {}
        for peer in self._replicator.peers.values():
            if peer.reachable:
                furthest = join(furthest, peer.cursors)
        return {origin: seq for origin, seq in furthest.items() if origin != self._store.origin}
