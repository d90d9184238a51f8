"""The injector: does a case's faults to a world at their times."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from proa.errors import UsageError
from proa.simulation.case import Fault
from proa.simulation.faults.catalogue import KINDS
from proa.simulation.faults.hands import Hands
from proa.simulation.world import World


class Injector:
    """Does a case's faults to a world at their times.

    Raises:
        UsageError: there is no such kind of fault.
    """

    def __init__(self, world: World, faults: Iterable[Fault]) -> None:
        self._world = world
        self._hands = Hands(world)
        self._faults = tuple(faults)
        for fault in self._faults:
            if fault.kind not in KINDS:
                raise UsageError(f"there is no fault {fault.kind!r}; there are {', '.join(KINDS)}")

    async def run(self) -> None:
        """From now on until the last of them is over. Where it is cancelled everything is let go first."""
        async with asyncio.TaskGroup() as group:
            for fault in self._faults:
                group.create_task(self._one(fault))

    async def _one(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        world, kind = self._world, KINDS[fault.kind]
        world.note("fault", _told(fault))
        if kind.counts:
            world.fired(fault.kind)
        await kind.happen(self._hands, fault)
        if fault.for_s:
            world.note("fault", f"{fault.kind} is over")


def _told(fault: Fault) -> str:
    amount = f" ({fault.amount:g})" if fault.amount else ""
    length = f" for {fault.for_s:g} s" if fault.for_s else ""
    return f"{fault.kind}{amount}: {', '.join(fault.nodes) or 'everywhere'}{length}"
