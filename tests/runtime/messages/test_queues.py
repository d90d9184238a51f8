"""Queues on real stores: a message takes effect once, with what its handler writes."""

import asyncio
from dataclasses import dataclass

import msgspec

from proa import App
from proa.core.policy.retry import Retry
from proa.core.roles import Assignment
from proa.runtime.events import MessageDead
from support.inproc import system

REGIONS = ["eu", "us"]


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Total:
    id: str
    count: int = 0


class Told:
    def __init__(self):
        self.bodies = []
        self.fails = {}

    def of(self, body):
        self.bodies.append(body.id)
        if error := self.fails.get(body.id):
            raise error


def shop(told, **options):
    app = App("shop", regions=REGIONS)
    totals = app.table("totals", Total, key="id")
    orders = app.queue("orders", Order, retry=Retry(attempts=3, base_s=0.01))

    @orders.consumer(**options)
    async def count(order: Order) -> None:
        total = await totals.get("all", Total("all"))
        await totals.put(Total("all", total.count + order.qty))
        told.of(order)

    @app.post("/orders", idempotent="optional")
    async def place(order: Order) -> str:
        return await orders.send(order)

    @app.get("/totals/{id}")
    async def read(id: str) -> Total:
        return await totals.get(id, Total(id))

    return app


def run(folder, scenario, **options):
    told = Told()

    async def main():
        async with system(shop(told, **options), folder) as running:
            for region in running.regions.values():
                region.assume(everybody(), region._ports.clock.monotonic() + 60)
            await scenario(running, told)

    asyncio.run(main())


def everybody(epoch=1):
    return Assignment(epoch, "active-active", dict.fromkeys(REGIONS, "active"))


async def total(s, region="eu"):
    return msgspec.json.decode((await s.request(region, "GET", "/totals/all")).body, type=Total).count


async def until(true):
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.01)


def test_a_sent_message_takes_effect_once(tmp_path):
    async def scenario(s, told):
        answer = await s.request("eu", "POST", "/orders", Order("a", 3))
        assert answer.status == 200

        async def counted():
            return (await total(s), await total(s, "us")) == (3, 3)

        await until(counted)
        assert told.bodies == ["a"]

    run(tmp_path, scenario)


def test_a_message_that_fails_is_tried_again_and_given_up_in_the_end(tmp_path):
    async def scenario(s, told):
        told.fails["bad"] = ValueError("no such sku 17")
        for one in ("bad", "a", "b"):
            await s.request("eu", "POST", "/orders", Order(one))

        async def dead():
            return any(isinstance(event, MessageDead) for event in s.events)

        await until(dead)
        assert await total(s) == 2
        assert sorted(told.bodies) == ["a", "b", "bad", "bad", "bad"]

    run(tmp_path, scenario)
