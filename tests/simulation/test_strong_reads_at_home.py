"""A strong read of a row with a home shows every acknowledged write, whoever is asked, also while its home changes."""

import asyncio
from dataclasses import dataclass

import pytest

from proa import App, strong
from proa.simulation import World, simulated

REGIONS = ["eu", "us", "ap"]


@dataclass
class Score:
    id: str
    points: int = 0


app = App("club", regions=REGIONS, lease_s=2)
scores = app.table("scores", Score, key="id", mode="home")


@app.post("/scores/{id}", idempotent=True, acknowledge="peer")
async def add(id: str) -> int:
    points = (await scores.get(id, Score(id))).points + 1
    await scores.put(Score(id, points))
    return points


@app.get("/scores/{id}")
async def read(id: str) -> int:
    return (await scores.get(id, Score(id), level=strong)).points


class Readings:
    """What was acknowledged so far, and every read with what it had to show at least."""

    def __init__(self, world):
        self.world = world
        self.acknowledged = 0
        self.shown = []

    async def write(self, region, count):
        for number in range(count):
            reply = await self.world[region].post("/scores/ada", key=f"{region}-{number}")
            if reply.status == 200:
                self.acknowledged = max(self.acknowledged, reply.json())

    async def read(self, region, count):
        for _ in range(count):
            least = self.acknowledged
            reply = await self.world[region].get("/scores/ada")
            if reply.status == 200:
                self.shown.append((region, reply.json(), least))
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", range(3))
@simulated
async def test_no_strong_read_is_older_than_what_was_acknowledged_before_it_while_the_home_is_cut_off(seed):
    async with World(app, seed=seed) as world:
        readings = Readings(world)
        home = (await world["eu"].post("/scores/ada", key="first")).headers.get("proa-home")
        others = [region for region in REGIONS if region != home]
        clients = [asyncio.ensure_future(readings.read(region, 200)) for region in REGIONS]
        clients += [asyncio.ensure_future(readings.write(region, 60)) for region in REGIONS]
        await asyncio.sleep(2)
        world.partition(home, [*others, "witness"])
        await world.until(lambda: world.roles[home] == "down")
        await asyncio.sleep(4)
        world.mend(home, [*others, "witness"])
        await asyncio.gather(*clients)
        assert {region for region, _, least in readings.shown if least > 1} == set(REGIONS)
        assert [one for one in readings.shown if one[1] < one[2]] == []
