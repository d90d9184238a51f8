"""A region's identity over its lives: which of them its disk continues."""

import asyncio

from proa import App
from proa.simulation import World, simulated

EU, US = "eu", "us"


async def renewed(region):
    """What a region does when its late commits are set aside: another origin on the same disk."""
    await region.store.assume(region.store.identity.followed(await region.rejoining.register()))


@simulated
async def test_a_region_knows_since_when_its_disk_lost_nothing_until_the_disk_is_lost():
    async with World(App("shop", regions=[EU, US]), seed=4) as world:
        life = world.nodes[EU].life
        await life.run(lambda: life.spawn(renewed(world.region(EU))))
        world.kill(EU)
        world.start(EU)
        await asyncio.sleep(5)
        assert (world.region(EU).origin, world.region(EU).whole_since) == ("eu/2", 1)
        world.kill(EU)
        world.disk(EU).lose()
        world.start(EU)
        await asyncio.sleep(15)
        assert (world.region(EU).origin, world.region(EU).whole_since) == ("eu/3", 0)
