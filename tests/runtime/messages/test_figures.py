"""The figures of queues, where a scrape finds them."""

import asyncio
from dataclasses import dataclass

from proa import App
from support.inproc import everybody, system, take, until


@dataclass
class Order:
    id: str


def test_a_scrape_finds_how_much_waits_in_each_queue(tmp_path):
    app = App("shop", regions=["eu", "us"])
    orders = app.queue("orders", Order)

    @orders.consumer()
    async def ship(order: Order) -> None:
        """Nothing is left to do."""

    @app.post("/orders")
    async def place(order: Order) -> None:
        await orders.send(order)

    async def main():
        async with system(app, tmp_path) as s:
            for region in s.regions.values():
                take(region, everybody())
            await s["eu"].messages.pause("orders", "for a while", "anna")
            await until(lambda: s["eu"].messages.intakes["orders"].paused)
            for one in ("a", "b"):
                await s.request("eu", "POST", "/orders", {"id": one})
            await until(lambda: s["eu"].messages.depth("orders", "eu") == 2)
            text = s["eu"].gateway.page("/_proa/metrics").body.decode()
            assert 'proa_queue_depth{region="eu",queue="orders",home="eu"} 2' in text.splitlines()
            assert 'proa_queue_in_flight{region="eu",queue="orders",home="eu"} 0' in text.splitlines()
            assert "# TYPE proa_queue_age_seconds gauge" in text

    asyncio.run(main())
