"""What queues cost: sending beside a plain write, and waking up.

The region runs alone in a process of its own, on a real store with real syncs; what is sent and consumed goes through
the handlers of an app, each in a unit.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from alone import HERE, alone
from figures import Figure, at_least, at_most
from proa.app import App
from proa.declare.http import Request
from proa.declare.queues import Message
from proa.runtime.events import MessageHandled
from proa.runtime.region import Region
from processes import told_by

AT_ONCE = 64
UNITS = 1500
ROUNDS = 15
WAKES = 200
T = TypeVar("T")


class Order(msgspec.Struct, frozen=True):
    id: str
    qty: int = 1


class Bench:
    """An app with a plain route, one that sends, and a consumer that writes a row for each message."""

    def __init__(self) -> None:
        self.app = App("queues", regions=[HERE])
        self.woken: list[float] = []
        done = self.app.table("done", Order, key="id")
        orders = self.app.table("orders", Order, key="id")
        queue = self.app.queue("mail", Order)

        @self.app.post("/plain")
        async def plain(order: Order) -> None:
            await orders.put(order)

        @self.app.post("/sends")
        async def sends(order: Order) -> None:
            await queue.send(order)

        @self.app.post("/many")
        async def many(order: Order) -> None:
            for number in range(order.qty):
                await queue.send(Order(f"{order.id}-{number}"))

        @queue.consumer(concurrency=AT_ONCE)
        async def consume(message: Message[Order]) -> None:
            self.woken.append(time.time() - message.sent_at)
            await done.put(message.body)


class Running:
    """A region of it, and what it told."""

    def __init__(self, bench: Bench, region: Region) -> None:
        self.bench = bench
        self.region = region
        self.handled: list[float] = []

    def hear(self, event: msgspec.Struct) -> None:
        if isinstance(event, MessageHandled):
            self.handled.append(event.age_s)

    async def post(self, path: str, order: Order) -> None:
        route, found = self.region.router.find("POST", path)
        answer = await self.region.invoker.invoke(
            route, Request("POST", path, "", {}, msgspec.json.encode(order)), found
        )
        assert answer.status == 204, answer

    async def rate(self, path: str, round_: int) -> float:
        """Units a second, so many under way at once."""
        numbers = iter(range(UNITS))
        began = time.perf_counter()

        async def client() -> None:
            for number in numbers:
                await self.post(path, Order(f"{path}-{round_}-{number}"))

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return UNITS / (time.perf_counter() - began)

    async def pause(self, why: str) -> None:
        await self.region.messages.pause("mail", why, "bench")
        await self.until(lambda: bool(self.region.messages.intakes["mail"].paused) == bool(why))

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():  # noqa: ASYNC110 - what it waits for is counted by events of many units
            await asyncio.sleep(0.005)

    async def fill(self, count: int) -> None:
        for number in range(0, count, 200):
            await self.post("/many", Order(f"many-{number}-{time.perf_counter_ns()}", 200))


async def measured(running: Running) -> dict[str, float]:
    found: dict[str, float] = {}
    await running.pause("measuring what is sent")
    rounds = [(await running.rate("/plain", number), await running.rate("/sends", number)) for number in range(ROUNDS)]
    found["enqueue"] = statistics.median(sends / plain for plain, sends in rounds)
    await running.pause("")
    await running.until(lambda: len(running.handled) == ROUNDS * UNITS)
    running.handled.clear()
    running.bench.woken.clear()
    for number in range(WAKES):
        await running.post("/many", Order(f"wake-{number}"))
        await asyncio.sleep(0.02)
    await running.until(lambda: len(running.handled) == WAKES)
    found["wake"], found["handled"] = (p99_ms(ages) for ages in (running.bench.woken, running.handled))
    return found


def p99_ms(ages: list[float]) -> float:
    return sorted(ages)[int(len(ages) * 0.99)] * 1000


async def in_region(work: Callable[[Running], Awaitable[T]]) -> T:
    """What `work` finds out about a region of this process."""
    bench = Bench()
    async with alone(bench.app) as (region, hub):
        running = Running(bench, region)
        hub.subscribe(running.hear)
        return await work(running)


def run() -> list[Figure]:
    """Of a region in a process of its own."""
    found = told_by(__file__)
    return [
        Figure("units that send a message, beside those that write a row", found["enqueue"], "x", bound=at_least(0.85)),
        Figure("idle queue: from the send to the consumer's first line, p99", found["wake"], "ms", bound=at_most(10)),
        Figure("idle queue: from the send to the consumer's commit, p99", found["handled"], "ms"),
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(in_region(measured))))
