"""What must hold when a region is lost. Each test is the whole system in virtual time; see `World` in Proa's guides."""

import asyncio

from app import Cart, app

from proa.simulation import World, simulated

EU, US = app.regions


@simulated
async def test_the_last_piece_is_sold_once_though_its_region_is_lost():
    async with World(app, seed=1) as world:
        await world.edge.put("/stock/boat?left=1")
        sold = await world[EU].post("/orders", {"sku": "boat"}, key="ada")
        world.lose(EU)
        again = await world[US].post("/orders", {"sku": "boat"}, key="ada")
        other = await world[US].post("/orders", {"sku": "boat"}, key="bob")
        assert [sold.status, again.status, other.status] == [200, 200, 409]
        assert again.body == sold.body


@simulated
async def test_carts_go_on_where_regions_are_cut_off_and_are_the_same_afterwards():
    async with World(app, seed=1) as world:
        world.partition(EU, US)
        await world[EU].put("/carts/ada", ["boat"])
        await asyncio.sleep(1)
        await world[US].put("/carts/ada", ["boat", "oar"])
        world.heal()
        await world.settle()
        later = {"ada": Cart("ada", ["boat", "oar"])}
        assert [world.table(region, "carts") for region in app.regions] == [later, later]
