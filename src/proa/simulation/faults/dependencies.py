"""What happens to the systems that an app depends on: their calls fail, take long, or never end."""

from __future__ import annotations

import asyncio
from random import Random

from proa.simulation.case import Fault
from proa.simulation.faults.hands import Hands
from proa.simulation.faults.kind import Draw, Kind, Scene, Target, long


async def dependency_failing(hands: Hands, fault: Fault) -> None:
    """A share of the calls of a dependency fails."""
    with hands.dependency_failing(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def dependency_slow(hands: Hands, fault: Fault) -> None:
    """All calls of a dependency take longer."""
    with hands.dependency_slow(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def dependency_gone(hands: Hands, fault: Fault) -> None:
    """No call of a dependency ends."""
    with hands.dependency_gone(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


def on_dependency(low: float = 0.0, high: float = 0.0) -> Draw:
    """Some dependency of the app, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (rng.choice(scene.dependencies),), long(rng, scene.longest_s), rng.uniform(low, high)

    return draw


DEPENDENCIES = {
    "dependency failing": Kind(dependency_failing, on_dependency(0.2, 1.0), depends=True),
    "dependency slow": Kind(dependency_slow, on_dependency(0.1, 3.0), depends=True),
    "dependency gone": Kind(dependency_gone, on_dependency(), depends=True),
}
