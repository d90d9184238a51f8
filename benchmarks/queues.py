"""What queues cost: sending beside a plain write, consuming with exactly-once state, waking up, and dead letters.

The region runs alone in a process of its own, on a real store with real syncs; what is sent and consumed goes through
the handlers of an app, each in a unit.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from figures import Figure, at_least, at_most
from proa.app import App
from proa.core.policy.retry import Retry
from proa.core.roles import Assignment
from proa.declare.http import Request
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import Identity
from proa.errors import Rejected
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.events import MessageDead, MessageHandled
from proa.runtime.messages.dead import Wanted
from proa.runtime.region import Ports, Region
from schedules import NoLink

AT_ONCE = 64
UNITS = 6000
MESSAGES = 20_000
WAKES = 200
LETTERS = 20_000


class Order(msgspec.Struct, frozen=True):
    id: str
    qty: int = 1


class Bench:
    """An app with a plain route, one that sends, and a consumer that writes a row for each message."""

    def __init__(self) -> None:
        self.app = App("queues", regions=["here"])
        self.rejects = False
        done = self.app.table("done", Order, key="id")
        orders = self.app.table("orders", Order, key="id")
        queue = self.app.queue("mail", Order, retry=Retry(attempts=1))

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
        async def consume(order: Order) -> None:
            if self.rejects:
                raise Rejected(order.id)
            await done.put(order)


class Running:
    """A region of it, and what it told."""

    def __init__(self, bench: Bench, region: Region) -> None:
        self.bench = bench
        self.region = region
        self.handled: list[float] = []
        self.dead = 0

    def hear(self, event: msgspec.Struct) -> None:
        if isinstance(event, MessageHandled):
            self.handled.append(event.age_s)
        elif isinstance(event, MessageDead):
            self.dead += 1

    async def post(self, path: str, order: Order) -> None:
        route, found = self.region.router.find("POST", path)
        answer = await self.region.invoker.invoke(
            route, Request("POST", path, "", {}, msgspec.json.encode(order)), found
        )
        assert answer.status == 204, answer

    async def rate(self, path: str) -> float:
        """Units a second, so many under way at once."""
        numbers = iter(range(UNITS))
        began = time.perf_counter()

        async def client() -> None:
            for number in numbers:
                await self.post(path, Order(f"{path}-{number}"))

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
    plain, sends = await running.rate("/plain"), await running.rate("/sends")
    found["enqueue"] = sends / plain
    await running.pause("")
    await running.until(lambda: len(running.handled) == UNITS)
    await running.pause("filling")
    await running.fill(MESSAGES)
    running.handled.clear()
    began = time.perf_counter()
    await running.pause("")
    await running.until(lambda: len(running.handled) == MESSAGES)
    found["consumed"] = MESSAGES / (time.perf_counter() - began)
    running.handled.clear()
    for number in range(WAKES):
        await running.post("/many", Order(f"wake-{number}"))
        await asyncio.sleep(0.02)
    await running.until(lambda: len(running.handled) == WAKES)
    found["wake"] = sorted(running.handled)[int(WAKES * 0.99)] * 1000
    running.bench.rejects = True
    await running.fill(LETTERS)
    await running.until(lambda: running.dead == LETTERS)
    found |= await dead_letters(running)
    return found


async def dead_letters(running: Running) -> dict[str, float]:
    letters, running.bench.rejects = running.region.messages.dead, False
    (one, *_) = (await letters.page(Wanted("mail"))).letters
    began = time.perf_counter()
    await letters.page(Wanted("mail", error=one.fingerprint), limit=100)
    page_ms = (time.perf_counter() - began) * 1000
    await running.pause("sending back")
    began = time.perf_counter()
    job = letters.redrive(Wanted("mail"))
    await running.until(lambda: job.state != "running")
    assert (job.state, job.moved) == ("done", LETTERS), job
    return {"page": page_ms, "redrive": LETTERS / (time.perf_counter() - began)}


async def in_region(folder: Path, work: Callable[[Running], Awaitable[dict[str, float]]]) -> dict[str, float]:
    pool, clock, bench = ThreadPoolExecutor(1), SystemClock(), Bench()

    async def run_blocking(blocking: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, blocking)

    store = SqliteGlobalStore(folder / "global.db", clock, run_blocking, {})
    hub = Hub()
    region = Region(
        bench.app, "here", folder / "here", Ports(clock, SystemEntropy(), NoLink(), store, hub, run_blocking)
    )
    running = Running(bench, region)
    hub.subscribe(running.hear)
    await region.store.assume(Identity(1, "nonce"))
    await region.start()
    region.assume(Assignment(1, "active-active", {"here": "active"}), clock.monotonic() + 3600)
    await asyncio.sleep(0.5)
    found = await work(running)
    await region.stop()
    await store.close()
    pool.shutdown()
    return found


def run() -> list[Figure]:
    """Of a region in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    return [
        Figure("units that send a message, beside those that write a row", found["enqueue"], "x", bound=at_least(0.85)),
        Figure("messages consumed, a row and its end in one commit", found["consumed"], "/s", bound=at_least(5000)),
        Figure("an idle queue: from sent to handled, p99", found["wake"], "ms", bound=at_most(10)),
        Figure(f"a page of one error among {LETTERS:,} dead letters", found["page"], "ms", bound=at_most(100)),
        Figure("dead letters sent back", found["redrive"], "/s", bound=at_least(5000)),
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(in_region(Path(directory), measured))))
