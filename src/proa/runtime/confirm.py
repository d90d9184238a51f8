"""Confirmations: an answer of a unit that acknowledges by peer waits here until a second region has what it rests on.

A pull names the durable cursors of its caller, so the next pull after a commit was applied is its confirmation, and so
is the reply to a commit that no pull was there to take (`push`). Which callers count is decided by `core.insync`;
`control.insync` keeps the set in the global store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proa.core import insync
from proa.core.insync import Group, InSync, Wanted
from proa.core.replicate.stamp import Versions, region_of
from proa.errors import NoPeer, Unconfirmed
from proa.ports import Clock, Committed, RegionStore
from proa.runtime.authority import Authority
from proa.runtime.replicator import Pull

Life = Callable[[], tuple[str, str]]
"""The present origin of the disk, and the mark of the process that acts for it (both empty before it has any)."""


class Confirmations:
    """One region's waiting answers, and what it knows of its in-sync set.

    `settled` tells the epoch up to which this region has set aside what its cuts exclude.
    """

    def __init__(
        self,
        region: str,
        store: RegionStore,
        life: Life,
        authority: Authority,
        clock: Clock,
        settled: Callable[[], int],
    ) -> None:
        self._region = region
        self._store = store
        self._life = life
        self._authority = authority
        self._clock = clock
        self._group = Group()
        self._waiting: dict[asyncio.Future[None], Wanted] = {}
        self._settled = settled
        self.on_wait: Callable[[], None] = lambda: None
        """Called whenever an answer begins to wait."""

    @property
    def group(self) -> Group:
        """What is known of the set in this life of the disk."""
        origin, boot = self._life()
        if (origin, boot) != (self._group.origin, self._group.boot):
            head = self._store.cursors().get(origin, 0)
            self._group = insync.begun(self._group, origin, boot, head, self._clock.monotonic())
        return self._group

    @property
    def boot(self) -> str:
        """What a peer must have heard of this process before its reports count: an older one may be under way still."""
        return self._life()[1]

    def awaited(self) -> bool:
        """Whether anybody waits to be confirmed, so that peers should say at once what they have."""
        return bool(self._waiting)

    # What is heard.

    def heard(self, pull: Pull) -> None:
        """A peer said what it has."""
        if pull.to and pull.to == self.boot and pull.own:
            now = self._clock.monotonic()
            whole = self._whole(pull)
            self.take(insync.heard(self.group, pull.own, whole, pull.epoch, self.own(), now, pull.whole_since))

    def _whole(self, pull: Pull) -> Versions:
        """How far a peer has everything it may hold of this region's commits."""
        whole = dict(pull.after)
        for gap in pull.gaps:
            if region_of(gap.origin) == self._region:
                whole[gap.origin] = min(whole.get(gap.origin, 0), gap.seq - 1)
        return whole

    def learn(self, row: InSync, version: int) -> None:
        """The store's row of this region's set, at a version."""
        self.take(insync.learned(self.group, row, version))

    def take(self, group: Group) -> None:
        """Go on with this state; whoever it confirms is answered."""
        self._group = group
        for future, wanted in list(self._waiting.items()):
            if future.done():
                continue
            if cut := insync.cut_off(wanted, self._cuts()):
                future.set_exception(Unconfirmed(f"epoch {cut.epoch} began without this commit"))
            elif self._grant(wanted):
                future.set_result(None)

    def own(self) -> Versions:
        """How far each life of this region is durable here."""
        return {origin: seq for origin, seq in self._store.cursors().items() if region_of(origin) == self._region}

    # Who waits.

    def reachable(self, holders: tuple[str, ...] = ()) -> bool:
        """Whether anybody (of the regions that may hold it, unless all do) could confirm a unit."""
        return insync.reachable(self.group, self._clock.monotonic(), holders)

    def require(self, holders: tuple[str, ...] = ()) -> None:
        """Raise NoPeer where nobody could confirm a unit."""
        if not self.reachable(holders):
            names = ", ".join(self._group.counted) or "nobody"
            among = f", and only {', '.join(holders)} may hold the rows" if holders else ""
            raise NoPeer(f"{self._region} is confirmed by {names}, who was not heard of lately{among}")

    async def committed(self, commit: Committed, epoch: int, left_s: float, holders: tuple[str, ...] = ()) -> float:
        """Wait until a second region has this commit durable; how long that took."""
        return await self._confirmed(Wanted({commit.origin: commit.seq}, epoch, holders), left_s)

    async def standing(self, left_s: float, holders: tuple[str, ...] = ()) -> float:
        """Wait until a second region has all that is durable here now: whatever the answer was read from."""
        return await self._confirmed(Wanted(self._store.cursors(), self._settled(), holders), left_s)

    async def _confirmed(self, wanted: Wanted, left_s: float) -> float:
        began = self._clock.monotonic()
        if insync.cut_off(wanted, self._cuts()) or not self._grant(wanted):
            await self._wait(wanted, left_s)
        return self._clock.monotonic() - began

    async def _wait(self, wanted: Wanted, left_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = wanted
        self.take(self.group)
        if not future.done():
            self.on_wait()
        try:
            async with asyncio.timeout(left_s):
                await future
        except TimeoutError:
            raise Unconfirmed(f"none of {', '.join(self._group.counted) or 'no members'} had it in time") from None
        finally:
            del self._waiting[future]

    def _grant(self, wanted: Wanted) -> bool:
        if not insync.confirms(self.group, wanted, self._authority.epoch):
            return False
        self._group = insync.acknowledged(self._group, wanted)
        return True

    def _cuts(self) -> tuple[insync.Cut, ...]:
        assignment = self._authority.assignment
        return assignment.cuts if assignment else ()
