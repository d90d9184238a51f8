"""A disk that cannot be put right: what the guide has a person do makes the region whole again."""

import asyncio
from dataclasses import dataclass

import pytest

from proa import App, Objectives
from proa.simulation import World, simulated

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
RETENTION = {"journal_retention_s": 1.0, "journal_retention_max_s": 3.0}


@dataclass
class Note:
    id: str
    text: str = ""


def passive():
    roles = {"topology": "active-passive", "failover": "approval", "lease_s": 2}
    app = App("shop", regions=[EU, US, AP], objectives=Objectives(rto_s=5, rpo_s=1), **roles, **RETENTION)
    notes = app.table("notes", Note, key="id")

    @app.put("/notes/{id}")
    async def write(id: str, note: Note) -> None:
        await notes.put(note)

    return app


def texts(world, region):
    return {key: note.text for key, note in world.table(region, "notes").items()}


async def spoilt(world):
    """EU and US are lost with a commit that AP never had, and that EU had compacted; then they come back."""
    await world.settle()
    world.partition(AP, [EU, US])
    assert (await world[EU].put("/notes/1", Note("1", "lost"))).status == 204
    await asyncio.sleep(1)  # US has it, and has told so
    world.lose(US)
    await asyncio.sleep(RETENTION["journal_retention_max_s"])
    assert (await world[EU].put("/notes/3", Note("3", "lost"))).status == 204  # by its stamp the first is old
    await world.until(world.region(EU).store.floors)
    world.lose(EU)
    await world.until(lambda: world.plan and world.plan.step == "gate")
    await world.approve(accept_lost=10)
    await world.until(lambda: world.roles[AP] == "active")
    assert (await world.edge.put("/notes/2", Note("2", "after"))).status == 204
    for region in (US, AP, EU):
        world.heal(region)
    await world.until(lambda: (eu := world.region(EU)) and eu.readiness.spoilt)


@simulated
async def test_a_region_that_cannot_set_late_commits_aside_serves_nobody_until_a_person_empties_its_disk():
    async with World(passive(), seed=7) as world:
        await spoilt(world)
        before = world.region(EU).origin
        with pytest.raises(AssertionError):
            await world.settle(20)
        assert (world.region(EU).health().ready, world.region(EU).health().failing) == (False, ("store",))
        world.replace_disk(EU)
        await world.settle()
        assert (world.region(EU).readiness.spoilt, world.region(EU).health().ready) == ("", True)
        assert world.region(EU).origin != before
        assert [texts(world, region) for region in (EU, US, AP)] == [{"2": "after"}] * 3


@simulated
async def test_what_the_emptied_disk_had_acknowledged_is_listed_by_the_region_that_had_it_too():
    async with World(passive(), seed=7) as world:
        await spoilt(world)
        world.replace_disk(EU)
        await world.settle()
        parked = await world.region(US).store.parked()
        assert [(one.dot, [write.key for write in one.commit.writes]) for one in parked] == [
            ((f"{EU}/1", 1), ["1"]),
            ((f"{EU}/1", 2), ["3"]),
        ]
