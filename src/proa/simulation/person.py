"""The people of a scenario: they approve what waits for them, and give the preferred region its role back.

They take their time, drawn from the seed, and sometimes look away. What they are refused they leave.
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
ASKS_BACK = 0.1
ACCEPTED_LOSS = 1_000
"""They would rather go on than wait for a lost disk; what that costs is listed."""


class People:
    """A requester and an approver, who look at the plans of a world."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S * (0.5 + self._rng.random()))
            with suppress(ProaError):
                await self._look()

    async def _look(self) -> None:
        world, plan = self._world, self._world.plan
        if plan and plan.open:
            await self._decide(plan)
        elif self._displaced() and self._rng.random() < ASKS_BACK:
            await world.failback()

    def _displaced(self) -> bool:
        """Whether the preferred region is not the active one."""
        app = self._world.app
        return app.topology == "active-passive" and self._world.roles.get(app.active) != "active"

    async def _decide(self, plan: Plan) -> None:
        if plan.step == "gate" and self._rng.random() < APPROVES:
            await self._world.approve(accept_lost=ACCEPTED_LOSS)
