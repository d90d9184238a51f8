"""Queues on regions without processes: an app with one queue, and waiting for what comes of its messages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from proa import App
from proa.core.policy.retry import Retry
from proa.core.roles import Assignment, Cut
from proa.runtime.events import MessageDead, MessageHandled
from support.inproc import system

REGIONS = ["eu", "us"]
SOON = Retry(attempts=3, base_s=0.01, cap_s=0.02)


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Total:
    id: str
    count: int = 0


def everybody(epoch=1, lost=(), cuts=(), regions=REGIONS):
    """Roles by which every region that is not lost is active."""
    roles = {name: "down" if name in lost else "active" for name in regions}
    return Assignment(epoch, "active-active", roles, cuts=tuple(Cut(*cut) for cut in cuts))


def take(region, assignment):
    """Roles as the control plane hands them out."""
    region.assume(assignment, region.clock.monotonic() + 60)


def play(folder, app, story, *, idle=()):
    """Run a story on the app's regions; those that are `idle` get no role."""

    async def main():
        async with system(app, folder) as running:
            for name, region in running.regions.items():
                if name not in idle:
                    take(region, everybody(regions=app.regions))
            await story(running)

    asyncio.run(main())


async def until(true, timeout_s=10.0):
    """Wait for a condition of the regions."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)


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
