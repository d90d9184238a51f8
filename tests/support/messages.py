"""Queues on regions without processes: an app with one queue, and waiting for what comes of its messages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from proa import App
from proa.core.policy.retry import Retry
from proa.runtime.events import MessageDead, MessageHandled
from support.inproc import REGIONS, everybody, system, take

SOON = Retry(attempts=3, base_s=0.01, cap_s=0.02)


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Total:
    id: str
    count: int = 0


def play(folder, app, story, *, idle=()):
    """Run a story on the app's regions; those that are `idle` get no role."""

    async def main():
        async with system(app, folder) as running:
            for name, region in running.regions.items():
                if name not in idle:
                    take(region, everybody(regions=app.regions))
            await story(running)

    asyncio.run(main())


def handled(s):
    return [event.message for event in s.events if isinstance(event, MessageHandled)]


def dead(s):
    return [event for event in s.events if isinstance(event, MessageDead)]


async def send(s, region, *ids, **more):
    """Send an order for each of these; the messages' ids."""
    sent = []
    for one in ids:
        answer = await s.request(region, "POST", "/orders", {"id": one, **more})
        assert answer.status == 200, answer.body
        sent.append(msgspec.json.decode(answer.body))
    return sent


def shop(handler=None, *, queue=None, consumer=None, regions=REGIONS, send_options=None):
    """An app with a queue of orders and a route that sends them. `handler(orders, totals)` makes the consumer."""
    app = App("shop", regions=regions)
    totals = app.table("totals", Total, key="id")
    orders = app.queue("orders", Order, **({"retry": SOON} | (queue or {})))
    if handler:
        orders.consumer(**(consumer or {}))(handler(totals))

    @app.post("/orders")
    async def place(order: Order) -> str:
        return await orders.send(order, **(send_options(order) if send_options else {}))

    @app.get("/totals/{id}")
    async def read(id: str) -> Total:
        return await totals.get(id, Total(id))

    return app


async def count(s, id="all", region="eu"):
    answer = await s.request(region, "GET", f"/totals/{id}")
    return msgspec.json.decode(answer.body, type=Total).count
