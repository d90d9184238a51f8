"""Both disks of two regions are lost: what a person may do about the sets of their earlier lives."""

import asyncio
from dataclasses import dataclass

import pytest

from proa import App
from proa.control.audit import read_log
from proa.control.releases import Releases, Wish
from proa.errors import ApprovalRefused, NotFound, PlanRefused, UnsafePlan
from proa.simulation import World, simulated

EU, US = "eu", "us"
ADA, GRACE = "ada", "grace"
YES = Wish("both disks burnt", accept_loss=True)


@dataclass
class Order:
    id: str


def app():
    shop = App("shop", regions=[EU, US], acknowledge="peer")
    orders = shop.table("orders", Order, key="id")

    @shop.post("/orders", idempotent=True, timeout_s=2)
    async def create(order: Order) -> None:
        await orders.put(order)

    return shop


class Story:
    """A world in which what people ask is asked of one region's desk."""

    def __init__(self, world):
        self.world = world

    async def ask(self, work):
        life = self.world.nodes[EU].life
        return await life.run(lambda: life.spawn(work(Releases(life.running.shared))))

    async def status(self, region):
        """What a new order is answered with."""
        name = f"{self.world.now}"
        return (await self.world[region].post("/orders", {"id": name}, key=name)).status

    async def together(self):
        """Each region confirms the other."""
        await self.world.until(lambda: {EU, US} <= self.world._situation.insync.keys(), 30)
        await asyncio.sleep(1.0)

    async def lose(self, *regions):
        for region in regions:
            self.world.kill(region)
            self.world.disk(region).lose()
        for region in regions:
            self.world.start(region)
        await asyncio.sleep(20)


def told(play):
    @simulated
    async def tell():
        async with World(app(), seed=4) as world:
            story = Story(world)
            await story.together()
            await play(story)

    tell()


def test_after_the_loss_of_both_disks_a_release_lets_units_be_confirmed_again():
    async def play(story):
        await story.lose(EU, US)
        assert [await story.status(region) for region in (EU, US)] == [503, 503]
        for region in (EU, US):
            shown = await story.ask(lambda desk, region=region: desk.request(ADA, region, YES))
            assert (shown["gone"], shown["asked_by"]) == ((f"{US if region == EU else EU}/1",), ADA)
            await story.ask(lambda desk, region=region: desk.approve(GRACE, region))
        await asyncio.sleep(5)
        assert [await story.status(region) for region in (EU, US)] == [204, 204]

    told(play)


def test_who_asked_what_was_given_up_and_who_approved_is_in_the_audit_log():
    async def play(story):
        await story.lose(EU, US)
        await story.ask(lambda desk: desk.request(ADA, EU, YES))
        await story.ask(lambda desk: desk.approve(GRACE, EU))
        entries, _ = await story.ask(lambda desk: read_log(desk._parts.store))
        said = [(one.entry.by, one.entry.action) for one in entries if "in-sync" in one.entry.action]
        assert said == [(ADA, "release of an in-sync set asked for"), (GRACE, "in-sync set released")]
        [detail] = [one.entry.detail for one in entries if one.entry.by == GRACE]
        assert detail == {"region": EU, "origin": "eu/1", "members": "us/1", "why": "both disks burnt"}

    told(play)


def test_the_loss_is_accepted_explicitly_and_by_two_people():
    async def play(story):
        await story.lose(EU, US)
        with pytest.raises(UnsafePlan, match="what only us/1 had of eu/1 would be lost"):
            await story.ask(lambda desk: desk.request(ADA, EU, Wish()))
        with pytest.raises(NotFound, match="nobody has asked"):
            await story.ask(lambda desk: desk.approve(GRACE, EU))
        await story.ask(lambda desk: desk.request(ADA, EU, YES))
        with pytest.raises(ApprovalRefused, match="a second person"):
            await story.ask(lambda desk: desk.approve(ADA, EU))
        assert await story.status(EU) == 503

    told(play)


def test_a_set_is_not_released_while_somebody_may_still_tell_what_it_had():
    async def play(story):
        with pytest.raises(PlanRefused, match="the present life of eu"):
            await story.ask(lambda desk: desk.request(ADA, EU, YES))
        await story.lose(US)
        assert [await story.status(region) for region in (EU, US)] == [204, 204]
        with pytest.raises(PlanRefused):
            await story.ask(lambda desk: desk.request(ADA, US, YES))

    told(play)


def test_a_release_holds_for_the_set_that_was_asked_about():
    async def play(story):
        await story.lose(EU, US)
        await story.ask(lambda desk: desk.request(ADA, EU, YES))
        await story.ask(lambda desk: desk.approve(GRACE, EU))
        await asyncio.sleep(5)
        with pytest.raises(NotFound):
            await story.ask(lambda desk: desk.approve(GRACE, EU))
        with pytest.raises(PlanRefused, match="the present life of eu"):
            await story.ask(lambda desk: desk.request(ADA, EU, YES))

    told(play)
