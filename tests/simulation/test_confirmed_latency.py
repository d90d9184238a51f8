"""How long a second region takes to confirm under steady load: about one round trip, whenever a request comes."""

import asyncio

import msgspec
import pytest

from proa import App
from proa.simulation import World, simulated

EU, US = "eu", "us"
WAY_S = 0.1
ROUND_TRIP_MAX_S = 2 * 1.5 * WAY_S
"""The delay of a message is drawn anew, up to half as much again; what follows on the way is not quicker."""
ROOM_S = 0.1
"""For the way without the delay, two syncs, and a pull that comes between."""
REQUESTS = 60


class Order(msgspec.Struct):
    id: str


def app():
    shop = App("shop", regions=[EU, US], acknowledge="peer")
    orders = shop.table("orders", Order, key="id")

    @shop.post("/orders", idempotent=True, timeout_s=2)
    async def create(order: Order) -> None:
        await orders.put(order)

    return shop


@simulated
async def waits(every_s):
    """How long each of many orders took, at a steady rate."""
    async with World(app(), seed=1) as world:
        await world.until(lambda: EU in world._situation.insync and US in world._situation.insync)
        world.slow(EU, US, WAY_S)
        await asyncio.sleep(2.0)

        async def order(number):
            await asyncio.sleep(number * every_s)
            began = world.now
            assert (await world[EU].post("/orders", {"id": f"{number}"}, key=f"{number}")).status == 204
            return world.now - began

        return await asyncio.gather(*map(order, range(REQUESTS)))


@pytest.mark.parametrize("every_s", [0.003, 0.017, 0.045])
def test_a_confirmation_takes_about_one_round_trip_however_dense_requests_are(every_s):
    assert max(waits(every_s)) < ROUND_TRIP_MAX_S + ROOM_S
