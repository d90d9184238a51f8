"""The controller: carries plans forward. Every region runs one; none of them is in charge.

It decides from its node's view (`core.failover`) and performs what was decided as one compare-and-set transaction.
Where another controller was first, the transaction is refused and nothing happened. The plan's target is given a head
start; whoever finds a due step still undone after that takes it, so a plan survives the controller that began it.
"""

from __future__ import annotations

from proa.control.events import ControlPlaneBack, ControlPlaneLost, PlanMoved, PlanRaced
from proa.control.ledger import STORE_AWAY, batch_of
from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core.failover import Change, decide, idle, look_again_s, turn_s
from proa.ports import Committed


class Controller:
    """One region's controller. `run` goes on for ever; `step` does what is due now."""

    def __init__(self, me: str, parts: Parts) -> None:
        self._me = me
        self._parts = parts
        self._wake = Wake()
        self._due: tuple[object, float] = ((), 0.0)
        self._lost = False

    async def run(self) -> None:
        """Carry plans forward whenever something changed or time alone made a step due."""
        unsubscribe = self._parts.view.subscribe(self._changed)
        try:
            while True:
                await self._wake.wait(await self._try())
        finally:
            unsubscribe()

    def _changed(self) -> None:
        if not idle(self._parts.view.situation, self._me, self._parts.clock.monotonic()):
            self._wake.ring()

    async def step(self) -> float:
        """Do what is due; how long to wait for the next look at most."""
        situation, now = self._parts.view.situation, self._parts.clock.monotonic()
        changes = decide(situation, self._me, now)
        if not changes:
            return look_again_s(situation, now)
        wait_s = self._turn_left_s(changes[0], now)
        if wait_s > 0:
            return wait_s
        await self._perform(changes[0])
        return look_again_s(self._parts.view.situation, self._parts.clock.monotonic())

    async def _try(self) -> float:
        try:
            wait_s = await self.step()
        except STORE_AWAY as error:
            if not self._lost:
                self._parts.telemetry.emit(ControlPlaneLost("controller", error.detail))
            self._lost = True
            return self._parts.rules.beat_s * (1 + self._parts.entropy.random())
        if self._lost:
            self._parts.telemetry.emit(ControlPlaneBack("controller"))
        self._lost = False
        return wait_s

    def _turn_left_s(self, change: Change, now: float) -> float:
        """How long this step still belongs to a controller before this one."""
        situation = self._parts.view.situation
        step = (change.action, situation.plan_version, situation.roles_version)
        if self._due[0] != step:
            jitter = 1 + self._parts.entropy.random() / 4
            self._due = (step, now + turn_s(situation, self._me, now) * jitter)
        return self._due[1] - now

    async def _perform(self, change: Change) -> None:
        situation = self._parts.view.situation
        batch = batch_of(situation, change, self._me, self._parts.entropy.token())
        result = await self._parts.store.commit(batch)
        match result:
            case Committed():
                assignment = change.assignment or situation.assignment
                epoch = assignment.epoch if assignment else 0
                plan = change.plan.id if change.plan else ""
                self._parts.telemetry.emit(PlanMoved(plan, change.action, epoch, change.detail))
                await self._parts.view.poll(0)
            case other:
                self._parts.telemetry.emit(PlanRaced(change.action, str(getattr(other, "key", other))))
                await self._parts.view.poll(0)
