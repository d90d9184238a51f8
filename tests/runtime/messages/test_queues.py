"""Queues on real stores: a message takes effect once, with what its handler writes."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import msgspec

from proa import App
from proa.core.policy.retry import Retry
from proa.core.queue import OUTBOX
from proa.ports import Span
from proa.runtime.events import MessageDead, MessageHandled
from proa.runtime.messages.relay import FETCHED
from support.inproc import everybody, system, take, until

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
                take(region, everybody())
            await scenario(running, told)

    asyncio.run(main())


async def total(s, region="eu"):
    return msgspec.json.decode((await s.request(region, "GET", "/totals/all")).body, type=Total).count


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


@dataclass
class Stock:
    sku: str
    left: int


def shelf(told):
    app = App("shelf", regions=REGIONS)
    stock = app.table("stock", Stock, key="sku", mode="strong")
    sold = app.table("sold", Total, key="id")
    orders = app.queue("orders", Order)
    audit = app.queue("audit", Order)

    @orders.consumer()
    async def note(order: Order) -> None:
        await sold.put(Total(order.id, order.qty))
        told.of(order)

    @audit.consumer()
    async def write_down(order: Order) -> None:
        found = await stock.get("audited", Stock("audited", 0))
        await stock.put(Stock("audited", found.left + 1))
        told.of(order)

    @app.post("/take", idempotent=True)
    async def take(order: Order) -> str:
        found = await stock.get("a", Stock("a", 10))
        await stock.put(Stock("a", found.left - order.qty))
        await audit.send(order)
        return await orders.send(order)

    @app.get("/sold/{id}")
    async def read(id: str) -> Total:
        return await sold.get(id, Total(id))

    return app


def test_messages_of_a_global_unit_come_out_of_the_global_store_once(tmp_path):
    async def main():
        told = Told()
        async with system(shelf(told), tmp_path) as s:
            for region in s.regions.values():
                take(region, everybody())
            for number in range(5):
                for region in ("eu", "us"):
                    answer = await s.request(region, "POST", "/take", Order(str(number)), key=f"k{number}")
                    assert answer.status == 200

            async def handled():
                return len(handled_in(s)) == 10 and await outbox_is_empty(s)

            await until(handled)
            assert Counter(event.queue for event in handled_in(s)) == {"orders": 5, "audit": 5}
            (audited,) = await s.store.read([("stock", "audited")])
            assert msgspec.msgpack.decode(audited.value) == {"sku": "audited", "left": 5}

    asyncio.run(main())


def handled_in(s):
    return [event for event in s.events if isinstance(event, MessageHandled)]


async def outbox_is_empty(s):
    left = await s.store.query(Span(OUTBOX, ("", ""), ("", "~"), 100, now=2.0))
    marks = [await region.store.query(Span(FETCHED, ("", ""), ("", "~"), 100)) for region in s.regions.values()]
    return not left and not any(marks)
