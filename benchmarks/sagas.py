"""What ten thousand waiting sagas cost a region in memory; and some of them go on when they are told to.

Each has done a step that writes a row, and waits for a signal, with a time-out a day away. The region runs alone in a
process of its own, on a real store; the memory is the most that the process had at any time, starting them included.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import msgspec

from alone import HERE, alone
from figures import Figure, at_most
from proa.app import App
from proa.core.queue import LAST
from proa.core.saga import STEPS
from proa.declare.http import Request
from proa.declare.sagas import Saga
from proa.ports import Span
from proa.runtime.region import Region
from processes import memory_mib, told_by

COUNT = 10_000
TOGETHER = 50
"""So many are started by one unit."""
TOLD = 100
DAY_S = 24 * 3600.0
LOOK_EVERY_S = 0.1


class Order(msgspec.Struct, frozen=True):
    id: str


class Numbers(msgspec.Struct, frozen=True):
    """Which sagas a request is about."""

    first: int
    behind: int


def run() -> list[Figure]:
    """The region with them, and its like without."""
    without, waiting = told_by(__file__, 0), told_by(__file__, COUNT)
    name = f"a region with {COUNT:,} sagas that wait: memory, at most"
    return [Figure(name, waiting, "MiB", "without them", without, at_most(200))]


def declared() -> App:
    """An app whose orders are reserved, paid some day, and shipped."""
    app = App("waiting", regions=[HERE])
    reserved, shipped = (app.table(name, Order, key="id") for name in ("reserved", "shipped"))

    @app.saga()
    async def checkout(saga: Saga, order: Order) -> None:
        await saga.step(reserved.put, order, name="reserve")
        await saga.wait("paid", int, timeout_s=DAY_S)
        await saga.step(shipped.put, order, name="ship")

    @app.post("/start")
    async def start(numbers: Numbers) -> None:
        for number in range(numbers.first, numbers.behind):
            await checkout.start(Order(str(number)), id=str(number))

    @app.post("/pay")
    async def pay(numbers: Numbers) -> None:
        for number in range(numbers.first, numbers.behind):
            await checkout.signal(str(number), "paid", number)

    return app


async def post(region: Region, path: str, first: int, behind: int) -> None:
    route, found = region.router.find("POST", path)
    body = msgspec.json.encode(Numbers(first, behind))
    answer = await region.invoker.invoke(route, Request("POST", path, "", {}, body), found)
    assert answer.status == 204, answer


async def until_rows(region: Region, table: str, number: int) -> None:
    """Wait until a table has so many rows."""
    while await region.store.count(Span(table, ("", ""), ("", LAST), 1)) < number:  # noqa: ASYNC110 - of many units
        await asyncio.sleep(LOOK_EVERY_S)


async def most_mib(count: int) -> float:
    """The most that this process had in memory, while so many sagas were started and waited."""
    async with alone(declared()) as (region, _):
        for first in range(0, count, TOGETHER):
            await post(region, "/start", first, first + TOGETHER)
        await until_rows(region, STEPS, 2 * count)  # the step that is done, and the wait that is not
        most = memory_mib(os.getpid(), "VmHWM")
        if count:
            await post(region, "/pay", 0, TOLD)
            await until_rows(region, "shipped", TOLD)
    return most


if __name__ == "__main__":
    print(json.dumps(asyncio.run(most_mib(int(sys.argv[1])))))
