"""What happens to clocks: they are set, and run fast or slow."""

from __future__ import annotations

import asyncio
from random import Random

from proa.core.lease import DRIFT
from proa.simulation.case import Fault
from proa.simulation.faults.hands import Hands
from proa.simulation.faults.kind import SKEW_SHARE, Kind, Scene, Target, a_store_owner, length, long

STROBE_S = 0.05


async def clock_bump(hands: Hands, fault: Fault) -> None:
    """The wall clock is set forward or back, and put right later."""
    with hands.skewed(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def clock_strobe(hands: Hands, fault: Fault) -> None:
    """The wall clock jumps to and fro."""
    for _ in range(int(fault.for_s / (2 * STROBE_S))):
        with hands.skewed(fault.nodes[0], fault.amount):
            await asyncio.sleep(STROBE_S)
        await asyncio.sleep(STROBE_S)


async def clock_skew(hands: Hands, fault: Fault) -> None:
    """All clocks of a node run fast or slow by a rate."""
    with hands.drifting(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


def _skew(rng: Random, scene: Scene) -> Target:
    """The witness too: its time is what regions compare theirs with."""
    amount = rng.choice((-1, 1)) * rng.uniform(0.2, 1.0) * SKEW_SHARE * scene.clock_bound_s
    return (a_store_owner(rng, scene),), length(rng, scene.longest_s), amount


def _drift(rng: Random, scene: Scene) -> Target:
    return (
        (a_store_owner(rng, scene),),
        long(rng, scene.longest_s),
        rng.choice((-1, 1)) * rng.uniform(0.2, 0.99) * DRIFT / 2,
    )


CLOCKS = {
    "clock bump": Kind(clock_bump, _skew, counts=True),
    "clock strobe": Kind(clock_strobe, _skew, counts=True),
    "clock skew": Kind(clock_skew, _drift, counts=True),
}
