"""What a second region confirmed stands after the loss of the first one, in worlds where everything else fails too.

Each story is told twice: as it is, nothing that was acknowledged is lost; with a bug planted, something is.
"""

import asyncio
from contextlib import ExitStack
from unittest.mock import patch

import msgspec
import pytest

from proa import App, Objectives
from proa.control.insync import Keeper
from proa.core import gate, insync
from proa.core.insync import Group
from proa.core.replicate.stamp import region_of
from proa.runtime.confirm import Confirmations
from proa.runtime.replicator import Replicator
from proa.simulation import World, simulated

EU, US, AP = "eu", "us", "ap"


class Order(msgspec.Struct):
    id: str


def app():
    shop = App(
        "shop",
        regions=[EU, US, AP],
        topology="active-passive",
        failover="automatic",
        acknowledge="peer",
        lease_s=8,
        objectives=Objectives(rpo_s=0),
    )
    orders = shop.table("orders", Order, key="id")

    @shop.post("/orders", idempotent=True, timeout_s=2)
    async def create(order: Order) -> Order:
        await orders.put(order)
        return order

    return shop


class Story:
    """A world, and what its clients were told."""

    def __init__(self, world):
        self.world = world
        self.told = []

    def members(self):
        """The set as the global store has it."""
        insured = self.world._situation.insync.get(EU)
        return tuple(region_of(member) for member in insured.row.members) if insured else ()

    async def until_members(self, *names):
        await self.world.until(lambda: self.members() == names, 30)
        await asyncio.sleep(0.5)  # the region has heard of it, too

    async def write(self, count=5):
        """Orders, straight at the region, for as long as it answers."""
        for number in range(count):
            name = f"{len(self.told)}-{number}"
            try:
                answer = await self.world[EU].post("/orders", {"id": name}, key=name)
            except OSError:
                return
            if answer.status == 200:
                self.told.append(name)

    async def over(self):
        """Everything is healed; how many of the acknowledged orders some region lacks."""
        self.world.heal()
        await self.world.settle()
        held = [set(self.world.table(region, "orders")) for region in (EU, US, AP)]
        return [name for name in self.told if not all(name in rows for rows in held)]

    async def fails_over(self, within_s):
        """Whether the active role moves by itself."""
        try:
            await self.world.until(lambda: self.world.roles[EU] != "active" and not self.world.plan.open, within_s)
        except AssertionError:
            return False
        return True


# The stories.


async def lost_with_its_disk(story):
    """The region and its disk are gone in the middle of its work."""
    await story.until_members(AP, US)
    world = story.world
    writing = asyncio.ensure_future(story.write(40))
    await asyncio.sleep(1.5)
    world.lose(EU)
    world.disk(EU).lose()
    await writing
    assert await story.fails_over(30)
    assert world.plan.unheard == ()
    assert len(story.told) > 5


async def replies_lost(story):
    """Members go on asking, and nothing reaches them; then the region is lost."""
    await story.until_members(AP, US)
    world = story.world
    world.partition(EU, [US, AP], one_way=True)
    await story.write()
    world.lose(EU)
    world.disk(EU).lose()
    await story.fails_over(30)


async def doubled_while_cut_off(story):
    """Nobody confirms a request that is sent twice at once; then the region is lost."""
    await story.until_members(AP, US)
    world = story.world
    world.partition(EU, [US, AP])
    answers = await asyncio.gather(*(world[EU].post("/orders", {"id": "one"}, key="one") for _ in range(2)))
    story.told += ["one" for answer in answers if answer.status == 200]
    world.lose(EU)
    world.disk(EU).lose()
    await story.fails_over(30)


async def the_one_that_confirmed_is_silent(story):
    """One member is slow; the other one confirms alone, and cannot be heard when the region is lost."""
    await story.until_members(AP, US)
    world = story.world
    world.slow(EU, AP, 0.9)
    await story.write(3)
    world.lose(EU)
    world.partition(US, "witness")
    world.partition(US, AP)
    world.disk(EU).lose()
    assert not await story.fails_over(20)
    world.mend(US, "witness")
    world.mend(US, AP)


async def another_life_of_the_one_that_confirmed(story):
    """One member is slow; the other one confirms alone, and loses its disk when the region is out of reach."""
    await story.until_members(AP, US)
    world = story.world
    world.slow(EU, AP, 0.9)
    await story.write(3)
    world.partition(EU, ["witness", US, AP, "edge"])
    world.kill(US)
    world.disk(US).lose()
    world.start(US)
    assert not await story.fails_over(30)


async def put_back(story):
    """One member is slow; the disk of the other one is put back to before it confirmed, and then the region is gone."""
    await story.until_members(AP, US)
    world = story.world
    world.slow(EU, AP, 0.9)
    world.disk(US).snapshot()
    await story.write(3)
    world.kill(US)
    world.disk(US).restore()
    world.start(US)
    await asyncio.sleep(0.15)  # it has asked how far it was, and not yet for what it lacks
    world.lose(EU)
    assert not await story.fails_over(30)


async def joining_untold(story):
    """A peer is to join, and whether the store took that is never heard: it did not. Then only that peer is quick."""
    await story.until_members(AP, US)
    world = story.world
    world.partition(AP, EU)
    await story.until_members(US)
    world.partition(EU, "witness", one_way=True)
    world.mend(AP, EU)
    await asyncio.sleep(4.0)
    world.slow(EU, US, 0.9)
    await story.write(3)
    world.lose(EU)
    world.partition(AP, ["witness", US])
    world.disk(EU).lose()
    await story.fails_over(30)


# The bugs.


def handed_out_is_confirmed(confirming):
    """Counts what is handed to members, as if they had it already."""
    group, own = confirming.group, confirming.own()
    for member in group.counted:
        if member not in group.peers:
            continue
        given = {**group.peers[member].cursors, **own}
        group = insync.heard(group, member, given, group.peers[member].epoch, own, confirming._clock.monotonic())
    confirming.take(group)
    return False


def in_the_present_life(s, plan):
    """Asks the regions of the members, whatever lives they have now."""
    regions = [region_of(member) for member in MEMBERS(s, plan)]
    return tuple(s.nodes[region].node.origin for region in regions if region in s.nodes)


def taken_for_done(keeper, _error):
    """A change whose reply was lost is taken for made."""
    group = keeper._confirming.group
    keeper._confirming.take(msgspec.structs.replace(group, row=group.proposed, proposed=None))


async def not_awaited(*_):
    """The repeat of a key is answered from the record at once."""
    return 0.0


async def nothing_forgotten(*_):
    """A disk is taken for what it was, as long as its own sequence shows no gap."""
    return False


MEMBERS = gate.members
EVERYBODY = property(lambda group: tuple(sorted(group.peers)))

STORIES = [
    (lost_with_its_disk, []),
    (replies_lost, [(Confirmations, "awaited", handed_out_is_confirmed)]),
    (doubled_while_cut_off, [(Confirmations, "standing", not_awaited)]),
    (the_one_that_confirmed_is_silent, [(gate, "members", lambda *_: ())]),
    (another_life_of_the_one_that_confirmed, [(gate, "members", in_the_present_life)]),
    (put_back, [(Replicator, "forgotten", nothing_forgotten)]),
    (joining_untold, [(Keeper, "_unanswered", taken_for_done)]),
    (joining_untold, [(Group, "counted", EVERYBODY)]),
]


def lost(story, bug=()):
    @simulated
    async def tell():
        async with World(app(), seed=3, hold_down_s=2) as world:
            told = Story(world)
            try:
                await story(told)
            except AssertionError:
                if not bug:
                    raise
            return await told.over()

    with ExitStack() as stack:
        for piece in bug:
            stack.enter_context(patch.object(*piece))
        return tell()


@pytest.mark.parametrize("story", dict.fromkeys(story for story, _ in STORIES), ids=lambda story: story.__name__)
def test_nothing_that_was_acknowledged_is_lost(story):
    assert lost(story) == []


@pytest.mark.parametrize(("story", "bug"), STORIES[1:], ids=lambda case: getattr(case, "__name__", ""))
def test_a_planted_bug_loses_something(story, bug):
    assert lost(story, bug) != []
