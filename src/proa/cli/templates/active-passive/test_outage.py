"""What must hold when a region is lost. Each test is the whole system in virtual time; see `World` in Proa's guides."""

from app import app

from proa.simulation import World, simulated

EU, US, AP = app.regions
BROKEN = {"text": "the oar is broken"}


def taken_over(world: World) -> bool:
    """Whether another region acts by now."""
    return "active" in (world.roles[US], world.roles[AP])


@simulated
async def test_a_standby_takes_over_by_itself_and_has_every_ticket():
    async with World(app, seed=1) as world:
        opened = await world.edge.post("/tickets", BROKEN, key="ada")
        world.lose(EU)
        await world.until(lambda: taken_over(world))
        again = await world.edge.post("/tickets", BROKEN, key="ada")
        closed = await world.edge.post(f"/tickets/{opened.json()['id']}/close", key="close-it")
        assert [opened.status, again.status, closed.status] == [200, 200, 200]
        assert again.body == opened.body


@simulated
async def test_a_region_that_comes_back_stands_by_with_the_same_tickets():
    async with World(app, seed=1) as world:
        world.lose(EU)
        await world.until(lambda: taken_over(world))
        await world.edge.post("/tickets", BROKEN, key="ada")
        world.heal(EU)
        await world.until(lambda: world.roles[EU] == "standby")
        await world.settle()
        held = [world.table(region, "tickets") for region in app.regions]
        assert [len(rows) for rows in held] == [1, 1, 1]
        assert held[0] == held[1] == held[2]
