"""The people of a scenario: they move roles now and then, approve what waits for them, and put roles back.

They take their time, drawn from the seed, and sometimes look away. In some worlds they are busy, so that roles change
hands again and again. What they are refused they leave.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from proa.core.plan import Plan
from proa.errors import ProaError
from proa.simulation.world import World

LOOKS_EVERY_S = 1.0
APPROVES = 0.6
ASKS_BACK = 0.15
MOVES = 0.03
ASKS_BACK_BUSY, MOVES_BUSY = 0.5, 0.25
BUSY = 0.3
"""So many worlds have busy people."""
REBUILDS = 0.05
ACCEPTED_LOSS = 1_000
"""They would rather go on than wait for a lost disk; what that costs is listed."""


class People:
    """A requester and an approver, who look at the plans of a world."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng
        busy = rng.random() < BUSY
        self._asks_back, self._moves = (ASKS_BACK_BUSY, MOVES_BUSY) if busy else (ASKS_BACK, MOVES)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S * (0.5 + self._rng.random()))
            with suppress(ProaError):
                await self._look()
            if self._rng.random() < REBUILDS:
                self._world.rebuild()

    async def _look(self) -> None:
        world, plan = self._world, self._world.plan
        if plan and plan.open:
            await self._decide(plan)
        elif self._displaced():
            if self._rng.random() < self._asks_back:
                await world.failback()
        elif self._rng.random() < self._moves:
            await world.request(self._rng.choice(self._active()))

    def _displaced(self) -> bool:
        """Whether a region does not have the role that the declaration gives it."""
        app, active = self._world.app, self._active()
        return app.active not in active or (app.topology == "active-active" and len(active) < len(app.regions))

    def _active(self) -> list[str]:
        return [region for region, role in self._world.roles.items() if role == "active"]

    async def _decide(self, plan: Plan) -> None:
        if plan.step == "gate" and self._rng.random() < APPROVES:
            await self._world.approve(accept_lost=ACCEPTED_LOSS)
