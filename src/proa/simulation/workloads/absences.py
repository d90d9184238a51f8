"""Absences: a region is lost for so long that another one acts for its rows, and comes back while that one hears late.

What a seed's faults bring about by themselves seldom comes at the moment at which rights change hands. So, once they
are over, the home of a counter goes and returns while clients go on. The stand-in must serve the counter in its stead,
and must have stopped before the home goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from proa.core.home import Place, acting
from proa.declare.tables import Mode
from proa.errors import NodeFailed
from proa.simulation.client import Call, Client
from proa.simulation.machines import WITNESS
from proa.simulation.workloads.counter import KEYS, Counters
from proa.simulation.workloads.workload import insist, request

if TYPE_CHECKING:
    from proa.simulation.world import World

EVERY_S = 0.25
"""How often a client acts meanwhile."""
LATE_S = 0.3
"""So much later do messages between the stand-in and the global store arrive, at most."""
AFTER = 6
"""How often they act when the roles have changed."""
CHANGED_WITHIN_S = 40.0


class Absences(Counters):
    """Increments, also while the home of a counter is away and when it returns."""

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._clients: list[Client] = []

    async def setup(self, client: Client) -> None:
        self._clients = [client]

    async def attend(self, world: World) -> None:
        await world.settle()
        rng = world.stream("absences")
        key = rng.choice(KEYS)
        homes = tuple(sorted(region for region, role in world.roles.items() if role == "active"))
        away = acting(Place(key), homes)
        stand_in = acting(Place(key), tuple(region for region in homes if region != away))
        if away is None or stand_in is None:
            return  # people have taken the others out
        world.lose(away)
        await self._until(world, rng, lambda: world.roles[away] == "down")
        await self._insist(key, stand_in)
        world.slow(stand_in, WITNESS, rng.uniform(0, LATE_S))
        world.heal(away)
        await self._until(world, rng, lambda: world.roles[away] == "active")
        world.heal()

    async def _insist(self, key: str, region: str) -> None:
        client = self._clients[0]
        served = request("POST", f"/{self.mode}/counters/{key}", {"value": 1}, client.new_key())
        await insist(client, Call(self.name, "add", key, 1, served, region))

    async def _until(self, world: World, rng: Random, changed: Callable[[], bool]) -> None:
        """Let clients act until the roles have changed, and a little longer: not everybody has heard of it then."""
        acts: list[asyncio.Task[None]] = []
        deadline, after = world.now + CHANGED_WITHIN_S, 0
        while after < AFTER and world.now < deadline:
            acts.append(asyncio.ensure_future(self.act(rng.choice(self._clients), rng)))
            await asyncio.sleep(EVERY_S)
            after += changed()
        await asyncio.gather(*acts)
        if not after:
            raise NodeFailed(f"the roles have not changed in {CHANGED_WITHIN_S:g} s: {world.roles}")
