"""What happens to processes: they die, stand still, refuse, or stop in the middle of a step."""

from __future__ import annotations

import asyncio
from random import Random

from proa.simulation.case import Fault
from proa.simulation.faults.hands import Hands, around
from proa.simulation.faults.kind import (
    SKEW_SHARE,
    Draw,
    Happen,
    Kind,
    Scene,
    Target,
    a_region,
    a_store_owner,
    length,
    on,
    outlasting,
    the_witness,
)
from proa.simulation.process import Trap

PORT_CALLS_MAX = 300


async def kill(hands: Hands, fault: Fault) -> None:
    """The process dies; its disk stays."""
    with hands.down(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


async def pause(hands: Hands, fault: Fault) -> None:
    """The process stands still and later goes on, unaware that time has passed."""
    with hands.paused(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


async def region_outage(hands: Hands, fault: Fault) -> None:
    """The region dies and nothing reaches its place, silently, not even from clients beside it."""
    node = fault.nodes[0]
    with hands.cut(around([node], hands.world.network.hosts), fault.kind), hands.down(node):
        await asyncio.sleep(fault.for_s)


async def throttle(hands: Hands, fault: Fault) -> None:
    """A share of a region's requests is refused before the handler runs."""
    with hands.throttled(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def stale_routing(hands: Hands, fault: Fault) -> None:
    """A region dies and the edge does not hear of what follows from it."""
    with hands.stale_routing(), hands.down(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


def at_port(trap: Trap) -> Happen:
    """At the `amount`-th port call the process is paused or its wall clock jumps, by `for_s`, or it dies."""

    async def happen(hands: Hands, fault: Fault) -> None:
        hands.world.at_port(fault.nodes[0], int(fault.amount), trap, fault.for_s)

    return happen


async def pause_at_fsync(hands: Hands, fault: Fault) -> None:
    """In its next sync the process stands still, perhaps for longer than its right to answer lasts."""
    hands.world.pause_at_fsync(fault.nodes[0], fault.for_s)


def _trap(longest_s: float) -> Draw:
    def draw(rng: Random, scene: Scene) -> Target:
        nth = rng.randint(1, PORT_CALLS_MAX)
        return (a_store_owner(rng, scene),), length(rng, min(longest_s, scene.longest_s)), float(nth)

    return draw


def _jump_trap(rng: Random, scene: Scene) -> Target:
    nodes, _, nth = _trap(1.0)(rng, scene)
    return nodes, rng.uniform(0.1, 1.0) * SKEW_SHARE * scene.clock_bound_s, nth


PROCESSES = {
    "kill": Kind(kill, on(a_region), counts=True),
    "pause": Kind(pause, on(a_region), counts=True),
    "region outage": Kind(region_outage, on(a_region)),
    "witness kill": Kind(kill, on(the_witness), counts=True),
    "witness pause": Kind(pause, on(the_witness), counts=True),
    "throttle": Kind(throttle, on(a_region, 0.3, 1.0)),
    "stale routing": Kind(stale_routing, outlasting),
    "pause at a port call": Kind(at_port("pause"), _trap(6.0)),
    "pause inside fsync": Kind(pause_at_fsync, outlasting),
    "jump at a port call": Kind(at_port("jump"), _jump_trap),
    "kill at a port call": Kind(at_port("kill"), _trap(1.0)),
}
