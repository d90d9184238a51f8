"""What happens to disks: they are slow or full, lose what was not synced, rot, go back in time, or are gone."""

from __future__ import annotations

import asyncio
from random import Random

from proa.simulation.case import Fault
from proa.simulation.disk import When
from proa.simulation.faults.hands import RESTART_S, Hands, between
from proa.simulation.faults.kind import Happen, Kind, Scene, Target, a_region, a_store_owner, length, on, outlasting

ALONE_SHARE = 0.5
"""For so much of its time at most a disk that is about to be lost has what no other region has."""
ROT = "rot"
ROT_RETRY_S = 0.01
ROWS_MAX = 1000


async def slow_disk(hands: Hands, fault: Fault) -> None:
    """Syncs take up to `amount` seconds longer."""
    with hands.slow_disk(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def full_disk(hands: Hands, fault: Fault) -> None:
    """No sync finds room."""
    with hands.full_disk(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


def crash(when: When) -> Happen:
    """The machine loses power around its next sync; what was not synced may be lost, or torn."""

    async def happen(hands: Hands, fault: Fault) -> None:
        hands.world.crash_at_fsync(fault.nodes[0], when)

    return happen


async def dying_disk(hands: Hands, fault: Fault) -> None:
    """Syncs take up to `amount` seconds longer, until the machine dies in the middle of one."""
    node = fault.nodes[0]
    with hands.slow_disk(node, fault.amount):
        await asyncio.sleep(fault.for_s)
        hands.world.crash_at_fsync(node, "inside")


async def rot(hands: Hands, fault: Fault) -> None:
    """A row is spoilt on the region's disk, and after a while the region compares its rows with another one's."""
    node, other = fault.nodes
    while not hands.world.rot(node, int(fault.amount)):  # noqa: ASYNC110 - nothing tells when a file is free
        await asyncio.sleep(ROT_RETRY_S)
    hands.world.fired(fault.kind)
    await asyncio.sleep(fault.for_s)
    hands.world.compare(node, other)


async def lost_disk(hands: Hands, fault: Fault) -> None:
    """For a share of the time (`amount`) no other region hears of this one; then it dies, and returns with no data."""
    node = fault.nodes[0]
    others = [region for region in hands.world.app.regions if region != node]
    with hands.cut(between([node], others), fault.kind):
        await asyncio.sleep(fault.for_s * fault.amount)
    hands.world.give_up(node)
    with hands.down(node):
        hands.world.disk(node).lose()
        await asyncio.sleep(fault.for_s * (1 - fault.amount))


async def old_disk(hands: Hands, fault: Fault) -> None:
    """The region dies, and comes back with its disk as it was `for_s` before."""
    node = fault.nodes[0]
    hands.world.disk(node).snapshot()
    await asyncio.sleep(fault.for_s)
    hands.world.give_up(node)
    with hands.down(node):
        hands.world.disk(node).restore()
        await asyncio.sleep(RESTART_S)


def _crash(rng: Random, scene: Scene) -> Target:
    return (a_store_owner(rng, scene),), 0.0, 0.0


def _rot(rng: Random, scene: Scene) -> Target:
    if len(scene.regions) == 1:
        return scene.regions, 0.0, 0.0
    return tuple(rng.sample(scene.regions, 2)), length(rng, scene.longest_s), float(rng.randrange(ROWS_MAX))


DISKS = {
    "slow disk": Kind(slow_disk, on(a_store_owner, 0.01, 0.4)),
    "full disk": Kind(full_disk, on(a_store_owner)),
    "dying disk": Kind(dying_disk, on(a_store_owner, 0.2, 1.0), counts=True),
    "crash before fsync": Kind(crash("before"), _crash),
    "crash inside fsync": Kind(crash("inside"), _crash),
    "crash after fsync": Kind(crash("after"), _crash),
    ROT: Kind(rot, _rot),
    "lost disk": Kind(lost_disk, on(a_region, 0.0, ALONE_SHARE), counts=True, destroys=True),
    "old disk": Kind(old_disk, outlasting, counts=True, destroys=True),
}
