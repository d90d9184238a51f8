"""One invocation in process, without HTTP: routing, validation, idempotency and the stored order.

Proa's store is SQLite in memory, and each invocation commits a transaction of it; Powertools keeps its records in a
dictionary. Invocations come one after another, which is the costlier way for Proa: nothing shares a commit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from figures import Figure, medians, ratio_at_most
from proa.app import load_app
from proa.core.roles import Assignment
from proa.declare.http import Request
from proa.engines.sqlite.files import in_memory
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.observe.hub import Hub
from proa.ports import Identity
from proa.runtime.authority import Authority
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.freshness import Freshness
from proa.runtime.invoke import Invoker
from proa.runtime.levels import Levels
from proa.runtime.router import Router
from proa.runtime.session import Sessions

HERE = Path(__file__).parent
REGION = "eu-west-1"
INVOCATIONS = 1000
ROUNDS = 15


def run() -> list[Figure]:
    """Both, in turns."""
    sys.path.insert(0, str(HERE / "peers"))
    import powertools_handler

    numbers = iter(range(10**9))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        proa = runner.run(prepared())
        measured = medians(
            ROUNDS,
            lambda: runner.run(invocations_us(proa, numbers)),
            lambda: powertools_us(powertools_handler.invoke, numbers),
        )
        runner.run(proa.close())
    return [
        Figure(
            "one invocation in process",
            measured[0],
            "us",
            "Powertools: resolver, validation, idempotency",
            measured[1],
            ratio_at_most(1 / 3),
            "stores in memory",
        )
    ]


class InProcess(msgspec.Struct):
    """A region without a server."""

    router: Router
    invoker: Invoker
    store: SqliteRegionStore
    global_store: SqliteGlobalStore

    async def close(self) -> None:
        """Close both stores."""
        await self.store.close()
        await self.global_store.close()


async def prepared() -> InProcess:
    """The measured app's region, ready to serve."""
    app = load_app(str(HERE / "orders"))
    clock, entropy = SystemClock(), SystemEntropy()
    authority = Authority(REGION, clock)
    authority.assume(Assignment(1, "active-active", dict.fromkeys(app.regions, "active")), float("inf"))
    global_store = SqliteGlobalStore(in_memory("bench-global"), clock, inline)
    store = SqliteRegionStore(in_memory("bench-region"), REGION, clock, inline, permit=authority.permit)
    await store.assume(Identity(1, entropy.token()))
    stores, nobody = (store, global_store), None  # there are no peers, and nothing that is measured asks for one
    sessions = Sessions(REGION, stores, nobody, authority, nobody, clock)
    levels = Levels(stores, authority, Freshness(REGION, [], stores, nobody, clock, authority), sessions, clock)
    invoker = Invoker(app, REGION, stores, authority, clock, entropy, Hub(), levels)
    return InProcess(Router(app.routes), invoker, store, global_store)


def inline(blocking: Callable[[], None]) -> asyncio.Future[None]:
    """A commit to memory does not block, so it needs no thread."""
    done = asyncio.get_running_loop().create_future()
    blocking()
    done.set_result(None)
    return done


async def invocations_us(region: InProcess, numbers) -> float:
    """Microseconds of one invocation."""
    begin = time.perf_counter()
    for _ in range(INVOCATIONS):
        number = next(numbers)
        body = b'{"id": "order-%08d", "sku": "boat-7", "qty": 3}' % number
        headers = {"content-type": "application/json", "idempotency-key": f"key-{number:08d}"}
        route, path = region.router.find("POST", "/orders")
        answer = await region.invoker.invoke(route, Request("POST", "/orders", "", headers, body), path)
        assert answer.status == 200, answer
    return (time.perf_counter() - begin) / INVOCATIONS * 1e6


def powertools_us(invoke: Callable[[int], None], numbers) -> float:
    """Microseconds of one invocation."""
    begin = time.perf_counter()
    for _ in range(INVOCATIONS):
        invoke(next(numbers))
    return (time.perf_counter() - begin) / INVOCATIONS * 1e6
