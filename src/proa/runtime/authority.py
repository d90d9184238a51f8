"""What this region may do right now: its role and epoch, while its lease lasts, on a clock that runs through suspend.

The store asks inside its transaction (`permit`), the unit again after the fsync and before the answer
(`may_write_active`): an acknowledgement never leaves under a right that has run out.
"""

from __future__ import annotations

import asyncio

from proa.bell import Bell
from proa.core.roles import Assignment
from proa.errors import ClockOutOfBound, NotActive, RegionFenced
from proa.ports import Batch, Clock, Fenced

NEVER = float("-inf")
WAITING_MAX = 2000
"""Requests that may wait for a change of roles at once; more are refused."""


class Authority:
    """The rights of one region.

    `draining`: its right was withdrawn and it flushes; `expecting`: another region's was, so this one may be promoted;
    `fenced`: it sets a suffix aside or waits for a new incarnation.
    """

    def __init__(self, region: str, clock: Clock) -> None:
        self._region = region
        self._clock = clock
        self.assignment: Assignment | None = None
        self.lease_until = NEVER
        self.draining = False
        self.expecting = False
        self.fenced = False
        self.clock_off = False
        self._changes = Bell()

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
        self.assignment = assignment
        self.lease_until = lease_until
        self._changes.ring()

    def expect(self, *, promotion: bool) -> None:
        """Whether the roles are about to change hands, so that it is worth waiting for them."""
        self.expecting = promotion
        self._changes.ring()

    async def settled(self, timeout_s: float) -> None:
        """Wait, while the roles are changing hands, until this region may write `active` rows or they have changed."""
        if len(self._changes) >= WAITING_MAX:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (self.draining or self.expecting) and not self.may_write_active():
            if not await self._changes.wait(deadline - loop.time()):
                return

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
        if any(write.mode == "active" for write in batch.writes) and not (
            batch.epoch == self.epoch and self.may_write_active()
        ):
            return Fenced(NotActive.code, f"{self._region} is {self.role} in epoch {self.epoch}")
        return None
