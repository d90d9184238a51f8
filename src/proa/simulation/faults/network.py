"""What happens to the network: ways are cut, and messages are late, lost, doubled or overtaken."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from random import Random

from proa.simulation.case import Fault
from proa.simulation.faults.hands import RESTART_S, Hands, around, between
from proa.simulation.faults.kind import Draw, Kind, Scene, Target, a_region, length, long, on, the_witness
from proa.simulation.machines import EDGE, WITNESS


async def cut_off(hands: Hands, fault: Fault) -> None:
    """The nodes of one side hear nothing of the others, nor the others of them."""
    with hands.cut(around(fault.nodes, hands.world.nodes), fault.kind):
        await asyncio.sleep(fault.for_s)


async def cut_one_way(hands: Hands, fault: Fault) -> None:
    """Nothing arrives from the first node at the second; the way back is open."""
    with hands.cut([(fault.nodes[0], fault.nodes[1])], fault.kind):
        await asyncio.sleep(fault.for_s)


async def cut_link(hands: Hands, fault: Fault) -> None:
    """Two nodes hear nothing of each other."""
    a, b = fault.nodes
    with hands.cut([(a, b), (b, a)], fault.kind):
        await asyncio.sleep(fault.for_s)


async def bridge(hands: Hands, fault: Fault) -> None:
    """Two sides that only the first node can talk to both of; the other nodes named are one of the sides."""
    _, *left = fault.nodes
    right = [node for node in hands.world.nodes if node not in fault.nodes]
    with hands.cut(between(left, right), fault.kind):
        await asyncio.sleep(fault.for_s)


async def rolling(hands: Hands, fault: Fault) -> None:
    """The nodes are cut off one by one, and come back in an order that `amount` is the seed of."""
    step_s = fault.for_s / (2 * len(fault.nodes))
    with ExitStack() as everything:
        cuts: list[ExitStack] = []
        for node in fault.nodes:
            cuts.append(everything.enter_context(ExitStack()))
            cuts[-1].enter_context(hands.cut(around([node], hands.world.nodes), fault.kind))
            await asyncio.sleep(step_s)
        Random(int(fault.amount)).shuffle(cuts)  # noqa: S311 - to be repeated, never a secret
        for cut in cuts:
            cut.close()
            await asyncio.sleep(step_s)


async def spreading(hands: Hands, fault: Fault) -> None:
    """The first region reaches no region but the second, which has its news alone; then the two are cut off together.

    `amount` is the share of the time that the first part of it takes.
    """
    lost, near = fault.nodes
    nodes = hands.world.nodes
    far = [node for node in nodes if node not in (lost, near, WITNESS, EDGE)]
    with hands.cut([(lost, node) for node in far], fault.kind):
        await asyncio.sleep(fault.for_s * fault.amount)
        with hands.cut(around(fault.nodes, nodes), fault.kind):
            await asyncio.sleep(fault.for_s * (1 - fault.amount))


async def delay(hands: Hands, fault: Fault) -> None:
    """Messages between two nodes take longer."""
    a, b = fault.nodes
    with hands.delayed(a, b, fault.amount):
        await asyncio.sleep(fault.for_s)


async def unreliable(hands: Hands, fault: Fault) -> None:
    """A share of all messages is lost, doubled or overtaken, as the kind says."""
    with hands.unreliable(fault.kind, fault.amount):
        await asyncio.sleep(fault.for_s)


async def lost_reply(hands: Hands, fault: Fault) -> None:
    """Calls arrive and act, but a share of the replies never comes back."""
    with hands.replies_lost(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def stale_reply(hands: Hands, fault: Fault) -> None:
    """The first node dies and is back before the replies that its former life waits for arrive, late."""
    node, other = fault.nodes
    with hands.delayed(node, other, fault.amount):
        await asyncio.sleep(fault.for_s / 2)
        with hands.down(node):
            await asyncio.sleep(RESTART_S)
        await asyncio.sleep(fault.for_s / 2)


def everywhere(low: float, high: float) -> Draw:
    """No node in particular, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (), length(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def _pair(rng: Random, scene: Scene, low: float = 0.0, high: float = 0.0) -> Target:
    region = a_region(rng, scene)
    pair = [region, rng.choice([node for node in scene.nodes if node != region])]
    rng.shuffle(pair)
    return tuple(pair), length(rng, scene.longest_s), rng.uniform(low, high)


def _delay(rng: Random, scene: Scene) -> Target:
    return _pair(rng, scene, 0.05, 1.0)


def _from_witness(rng: Random, scene: Scene) -> Target:
    return (a_region(rng, scene), WITNESS), length(rng, scene.longest_s), 0.0


def _late_replies(rng: Random, scene: Scene) -> Target:
    return (a_region(rng, scene), WITNESS), min(1.5, scene.longest_s), rng.uniform(0.2, 0.8)


def _majority(rng: Random, scene: Scene) -> Target:
    """Most of the regions; the witness and the edge on either side."""
    side = rng.sample(scene.regions, len(scene.regions) // 2 + 1)
    side += [node for node in (WITNESS, EDGE) if rng.random() < 0.5]
    return tuple(side if len(side) < len(scene.nodes) else side[:-1]), length(rng, scene.longest_s), 0.0


def _bridge(rng: Random, scene: Scene) -> Target:
    """The bridge, and half of the others."""
    shuffled = rng.sample(scene.nodes, len(scene.nodes))
    return tuple(shuffled[: 1 + (len(shuffled) - 1) // 2]), length(rng, scene.longest_s), 0.0


def _group(rng: Random, scene: Scene) -> Target:
    candidates = (*scene.regions, WITNESS)
    size = rng.randint(2, max(2, len(candidates) - 1))
    return tuple(rng.sample(candidates, size)), long(rng, scene.longest_s), float(rng.randrange(1000))


def _neighbours(rng: Random, scene: Scene) -> Target:
    """Two regions, where there are as many, and the share of the time after which the second is cut off, too."""
    first = a_region(rng, scene)
    others = [region for region in scene.regions if region != first] or [WITNESS]
    return (first, rng.choice(others)), long(rng, scene.longest_s), rng.uniform(0.05, 0.3)


NETWORK = {
    "partition one": Kind(cut_off, on(a_region)),
    "partition majority": Kind(cut_off, _majority),
    "partition one way": Kind(cut_one_way, _pair),
    "partition bridge": Kind(bridge, _bridge),
    "partition rolling": Kind(rolling, _group),
    "partition spreading": Kind(spreading, _neighbours),
    "global store unreachable": Kind(cut_link, _from_witness),
    "delay": Kind(delay, _delay),
    "loss": Kind(unreliable, everywhere(0.02, 0.3)),
    "duplicate": Kind(unreliable, everywhere(0.05, 0.5)),
    "reorder": Kind(unreliable, everywhere(0.05, 0.5)),
    "lost reply": Kind(lost_reply, on(the_witness, 0.2, 1.0)),
    "stale reply": Kind(stale_reply, _late_replies),
}
