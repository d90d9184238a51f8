"""Faults: everything that can be done to a world, a kind each, and the hand that does it in time.

A kind is a coroutine that breaks something, sleeps, and lets it go again, so that the end of a fault is where its
`with` ends, also when the run is cut short. What it breaks it *holds*: two faults that hold the same node down overlap
as they please, and the node comes back with the last of them. `KINDS` is the table; which of them a run meets is drawn
by `profiles`.

Bounds that guarantees rest on are kept here: clocks stay within the declared bound of each other and within the drift
that leases allow for, the witness keeps its disk, and no fault lasts longer than its `Scene` says.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import product
from random import Random
from typing import Any

import msgspec

from proa.core.lease import DRIFT
from proa.errors import UsageError
from proa.simulation.case import Fault
from proa.simulation.disk import When
from proa.simulation.machines import EDGE, WITNESS
from proa.simulation.process import Trap
from proa.simulation.world import World

SHORTEST_S = 0.1
LONG_SHARE = 0.4
FIRST_SHARE = 0.4
STROBE_S = 0.05
RESTART_S = 0.05
"""A restart so quick that answers to the life before are still under way."""
SKEW_SHARE = 0.45
"""A clock is off by so much of the declared bound at most: any two of them are then within it."""
PORT_CALLS_MAX = 300
ALONE_SHARE = 0.5
"""For so much of its time at most a disk that is about to be lost has what no other region has."""
ROT_RETRY_S = 0.01
ROWS_MAX = 1000
Way = tuple[str, str]


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


class Kind(msgspec.Struct, frozen=True):
    """One kind of fault: what happens, and how an instance is drawn.

    `counts`: it has its effect at once. The others are counted by whoever is hit: the network, a disk, a port.
    `destroys`: data is lost for good, so that one run may meet only one of these. `depends`: it is for apps that
    declare dependencies.
    """

    happen: Callable[[Hands, Fault], Coroutine[Any, Any, None]]
    draw: Callable[[Random, Scene], Target]
    counts: bool = False
    destroys: bool = False
    depends: bool = False


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


class Hands:
    """What holds things broken. Of several holds on one thing the strongest counts; with the last it is let go."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._held: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._cut: defaultdict[Way, list[str]] = defaultdict(list)
        self._skews: defaultdict[str, float] = defaultdict(float)

    # Processes.

    def down(self, node: str) -> AbstractContextManager[None]:
        """Its process is dead."""
        return self._hold(("down", node), 1.0, lambda on: (self.world.kill if on else self.world.start)(node))

    def paused(self, node: str) -> AbstractContextManager[None]:
        """Its process stands still."""
        return self._hold(("paused", node), 1.0, lambda on: (self.world.pause if on else self.world.resume)(node))

    def throttled(self, region: str, share: float) -> AbstractContextManager[None]:
        """It refuses a share of the requests."""
        return self._hold(("throttled", region), share, lambda share: self.world.throttle(region, share))

    def stale_routing(self) -> AbstractContextManager[None]:
        """The edge takes no new assignment."""
        return self._hold(("routing",), 1.0, lambda on: self.world.stale_routing(bool(on)))

    # The network.

    @contextmanager
    def cut(self, ways: Iterable[Way], kind: str) -> Generator[None]:
        """Nothing passes on these ways."""
        held = list(ways)
        for way in held:
            self._cut[way].append(kind)
            self.world.network.cut[way] = kind
        try:
            yield
        finally:
            for way in held:
                self._mend(way, kind)

    def _mend(self, way: Way, kind: str) -> None:
        self._cut[way].remove(kind)
        if self._cut[way]:
            self.world.network.cut[way] = self._cut[way][-1]
        else:
            self.world.network.cut.pop(way, None)

    def delayed(self, a: str, b: str, seconds: float) -> AbstractContextManager[None]:
        """Messages between the two take longer."""
        return self._hold(("delay", *sorted((a, b))), seconds, lambda seconds: self.world.slow(a, b, seconds))

    def unreliable(self, how: str, share: float) -> AbstractContextManager[None]:
        """A share of all messages suffers `loss`, `duplicate` or `reorder`."""
        return self._hold((how,), share, lambda share: setattr(self.world.network, how, share))

    def replies_lost(self, node: str, share: float) -> AbstractContextManager[None]:
        """A share of the node's replies never leaves it."""
        return self._hold(("replies", node), share, lambda share: self._lose_replies(node, share))

    def _lose_replies(self, node: str, share: float) -> None:
        if share:
            self.world.network.lost_replies[node] = share
        else:
            self.world.network.lost_replies.pop(node, None)

    # Clocks and disks.

    def skewed(self, node: str, seconds: float) -> AbstractContextManager[None]:
        """Its wall clock is off."""
        return self._hold(("skew", node), seconds, lambda seconds: self._skew(node, seconds))

    def _skew(self, node: str, seconds: float) -> None:
        self.world.jump(node, seconds - self._skews[node])
        self._skews[node] = seconds

    def drifting(self, node: str, rate: float) -> AbstractContextManager[None]:
        """Its clocks run fast or slow."""
        return self._hold(("drift", node), rate, lambda rate: self.world.drift(node, rate))

    def slow_disk(self, node: str, seconds: float) -> AbstractContextManager[None]:
        """Its syncs take longer."""
        return self._hold(("slow", node), seconds, lambda seconds: setattr(self.world.disk(node), "slow_s", seconds))

    def full_disk(self, node: str) -> AbstractContextManager[None]:
        """Its disk has no room."""
        return self._hold(("full", node), 1.0, lambda on: setattr(self.world.disk(node), "full", bool(on)))

    # What the app depends on.

    def dependency_failing(self, name: str, share: float) -> AbstractContextManager[None]:
        """A share of its calls fails."""
        return self._hold(("failing", name), share, lambda share: self.world.dependency(name).fail(share))

    def dependency_slow(self, name: str, seconds: float) -> AbstractContextManager[None]:
        """Its calls take longer."""
        return self._hold(("late", name), seconds, lambda seconds: self.world.dependency(name).slow(seconds))

    def dependency_gone(self, name: str) -> AbstractContextManager[None]:
        """Its calls never end."""
        return self._hold(("gone", name), 1.0, lambda on: self.world.dependency(name).gone(on=bool(on)))

    @contextmanager
    def _hold(self, what: tuple[str, ...], amount: float, put: Callable[[float], object]) -> Generator[None]:
        held = self._held[what]
        held.append(amount)
        put(_strongest(held))
        try:
            yield
        finally:
            held.remove(amount)
            put(_strongest(held))


def _strongest(amounts: Sequence[float]) -> float:
    return max(amounts, key=abs, default=0.0)


# Processes: what happens.


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
    with hands.cut(_around([node], hands.world.network.hosts), fault.kind), hands.down(node):
        await asyncio.sleep(fault.for_s)


async def throttle(hands: Hands, fault: Fault) -> None:
    """A share of a region's requests is refused before the handler runs."""
    with hands.throttled(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def stale_routing(hands: Hands, fault: Fault) -> None:
    """A region dies and the edge does not hear of what follows from it."""
    with hands.stale_routing(), hands.down(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


def at_port(trap: Trap) -> Callable[[Hands, Fault], Coroutine[Any, Any, None]]:
    """At the `amount`-th port call the process is paused or its wall clock jumps, by `for_s`, or it dies."""

    async def happen(hands: Hands, fault: Fault) -> None:
        hands.world.at_port(fault.nodes[0], int(fault.amount), trap, fault.for_s)

    return happen


async def pause_at_fsync(hands: Hands, fault: Fault) -> None:
    """In its next sync the process stands still, perhaps for longer than its right to answer lasts."""
    hands.world.pause_at_fsync(fault.nodes[0], fault.for_s)


# The network.


async def cut_off(hands: Hands, fault: Fault) -> None:
    """The nodes of one side hear nothing of the others, nor the others of them."""
    with hands.cut(_around(fault.nodes, hands.world.nodes), fault.kind):
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
    with hands.cut(_between(left, right), fault.kind):
        await asyncio.sleep(fault.for_s)


async def rolling(hands: Hands, fault: Fault) -> None:
    """The nodes are cut off one by one, and come back in an order that `amount` is the seed of."""
    step_s = fault.for_s / (2 * len(fault.nodes))
    with ExitStack() as everything:
        cuts: list[ExitStack] = []
        for node in fault.nodes:
            cuts.append(everything.enter_context(ExitStack()))
            cuts[-1].enter_context(hands.cut(_around([node], hands.world.nodes), fault.kind))
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
        with hands.cut(_around(fault.nodes, nodes), fault.kind):
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


def _between(left: Iterable[str], right: Iterable[str]) -> list[Way]:
    """All ways from one side to the other, and back."""
    return [way for a, b in product(left, right) for way in ((a, b), (b, a))]


def _around(nodes: Iterable[str], everybody: Iterable[str]) -> list[Way]:
    """All ways in and out of a group of nodes."""
    group = list(nodes)
    return _between(group, [other for other in everybody if other not in group])


# Clocks.


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


# Disks.


async def slow_disk(hands: Hands, fault: Fault) -> None:
    """Syncs take up to `amount` seconds longer."""
    with hands.slow_disk(fault.nodes[0], fault.amount):
        await asyncio.sleep(fault.for_s)


async def full_disk(hands: Hands, fault: Fault) -> None:
    """No sync finds room."""
    with hands.full_disk(fault.nodes[0]):
        await asyncio.sleep(fault.for_s)


def crash(when: When) -> Callable[[Hands, Fault], Coroutine[Any, Any, None]]:
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


async def lost_disk(hands: Hands, fault: Fault) -> None:
    """For a share of the time (`amount`) no other region hears of this one; then it dies, and returns with no data."""
    node = fault.nodes[0]
    others = [region for region in hands.world.app.regions if region != node]
    with hands.cut(_between([node], others), fault.kind):
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


async def rot(hands: Hands, fault: Fault) -> None:
    """A row is spoilt on the region's disk, and after a while the region compares its rows with another one's."""
    node, other = fault.nodes
    while not hands.world.rot(node, int(fault.amount)):  # noqa: ASYNC110 - nothing tells when a file is free
        await asyncio.sleep(ROT_RETRY_S)
    hands.world.fired(fault.kind)
    await asyncio.sleep(fault.for_s)
    hands.world.compare(node, other)


# How instances are drawn.


def _length(rng: Random, longest_s: float) -> float:
    """Mostly short, of which the logarithm is drawn evenly; else long, since only a long one makes roles change."""
    if rng.random() < LONG_SHARE:
        return _long(rng, longest_s)
    shortest_s = min(SHORTEST_S, longest_s)
    return shortest_s * (longest_s / shortest_s) ** rng.random()


def _long(rng: Random, longest_s: float) -> float:
    """For what takes its effect only after a while."""
    return longest_s * rng.uniform(0.6, 1.0)


def _region(rng: Random, scene: Scene) -> str:
    """Often the first one: an active-passive system has most to lose there."""
    return scene.regions[0] if rng.random() < FIRST_SHARE else rng.choice(scene.regions)


def on_region(low: float = 0.0, high: float = 0.0) -> Callable[[Random, Scene], Target]:
    """Some region, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (_region(rng, scene),), _length(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def on_witness(low: float = 0.0, high: float = 0.0) -> Callable[[Random, Scene], Target]:
    """The witness, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (WITNESS,), _length(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def everywhere(low: float, high: float) -> Callable[[Random, Scene], Target]:
    """No node in particular, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (), _length(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def _store_owner(rng: Random, scene: Scene) -> str:
    """A region, or sometimes the witness."""
    return WITNESS if rng.random() < 1 / (len(scene.regions) + 1) else _region(rng, scene)


def _slow_disk(rng: Random, scene: Scene) -> Target:
    return (_store_owner(rng, scene),), _length(rng, scene.longest_s), rng.uniform(0.01, 0.4)


def _dying_disk(rng: Random, scene: Scene) -> Target:
    return (_store_owner(rng, scene),), _length(rng, scene.longest_s), rng.uniform(0.2, 1.0)


def _full_disk(rng: Random, scene: Scene) -> Target:
    return (_store_owner(rng, scene),), _length(rng, scene.longest_s), 0.0


def _crash(rng: Random, scene: Scene) -> Target:
    return (_store_owner(rng, scene),), 0.0, 0.0


def _outlasting(rng: Random, scene: Scene) -> Target:
    return (_region(rng, scene),), _long(rng, scene.longest_s), 0.0


def _trap(longest_s: float) -> Callable[[Random, Scene], Target]:
    def draw(rng: Random, scene: Scene) -> Target:
        nth = rng.randint(1, PORT_CALLS_MAX)
        return (_store_owner(rng, scene),), _length(rng, min(longest_s, scene.longest_s)), float(nth)

    return draw


def _jump_trap(rng: Random, scene: Scene) -> Target:
    nodes, _, nth = _trap(1.0)(rng, scene)
    return nodes, rng.uniform(0.1, 1.0) * SKEW_SHARE * scene.clock_bound_s, nth


def _skew(rng: Random, scene: Scene) -> Target:
    """The witness too: its time is what regions compare theirs with."""
    amount = rng.choice((-1, 1)) * rng.uniform(0.2, 1.0) * SKEW_SHARE * scene.clock_bound_s
    return (_store_owner(rng, scene),), _length(rng, scene.longest_s), amount


def _drift(rng: Random, scene: Scene) -> Target:
    return (
        (_store_owner(rng, scene),),
        _long(rng, scene.longest_s),
        rng.choice((-1, 1)) * rng.uniform(0.2, 0.99) * DRIFT / 2,
    )


def _pair(rng: Random, scene: Scene, low: float = 0.0, high: float = 0.0) -> Target:
    region = _region(rng, scene)
    pair = [region, rng.choice([node for node in scene.nodes if node != region])]
    rng.shuffle(pair)
    return tuple(pair), _length(rng, scene.longest_s), rng.uniform(low, high)


def _delay(rng: Random, scene: Scene) -> Target:
    return _pair(rng, scene, 0.05, 1.0)


def _from_witness(rng: Random, scene: Scene) -> Target:
    return (_region(rng, scene), WITNESS), _length(rng, scene.longest_s), 0.0


def _late_replies(rng: Random, scene: Scene) -> Target:
    return (_region(rng, scene), WITNESS), min(1.5, scene.longest_s), rng.uniform(0.2, 0.8)


def _majority(rng: Random, scene: Scene) -> Target:
    """Most of the regions; the witness and the edge on either side."""
    side = rng.sample(scene.regions, len(scene.regions) // 2 + 1)
    side += [node for node in (WITNESS, EDGE) if rng.random() < 0.5]
    return tuple(side if len(side) < len(scene.nodes) else side[:-1]), _length(rng, scene.longest_s), 0.0


def _bridge(rng: Random, scene: Scene) -> Target:
    """The bridge, and half of the others."""
    shuffled = rng.sample(scene.nodes, len(scene.nodes))
    return tuple(shuffled[: 1 + (len(shuffled) - 1) // 2]), _length(rng, scene.longest_s), 0.0


def _group(rng: Random, scene: Scene) -> Target:
    candidates = (*scene.regions, WITNESS)
    size = rng.randint(2, max(2, len(candidates) - 1))
    return tuple(rng.sample(candidates, size)), _long(rng, scene.longest_s), float(rng.randrange(1000))


def on_dependency(low: float = 0.0, high: float = 0.0) -> Callable[[Random, Scene], Target]:
    """Some dependency of the app, with an amount between the two."""

    def draw(rng: Random, scene: Scene) -> Target:
        return (rng.choice(scene.dependencies),), _long(rng, scene.longest_s), rng.uniform(low, high)

    return draw


def _neighbours(rng: Random, scene: Scene) -> Target:
    """Two regions, where there are as many, and the share of the time after which the second is cut off, too."""
    first = _region(rng, scene)
    others = [region for region in scene.regions if region != first] or [WITNESS]
    return (first, rng.choice(others)), _long(rng, scene.longest_s), rng.uniform(0.05, 0.3)


def _rot(rng: Random, scene: Scene) -> Target:
    if len(scene.regions) == 1:
        return scene.regions, 0.0, 0.0
    return tuple(rng.sample(scene.regions, 2)), _length(rng, scene.longest_s), float(rng.randrange(ROWS_MAX))


ROT = "rot"
KINDS: dict[str, Kind] = {
    # Processes.
    "kill": Kind(kill, on_region(), counts=True),
    "pause": Kind(pause, on_region(), counts=True),
    "region outage": Kind(region_outage, on_region()),
    "witness kill": Kind(kill, on_witness(), counts=True),
    "witness pause": Kind(pause, on_witness(), counts=True),
    "throttle": Kind(throttle, on_region(0.3, 1.0)),
    "stale routing": Kind(stale_routing, _outlasting),
    "pause at a port call": Kind(at_port("pause"), _trap(6.0)),
    "pause inside fsync": Kind(pause_at_fsync, _outlasting),
    "jump at a port call": Kind(at_port("jump"), _jump_trap),
    "kill at a port call": Kind(at_port("kill"), _trap(1.0)),
    # The network.
    "partition one": Kind(cut_off, on_region()),
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
    "lost reply": Kind(lost_reply, on_witness(0.2, 1.0)),
    "stale reply": Kind(stale_reply, _late_replies),
    # Clocks.
    "clock bump": Kind(clock_bump, _skew, counts=True),
    "clock strobe": Kind(clock_strobe, _skew, counts=True),
    "clock skew": Kind(clock_skew, _drift, counts=True),
    # Disks.
    "slow disk": Kind(slow_disk, _slow_disk),
    "full disk": Kind(full_disk, _full_disk),
    "dying disk": Kind(dying_disk, _dying_disk, counts=True),
    "crash before fsync": Kind(crash("before"), _crash),
    "crash inside fsync": Kind(crash("inside"), _crash),
    "crash after fsync": Kind(crash("after"), _crash),
    ROT: Kind(rot, _rot),
    # What the app depends on.
    "dependency failing": Kind(dependency_failing, on_dependency(0.2, 1.0), depends=True),
    "dependency slow": Kind(dependency_slow, on_dependency(0.1, 3.0), depends=True),
    "dependency gone": Kind(dependency_gone, on_dependency(), depends=True),
    # What is lost for good.
    "lost disk": Kind(lost_disk, on_region(0.0, ALONE_SHARE), counts=True, destroys=True),
    "old disk": Kind(old_disk, _outlasting, counts=True, destroys=True),
}
"""Every kind by the name under which it is drawn, told and counted."""
