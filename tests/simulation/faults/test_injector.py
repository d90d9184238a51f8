"""Faults in time: what overlaps lets go together, what is cut short lets go at once, and every kind strikes."""

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa import App, Breaker
from proa.errors import UsageError
from proa.simulation.case import Fault
from proa.simulation.dependencies import SimDependency
from proa.simulation.faults.catalogue import KINDS
from proa.simulation.faults.injector import Injector
from proa.simulation.faults.kind import Scene
from proa.simulation.loop import run
from proa.simulation.world import World, simulated

REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")
SCENE = Scene(REGIONS, 6.0, 0.5, ("bank",))


class Broken:
    """A world that only notes what is done to it, and when."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.nodes = dict.fromkeys(("witness", *REGIONS, "edge"))
        hosts = {**self.nodes, "client": None}
        self.network = SimpleNamespace(cut={}, lost_replies={}, loss=0.0, duplicate=0.0, reorder=0.0, hosts=hosts)
        self.disks = {name: SimpleNamespace(slow_s=0.0, full=False) for name in self.nodes}
        self.down, self.still = set(), set()
        self.extra, self.skew, self.rate, self.throttled = Counter(), Counter(), Counter(), Counter()
        self.stale = False
        self.bank = SimDependency(Random(1), self.fired)
        self.coverage = Counter()
        self.traps = []

    def fired(self, kind):
        self.coverage[kind] += 1

    def note(self, who, what):
        pass

    def kill(self, name):
        self.down.add(name)

    def start(self, name):
        self.down.discard(name)

    def pause(self, name):
        self.still.add(name)

    def resume(self, name):
        self.still.discard(name)

    def slow(self, a, b, seconds):
        self.extra[frozenset((a, b))] = seconds

    def jump(self, name, seconds):
        self.skew[name] += seconds

    def drift(self, name, rate):
        self.rate[name] = rate

    def throttle(self, name, share):
        self.throttled[name] = share

    def stale_routing(self, on):
        self.stale = on

    def disk(self, name):
        return self.disks[name]

    def dependency(self, name):
        assert name == "bank"
        return self.bank

    def at_port(self, *trap):
        self.traps.append(trap)

    def wounds(self):
        """Everything that is broken now."""
        network = self.network
        flags = [self.down, self.still, network.cut, network.lost_replies, network.loss, network.duplicate, self.stale]
        amounts = [*self.extra.values(), *self.skew.values(), *self.rate.values(), *self.throttled.values()]
        disks = [disk for disk in self.disks.values() if disk.slow_s or disk.full]
        flags.append(not self.bank.well)
        return [each for each in (*flags, network.reorder, *disks) if each] + [a for a in amounts if abs(a) > 1e-9]


def watch(faults, *instants, look):
    """What `look(world)` says at each instant while the faults happen."""

    async def course():
        world = Broken()
        began = world.loop.time()
        running = asyncio.ensure_future(Injector(world, faults).run())
        seen = []
        for instant in instants:
            await asyncio.sleep(began + instant - world.loop.time())
            seen.append(look(world))
        await running
        assert world.wounds() == []
        return seen

    return run(course())


def test_a_fault_begins_and_ends_at_its_time():
    fault = Fault("kill", 1, 2, ("us-east-1",))
    assert watch([fault], 0.9, 1.1, 2.9, 3.1, look=lambda world: set(world.down)) == [
        set(),
        {"us-east-1"},
        {"us-east-1"},
        set(),
    ]


def test_a_node_that_is_down_twice_comes_back_with_the_last_of_both():
    faults = [Fault("kill", 1, 2, ("us-east-1",)), Fault("region outage", 2, 3, ("us-east-1",))]
    assert watch(faults, 2.5, 3.5, 5.1, look=lambda world: len(world.down)) == [1, 1, 0]


def test_a_link_that_is_cut_twice_is_open_again_after_the_last_and_counts_for_the_one_in_force():
    faults = [Fault("partition one", 0, 4, ("us-east-1",)), Fault("partition one way", 1, 2, ("us-east-1", "witness"))]
    cut = watch(faults, 0.5, 1.5, 3.5, 4.5, look=lambda world: world.network.cut.get(("us-east-1", "witness")))
    assert cut == ["partition one", "partition one way", "partition one", None]


def test_a_way_that_is_cut_leaves_the_way_back_open():
    fault = Fault("partition one way", 0, 1, ("us-east-1", "witness"))
    assert watch([fault], 0.5, look=lambda world: set(world.network.cut)) == [{("us-east-1", "witness")}]


def test_of_two_delays_the_longer_counts():
    faults = [Fault("delay", 0, 3, ("us-east-1", "witness"), 0.2), Fault("delay", 1, 1, ("witness", "us-east-1"), 0.9)]
    link = frozenset(("us-east-1", "witness"))
    assert watch(faults, 0.5, 1.5, 2.5, look=lambda world: world.extra[link]) == [0.2, 0.9, 0.2]


def test_of_two_skews_the_larger_counts_so_that_they_never_add_up():
    faults = [Fault("clock bump", 0, 3, ("us-east-1",), 0.1), Fault("clock bump", 1, 1, ("us-east-1",), -0.2)]
    skews = watch(faults, 0.5, 1.5, 2.5, look=lambda world: round(world.skew["us-east-1"], 6))
    assert skews == [0.1, -0.2, 0.1]


def test_a_bridge_hears_both_sides_that_do_not_hear_each_other():
    fault = Fault("partition bridge", 0, 1, ("witness", "us-east-1", "edge"))
    (cut,) = watch([fault], 0.5, look=lambda world: set(world.network.cut))
    left, right = {"us-east-1", "edge"}, {"eu-west-1", "ap-south-1"}
    assert cut == {way for a in left for b in right for way in ((a, b), (b, a))}


def test_an_outage_is_silent_to_clients_too():
    fault = Fault("region outage", 0, 1, ("us-east-1",))
    (cut,) = watch([fault], 0.5, look=lambda world: set(world.network.cut))
    assert ("client", "us-east-1") in cut


def test_a_rolling_partition_cuts_one_node_after_the_other_and_heals_in_another_order():
    fault = Fault("partition rolling", 0, 6, REGIONS, 3)
    alone = watch([fault], *(0.5 + step for step in range(6)), look=_cut_off)
    assert alone[:3] == [list(REGIONS[: size + 1]) for size in range(3)]
    assert [len(nodes) for nodes in alone[3:]] == [2, 1, 0]
    orders = {tuple(watch([msgspec.structs.replace(fault, amount=seed)], 4.5, look=_cut_off)[0]) for seed in range(20)}
    assert orders == {(region,) for region in REGIONS}


def _cut_off(world):
    return [region for region in REGIONS if (region, "edge") in world.network.cut]


def test_a_trap_is_set_with_its_number_and_length():
    fault = Fault("pause at a port call", 1, 0.5, ("us-east-1",), 17)
    assert watch([fault], 1.1, look=lambda world: world.traps) == [[("us-east-1", 17, "pause", 0.5)]]


def test_what_strikes_at_once_is_counted_when_it_does():
    faults = [Fault("kill", 1, 1, ("us-east-1",)), Fault("partition one", 1, 1, ("us-east-1",))]
    assert watch(faults, 0.5, 1.5, look=lambda world: dict(world.coverage)) == [{}, {"kill": 1}]


def test_a_fault_of_no_kind_is_refused():
    async def course():
        Injector(Broken(), [Fault("gremlins", 0, 1, ())])

    with pytest.raises(UsageError, match="gremlins"):
        run(course())


LASTING = sorted(
    set(KINDS) - {"lost disk", "old disk", "crash before fsync", "crash inside fsync", "crash after fsync"}
)


def _drawn(kind, seed, at_s):
    nodes, for_s, amount = KINDS[kind].draw(Random(seed), SCENE)
    return Fault(kind, at_s, for_s, nodes, amount)


lasting = st.builds(_drawn, st.sampled_from(LASTING), st.integers(0, 99), st.floats(0, 5))


@given(st.lists(lasting, max_size=8), st.floats(0, 12))
def test_however_faults_overlap_and_whenever_they_are_cut_short_nothing_stays_broken(faults, until_s):
    async def course():
        world = Broken()
        running = asyncio.ensure_future(Injector(world, faults).run())
        await asyncio.wait([running], timeout=until_s)
        running.cancel()
        await asyncio.wait([running])
        return world.wounds()

    assert run(course()) == []


# Every kind in a real world.


class Item(msgspec.Struct):
    id: str
    value: int = 0


async def doubt(id: str) -> bool:
    return False


def shop():
    app = App("shop", regions=REGIONS, lease_s=2, topology="active-passive", failover="automatic")
    stock = app.table("stock", Item, key="id", mode="strong")
    items = app.table("items", Item, key="id")
    bank = app.dependency("bank", breaker=Breaker(min_calls=2, window_calls=4, open_s=1), timeout_s=0.5)

    @bank.call(idempotent=True, fallback=(doubt,))
    async def known(id: str) -> bool:
        return True

    @app.get("/items/{id}")
    async def read(id: str) -> Item:
        return await items.get(id)

    @app.put("/stock/{id}")
    async def put_stock(id: str) -> Item:
        item = Item(id, (await stock.get(id, Item(id))).value + 1)
        await stock.put(item)
        return item

    @app.put("/items/{id}")
    async def put_item(id: str) -> Item:
        item = Item(id, (await items.get(id, Item(id))).value + await known(id))
        await items.put(item)
        return item

    return app


async def shopping(door, path):
    number = 0
    while True:
        number += 1
        try:
            await door.put(f"/{path}/{number % 3}", key=f"{door.name}-{path}-{number}", timeout_s=1)
        except OSError:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", sorted(KINDS))
@simulated
async def test_a_fault_strikes_and_the_world_recovers(kind):
    async with World(shop(), seed=3) as world:
        doors = [world.edge, *(world[region] for region in REGIONS)]
        shoppers = [asyncio.ensure_future(shopping(door, path)) for door in doors for path in ("stock", "items")]
        await Injector(world, [_drawn(kind, 1, 1.0)]).run()
        await asyncio.sleep(4)
        for shopper in shoppers:
            shopper.cancel()
        await asyncio.wait(shoppers)
        assert world.faults_fired[kind] > 0
        assert world.violations == []
        world.heal()
        await world.settle(within_s=60)
        assert (await world.edge.put("/stock/1", key="last")).status == 200
