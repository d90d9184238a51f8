"""Rejoining: how a region comes back to the others after they went on without it, or after its disk went back in time.

What it committed beyond a cut is set aside. Where its sequence must not be continued, because the others know another
end of it, or more of it than the disk has, it begins a new life: the same rows under a new incarnation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proa.core.roles import Assignment
from proa.errors import CutBelowFloor, StoreCorrupt, StoreFull
from proa.ports import Identity
from proa.runtime.composition.foundation import Foundation
from proa.runtime.events import CommitsParked, SuffixCompacted
from proa.runtime.readiness import Readiness
from proa.runtime.replicator import Replicator
from proa.runtime.session import Sessions

Register = Callable[[], Awaitable[Identity]]
"""Asks the global store for the identity of this disk: a new incarnation."""
SET_ASIDE_RETRY_S = 0.1


class Rejoining:
    """One region's way back. `register` is there where it has a control plane."""

    def __init__(self, base: Foundation, replicator: Replicator, readiness: Readiness, sessions: Sessions) -> None:
        self._store = base.store
        self._authority = base.authority
        self._clock = base.ports.clock
        self._telemetry = base.ports.hub
        self._replicator = replicator
        self._readiness = readiness
        self._sessions = sessions
        self.register: Register | None = None
        self._new_life: asyncio.Task[None] | None = None
        replicator.on_fork = self._begin_new_life

    # After a plan went on without it.

    async def rejoin(self, assignment: Assignment) -> None:
        """See `ports.RegionControl`."""
        self._authority.fenced = True
        try:
            self.come_to_terms(assignment)
            await self.set_aside(assignment)
            if self._outlived(assignment) and self.register and self._store.identity:
                await self._store.assume(self._store.identity.followed(await self.register()))
            await self._readiness.caught_up()
            self._authority.assume(assignment, self._authority.lease_until)
        finally:
            self._authority.fenced = False

    def come_to_terms(self, assignment: Assignment | None) -> None:
        """From now on accept of others what this assignment lets stand."""
        terms = self._replicator.terms
        terms.cuts, terms.epoch = (assignment.cuts, assignment.epoch) if assignment else ((), 0)

    async def set_aside(self, assignment: Assignment) -> None:
        """Park what came too late for the cuts, once there is room for it and every entry can be read."""
        while True:
            try:
                parked = await self._store.set_aside(assignment.cuts)
                break
            except (StoreFull, StoreCorrupt):
                await self._clock.sleep(SET_ASIDE_RETRY_S)
            except CutBelowFloor as error:
                self._readiness.spoilt = error.detail
                self._telemetry.emit(SuffixCompacted(error.detail))
                return
        self._sessions.epoch = max(self._sessions.epoch, assignment.epoch)
        if parked:
            self._telemetry.emit(CommitsParked(parked, assignment.epoch))

    def _outlived(self, assignment: Assignment) -> bool:
        """Whether this origin went on past a cut, so that its sequence must not be continued."""
        head, own = self._store.head, self._store.origin
        return any(cut.origin == own and head > cut.seq for cut in assignment.cuts)

    # After its disk went back.

    async def rolled_back(self) -> bool:
        """Whether a peer has more of this origin than this disk: it was put back to an earlier state."""
        origin = self._store.origin
        if not origin:
            return False
        ahead, forgotten = await asyncio.gather(self._replicator.known_of(origin), self._replicator.forgotten(origin))
        return forgotten or ahead > self._store.head

    def _begin_new_life(self) -> None:
        """The disk turned out to be an earlier state of itself: its sequence must not be continued."""
        if self.register and (self._new_life is None or self._new_life.done()):
            self._authority.fenced = True
            self._new_life = asyncio.get_running_loop().create_task(self._renew(self.register))

    async def _renew(self, register: Register) -> None:
        try:
            await self._store.assume(await register())
        finally:
            self._authority.fenced = False
