"""What this region may do right now: its role and epoch, while its lease lasts, on a clock that runs through suspend.

The store asks inside its transaction (`permit`), the unit again after the fsync and before the answer
(`may_acknowledge`): an acknowledgement never leaves under a right that has run out. Whose a row of mode `home` is
decides `core.home`; here it meets the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from proa.bell import Bell
from proa.core.home import Place, Tenure, following
from proa.core.roles import Assignment
from proa.errors import ClockOutOfBound, NotActive, NotHome, RegionFenced
from proa.ports import Batch, Clock, Fenced

NEVER = float("-inf")
WAITING_MAX = 2000
"""Requests that may wait for a change of roles at once; more are refused."""


class Authority:
    """The rights of one region.

    `draining`: its right was withdrawn and it flushes; `expecting`: another region's was, so this one may be promoted;
    `fenced`: it sets a suffix aside or waits for a new incarnation. `newborn`: its disk is the first of its life.
    `changes` counts what happened to roles and rights, for those who wait for the next.
    """

    def __init__(self, region: str, clock: Clock) -> None:
        self._region = region
        self._clock = clock
        self.assignment: Assignment | None = None
        self.tenure: Tenure | None = None
        self.newborn = False
        self.lease_until = NEVER
        self.draining = False
        self.expecting = False
        self.clock_off = False
        self.changes = 0
        self._fenced = False
        self._bell = Bell()

    @property
    def fenced(self) -> bool:
        """Whether this region may commit nothing for now."""
        return self._fenced

    @fenced.setter
    def fenced(self, fenced: bool) -> None:
        self._fenced = fenced
        self._tell()

    @property
    def epoch(self) -> int:
        """The epoch that this region acts under; 0 before it knows one."""
        return self.assignment.epoch if self.assignment else 0

    @property
    def role(self) -> str:
        """This region's role as it knows it."""
        if self.fenced:
            return "fenced"
        return self.assignment.roles.get(self._region, "down") if self.assignment else "standby"

    def assume(self, assignment: Assignment, lease_until: float) -> None:
        """Act on `assignment` until `lease_until` (in the past: no longer); an older one than known changes nothing."""
        known = self.assignment
        if known and (assignment.epoch, assignment.revision) < (known.epoch, known.revision):
            return
        if known is None or assignment.epoch > known.epoch:
            self.draining = False
            self.tenure = following(self.tenure, assignment, newborn=self.newborn)
        self.assignment = assignment
        self.lease_until = lease_until
        self._tell()

    def expect(self, *, promotion: bool) -> None:
        """Whether the roles are about to change hands, so that it is worth waiting for them."""
        self.expecting = promotion
        self._tell()

    async def settled(self, timeout_s: float) -> None:
        """Wait, while the roles are changing hands, until this region may write `active` rows or they have changed."""
        if self.crowded:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (self.draining or self.expecting) and not self.may_write_active():
            if not await self._bell.wait(deadline - loop.time()):
                return

    @property
    def crowded(self) -> bool:
        """Whether so many wait for a change that no further request may."""
        return len(self._bell) >= WAITING_MAX

    async def changed(self, since: int, timeout_s: float) -> None:
        """Wait until there were more `changes` than `since`, at most so long: what comes while nobody waits counts."""
        if self.changes == since and timeout_s > 0:
            await self._bell.wait(timeout_s)

    def _tell(self) -> None:
        self.changes += 1
        self._bell.ring()

    def took_over(self, epoch: int) -> None:
        """Everything that older rights allowed others to write is applied here: act on all that is one's own."""
        if self.tenure and self.tenure.epoch == epoch:
            self.tenure = self.tenure.taken_over()
            self._tell()

    def lease_left_s(self) -> float:
        """Seconds left of the lease; 0 where it has run out."""
        return max(0.0, self.lease_until - self._clock.monotonic())

    def may_write_active(self) -> bool:
        """Whether an `active` row may be committed, or its commit acknowledged, at this moment."""
        return (
            not self.draining
            and not self.fenced
            and self.assignment is not None
            and self.assignment.may_write(self._region)
            and self._clock.monotonic() < self.lease_until
        )

    def undisputed(self) -> bool:
        """Whether no plan went on without this region, nor goes on now: its lease lasts, and its clock is right."""
        changing = self.draining or self.expecting or self.fenced
        return not changing and not self.clock_off and self.lease_left_s() > 0

    def home_of(self, place: Place) -> str | None:
        """The region that acts as home of `place`, as far as this one knows; None where there is none."""
        return self.tenure.home_of(place) if self.tenure else None

    def may_write_home(self, place: Place) -> bool:
        """Whether this region acts as home of `place` at this moment, with all that older homes left behind."""
        return self.tenure is not None and self.tenure.holds(self._region, place) and self.may_write_active()

    def may_acknowledge(self, epoch: int, places: Collection[Place]) -> bool:
        """Whether a durable commit of `epoch` may be acknowledged that wrote `active` rows, or `home` rows of `places`.

        An epoch's commits of `home` rows are acknowledged in that epoch or never, so that no two epochs overlap.
        """
        if not places:
            return self.may_write_active()
        return epoch == self.epoch and all(map(self.may_write_home, places))

    def refusal(self) -> Fenced | None:
        """Why this region may commit nothing at all, if so."""
        if self.fenced:
            return Fenced(RegionFenced.code, f"{self._region} is setting its late commits aside")
        if self.clock_off:
            return Fenced(ClockOutOfBound.code, f"the clock of {self._region} is out of bound")
        return None

    def permit(self, batch: Batch) -> Fenced | None:
        """`ports.Permit`: asked by the region's store just before it writes."""
        if refused := self.refusal():
            return refused
        modes = {write.mode for write in batch.writes}
        if "active" in modes and not (batch.epoch == self.epoch and self.may_write_active()):
            return Fenced(NotActive.code, f"{self._region} is {self.role} in epoch {self.epoch}")
        claimed = bool(batch.places) or "home" not in modes
        if not claimed or (batch.places and not self.may_acknowledge(batch.epoch, batch.places)):
            return Fenced(NotHome.code, f"{self._region} is {self.role} in epoch {self.epoch}, not {batch.epoch}")
        return None
