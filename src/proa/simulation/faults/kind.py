"""A kind of fault: what happens, and how an instance of it is drawn; with what draws of many kinds share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec

from proa.simulation.case import Fault
from proa.simulation.faults.hands import Hands
from proa.simulation.machines import EDGE, WITNESS

SHORTEST_S = 0.1
LONG_SHARE = 0.4
FIRST_SHARE = 0.4
SKEW_SHARE = 0.45
"""A clock is off by so much of the declared bound at most: any two of them are then within it."""


class Scene(msgspec.Struct, frozen=True):
    """Where faults happen: what a draw may use. No fault lasts longer than `longest_s`."""

    regions: tuple[str, ...]
    longest_s: float
    clock_bound_s: float
    dependencies: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node."""
        return (*self.regions, WITNESS, EDGE)


Target = tuple[tuple[str, ...], float, float]
"""Of a fault: its nodes, its length in seconds, its amount."""
Happen = Callable[[Hands, Fault], Coroutine[Any, Any, None]]
Draw = Callable[[Random, Scene], Target]


class Kind(msgspec.Struct, frozen=True):
    """One kind of fault: what happens, and how an instance is drawn.

    `counts`: it has its effect at once. The others are counted by whoever is hit: the network, a disk, a port.
    `destroys`: data is lost for good, so that one run may meet only one of these. `depends`: it is for apps that
    declare dependencies.
    """

    happen: Happen
    draw: Draw
    counts: bool = False
    destroys: bool = False
    depends: bool = False


# Draws.


def length(rng: Random, longest_s: float) -> float:
    """Mostly short, of which the logarithm is drawn evenly; else long, since only a long one makes roles change."""
    if rng.random() < LONG_SHARE:
        return long(rng, longest_s)
    shortest_s = min(SHORTEST_S, longest_s)
    return shortest_s * (longest_s / shortest_s) ** rng.random()


def long(rng: Random, longest_s: float) -> float:
    """For what takes its effect only after a while."""
    return longest_s * rng.uniform(0.6, 1.0)


def a_region(rng: Random, scene: Scene) -> str:
    """Often the first one: an active-passive system has most to lose there."""
    return scene.regions[0] if rng.random() < FIRST_SHARE else rng.choice(scene.regions)


def a_store_owner(rng: Random, scene: Scene) -> str:
    """A region, or sometimes the witness."""
    return WITNESS if rng.random() < 1 / (len(scene.regions) + 1) else a_region(rng, scene)


def the_witness(_rng: Random, _scene: Scene) -> str:
    """No choice."""
    return WITNESS


def on(node: Callable[[Random, Scene], str], low: float = 0.0, high: float = 0.0) -> Draw:
    """A node of this sort, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (node(rng, scene),), length(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def outlasting(rng: Random, scene: Scene) -> Target:
    """A region, for so long that roles change meanwhile."""
    return (a_region(rng, scene),), long(rng, scene.longest_s), 0.0
