"""What must hold when a region is lost. Each test is the whole system in virtual time; see `World` in Proa's guides."""

from app import app

from proa.simulation import World, simulated

EU, US = app.regions
ADA = {"name": "Ada", "email": "ada@example.org"}


@simulated
async def test_a_member_is_welcomed_once_though_the_region_that_answered_is_lost():
    async with World(app, seed=1) as world:
        signed_up = await world[EU].post("/members", ADA, key="ada")
        world.lose(EU)
        again = await world[US].post("/members", ADA, key="ada")
        assert (again.status, again.body) == (200, signed_up.body)
        await world.until(lambda: world.table(US, "mails"))
        world.heal()
        await world.settle()
        assert [list(world.table(region, "mails")) for region in app.regions] == [[again.json()["id"]]] * 2


@simulated
async def test_nobody_is_registered_without_a_mail_though_nothing_is_answered():
    async with World(app, seed=1) as world:
        world.network.lost_replies["witness"] = 0.5
        for number in range(10):
            await world.edge.post("/members", ADA, key=f"ada-{number}")
        world.heal()
        await world.settle()
        await world.until(lambda: world.table(US, "mails").keys() == world.table("witness", "members").keys())
