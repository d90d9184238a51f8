"""The operators of a world: people at a machine of their own, to which nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from proa.control.desk import Asked, Desk, Word
from proa.control.operators import Operator
from proa.control.releases import Releases, Wish
from proa.core.plan import Plan
from proa.core.situation import Situation
from proa.nodes.site import shared_parts
from proa.observe.hub import Hub
from proa.runtime.global_client import GlobalClient
from proa.simulation.machines import OPERATOR, WITNESS, Machines
from proa.simulation.network import SimLink
from proa.simulation.process import Life, Trap

T = TypeVar("T")
WHY = "asked in a simulation"


class Operators:
    """What people may ask of the control plane: they sit at a desk of their own, over the network like everybody."""

    def __init__(self, machines: Machines) -> None:
        host = machines.network.hosts[OPERATOR]
        self._life = host.life = Life(OPERATOR, machines.loop, host.clock, machines.stream(OPERATOR), _nothing)
        self._life.methods = {}
        self._life.link = SimLink(machines.network, self._life)
        store = GlobalClient(self._life.link, self._life, WITNESS)
        self._parts = shared_parts(store, machines.rules, _Ends(self._life))
        self._desk = Desk(OPERATOR, self._parts)

    @property
    def situation(self) -> Situation:
        """What they knew when they last asked."""
        return self._parts.view.situation

    def approve(self, who: str, plan: str, accept_lost: int | None) -> asyncio.Task[Plan]:
        approver = Operator(who, "approver", "", "")
        return self._do(self._desk.approve(approver, plan, Word(accept_lost=accept_lost)))

    def request(self, who: str, lost: str, target: str, accept_lost: int | None) -> asyncio.Task[Plan]:
        return self._do(self._desk.request(Operator(who, "operator", "", ""), Asked(lost, target, WHY, accept_lost)))

    def failback(self, who: str, target: str) -> asyncio.Task[Plan]:
        return self._do(self._desk.failback(Operator(who, "operator", "", ""), Asked("", target, WHY)))

    def release(self, who: str, approver: str, region: str) -> asyncio.Task[None]:
        return self._do(self._released(who, approver, region))

    async def _released(self, who: str, approver: str, region: str) -> None:
        releases = Releases(self._parts)
        await releases.request(who, region, Wish(WHY, accept_loss=True))
        await releases.approve(approver, region)

    def log(self) -> asyncio.Task[dict[str, Any]]:
        return self._do(self._desk.log())

    def _do(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._life.run(lambda: self._life.spawn(work))


def _nothing(life: Life, trap: Trap, amount: float) -> None:
    """Nothing happens to a person's own machine."""


class _Ends:
    """A person's ends of the world."""

    def __init__(self, life: Life) -> None:
        self.clock = self.entropy = life
        self.hub = Hub()
