"""Faults that last, in virtual time: a partition of an hour, and a clock that is an hour off."""

import asyncio
from dataclasses import dataclass

from proa import App
from proa.simulation import World, simulated

EU, US = "eu-west-1", "us-east-1"


@dataclass
class Note:
    id: str


def notebook(lease_s=2):
    app = App("notebook", regions=[EU, US], lease_s=lease_s)
    notes = app.table("notes", Note, key="id")

    @app.put("/notes/{id}")
    async def write(id: str, note: Note) -> None:
        await notes.put(note)

    return app


@simulated
async def test_both_sides_of_a_partition_of_an_hour_go_on_and_are_one_again_soon_after():
    # An hour of looking and beating as seldom as a lease of ten seconds asks for.
    async with World(notebook(lease_s=10), seed=7, probe_every_s=5, beat_every_s=5) as world:
        world.partition(EU, [US])
        for minute in range(60):
            await asyncio.sleep(60)
            for region in (EU, US):
                name = f"{region}-{minute}"
                assert (await world[region].put(f"/notes/{name}", Note(name))).status == 204
        assert len(world.table(EU, "notes")) == len(world.table(US, "notes")) == 60
        world.heal()
        healed = world.now
        await world.settle()
        assert len(world.table(EU, "notes")) == len(world.table(US, "notes")) == 120
        assert world.now - healed < 30


@simulated
async def test_a_region_whose_clock_is_an_hour_off_refuses_its_own_writes_until_it_is_right_again():
    async with World(notebook(), seed=7) as world:
        world.jump(EU, 3600)
        await world.until(lambda: world.region(EU).health().status != "pass", 30)
        refused = await world[EU].put("/notes/1", Note("1"))
        assert (refused.status, refused.json()["code"]) == (503, "PROA-R003")
        assert (await world[US].put("/notes/2", Note("2"))).status == 204
        world.jump(EU, -3600)
        await world.until(lambda: world.region(EU).health().status == "pass", 30)
        assert (await world[EU].put("/notes/3", Note("3"))).status == 204
        await world.settle()
        assert sorted(world.table(US, "notes")) == ["2", "3"]
