"""A consumer's process dies at each line of its unit: the message takes effect once all the same.

A *line* is what Python traces as one: a line of source that a process is about to run. Those of a unit are the lines of
the handler here and of `PARTS` that the region's process runs from the moment a message is handed out until nothing is
left to do: those of the handler, of its effect, of all commits, of fetching from the global store what it sent, of the
unit that this was sent to. At each of them a process dies once, for a message of its own: at every other line where it
comes to it first, at those between where it comes to it last. Then the next process goes on with its disk. Of units
that commit in the global store it is the lines of `DIFFERENT`. At some lines the whole region is lost instead; another
one adopts what it had, and it returns.
"""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import proa
from proa import App
from proa.declare.effects import EffectKey, effect_key
from proa.runtime.messages.consumer import Consuming
from proa.simulation import World, simulated
from proa.simulation.loop import Killed

EU, US = "eu-west-1", "us-east-1"
PROA = Path(proa.__file__).parent
DIFFERENT = ("runtime/messages", "runtime/errands")
PARTS = (*DIFFERENT, "runtime/unit", "runtime/effects", "declare", "engines", "core/queue", "core/backlog")
SOURCES = (__file__, *(str(PROA / part) for part in PARTS))
HANDED_OUT = Consuming._handle.__code__
IDLE_S = 5.0
LOST_S = 5.0
LOST_AT_EVERY = 30
"""A region is lost at one line in so many: that takes long."""
WORLD_POINTS = 40
"""A world grows slow with its dead: another one after so many."""


@dataclass
class Order:
    id: str


@dataclass
class Count:
    id: str
    times: int = 0


class Shop:
    """A consumer that reads, writes, calls an effect and sends a message on. `paid` are the effect's calls."""

    def __init__(self, mode, regions=(EU,)):
        self.paid = []
        self.app = app = App("shop", regions=regions, lease_s=2, failover="automatic")
        handled = app.table("handled", Count, key="id", mode=mode)
        orders = app.queue("orders", Order)
        parcels = app.queue("parcels", Order)
        sent = app.table("sent", Count, key="id", mode=mode)

        @app.effect(idempotent=True)
        async def pay(order: Order, key: EffectKey = effect_key) -> str:
            self.paid.append((order.id, key))
            return key

        @orders.consumer()
        async def handle(order: Order) -> None:
            of_all = await handled.get("all", Count("all"))
            of_this = await handled.get(order.id, Count(order.id))
            await handled.put(Count("all", of_all.times + 1))
            await pay(order)
            await parcels.send(order)
            await handled.put(Count(order.id, of_this.times + 1))

        @parcels.consumer()
        async def send(order: Order) -> None:
            of_this = await sent.get(order.id, Count(order.id))
            await sent.put(Count(order.id, of_this.times + 1))

        @app.post("/orders", idempotent=True)
        async def place(order: Order) -> None:
            await orders.send(order)


def die(world):
    """The region's process ends, and another one begins with its disk."""
    life = world.nodes[EU].life
    life.set_trap(1, "kill", 0.0)
    life.port()


def lose(world):
    """The region is lost, until somebody heals it."""
    world.lose(EU)
    raise Killed


class Lines:
    """Watches the lines of a unit, and strikes at the `nth` time that the process of its region comes to one.

    `seen` says how often it came to each, by file and number.
    """

    def __init__(self, world, at=None, nth=0, strike=die, *, begun=False):
        self.seen = {}
        self.sprung = False
        self._world = world
        self._at = at
        self._nth = nth
        self._strike = strike
        self._begun = begun

    def __enter__(self):
        self._before = sys.gettrace()
        if not self.sprung:
            sys.settrace(self._called)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _called(self, frame, *_):
        self._begun = self._begun or frame.f_code is HANDED_OUT
        return self._reached if self._begun and frame.f_code.co_filename.startswith(SOURCES) else None

    def _reached(self, frame, event, _):
        if event == "line" and self._world.loop.current is self._world.nodes[EU].life:
            line = (frame.f_code.co_filename, frame.f_lineno)
            self.seen[line] = self.seen.get(line, 0) + 1
            if (line, self.seen[line]) == (self._at, self._nth):
                self.sprung = True
                self._strike(self._world)
        return self._reached


async def handled(world, order, *where):
    """Let an order be handled, whatever happens at some line of its unit; the lines that were come to."""
    with Lines(world, *where) as lines, suppress(ConnectionError, TimeoutError):
        answer = await world[EU].post("/orders", Order(order), key=order)
        assert answer.status == 204
    with lines:
        await world.settle()
    return lines


async def lines_of_a_unit(mode):
    """How often a unit comes to each line, and the lines that a process comes to without any unit."""
    async with World(Shop(mode).app) as world:
        await handled(world, "first")  # now all is known that a process learns but once
        lines = await handled(world, "second")
        with Lines(world, begun=True) as others:
            await asyncio.sleep(IDLE_S)
        return lines.seen, others.seen.keys()


def name(line, nth):
    """What the order is called in whose unit a process dies when it comes to a line the `nth` time."""
    file, number = line
    return f"{Path(file).relative_to(PROA) if file != __file__ else 'handler'}:{number}#{nth}"


async def die_at(mode, points, others):
    """Let a process die at each of these points, one after another, and look at what came of the messages."""
    shop = Shop(mode)
    async with World(shop.app) as world:
        for line, nth in points:
            lines = await handled(world, name(line, nth), line, nth)
            assert lines.sprung or line in others, f"no unit came to {name(line, nth)}"
        took_effect_once(world, shop, EU if mode == "any" else "witness", points)


async def lose_at(points):
    """Let a region be lost at each of these points; another one adopts its messages, and it returns with its disk."""
    shop = Shop("any", [EU, US])
    place, lost = shop.app.queues["orders"].place(EU), 0
    async with World(shop.app) as world:
        for line, nth in points:
            await world.until(lambda: (region := world.region(EU)) and region.authority.may_write_home(place), 120)
            await world.settle()
            with Lines(world, line, nth, lose) as lines, suppress(ConnectionError, TimeoutError):
                await world[EU].post("/orders", Order(name(line, nth)), key=name(line, nth), timeout_s=LOST_S)
                await asyncio.sleep(LOST_S)
            world.heal()
            lost += lines.sprung
        assert lost >= len(points) * 0.8  # with two regions a unit does not come to some lines, or later
        await world.settle(within_s=120)
        for region in (EU, US):
            took_effect_once(world, shop, region, points)


def took_effect_once(world, shop, where, points):
    """What was written, sent and paid for the messages of these points, by what `where` has on its disk."""
    names = sorted(name(*point) for point in points)
    once = {one: Count(one, 1) for one in names}
    assert world.table(where, "handled") == once | {"all": Count("all", len(names))}
    assert world.table(where, "sent") == once
    assert sorted(order for order, _ in set(shop.paid)) == names


def die_at_each(mode, parts):
    """Let a process die at each line of a unit that is one of these parts, or the handler's."""
    seen, others = simulated(lines_of_a_unit)(mode)
    sources = (__file__, *(str(PROA / part) for part in parts))
    lines = [line for line in seen if line[0].startswith(sources)]
    points = [(line, seen[line] if number % 2 else 1) for number, line in enumerate(lines)]
    for first in range(0, len(points), WORLD_POINTS):
        simulated(die_at)(mode, points[first : first + WORLD_POINTS], others)


def test_a_message_takes_effect_once_wherever_its_process_dies():
    die_at_each("any", PARTS)


def test_a_message_takes_effect_once_wherever_its_process_dies_that_commits_in_the_global_store():
    die_at_each("strong", DIFFERENT)


def test_a_message_takes_effect_once_wherever_its_region_is_lost():
    seen, _ = simulated(lines_of_a_unit)("any")
    simulated(lose_at)([(line, 1) for line in list(seen)[::LOST_AT_EVERY]])
