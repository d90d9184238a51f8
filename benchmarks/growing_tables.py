"""Durable units per second where a table has a million rows, beside one with ten thousand.

Each unit reads a random row, writes it, records its outcome under a key and is answered when a sync is over, with many
at once as in a server. The table has an index. Both stores are on real files, and measured in turns.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import msgspec
import uvloop

import large_tables
from figures import Figure, medians, ratio_at_least
from large_tables import REGION, Order, key_of, orders, sku_of
from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Write
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Committed, Identity
from proa.runtime.clock import SystemClock, SystemEntropy

FEW, MANY = 10_000, 1_000_000
ROWS_PER_COMMIT = 5
COMMITS_AT_ONCE = 500
CLIENTS = 64
SECONDS = 2.0
ROUNDS = 9


def run() -> list[Figure]:
    """Fill both stores, then load them in turns."""
    with (
        tempfile.TemporaryDirectory(prefix="proa-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ThreadPoolExecutor(4) as threads,
    ):
        few, many = (runner.run(filled(Path(folder) / f"{rows}.db", rows, threads)) for rows in (FEW, MANY))
        many_a_second, few_a_second = medians(
            ROUNDS, lambda: runner.run(units_a_second(many, MANY)), lambda: runner.run(units_a_second(few, FEW))
        )
        for store in (few, many):
            runner.run(store.close())
    name = f"durable units on a table of {MANY:,} rows"
    return [Figure(name, many_a_second, "/s", f"of {FEW:,} rows", few_a_second, ratio_at_least(0.8))]


async def filled(path: Path, rows: int, threads: ThreadPoolExecutor) -> SqliteRegionStore:
    """A store with so many rows, written by units of a few each."""

    def run_blocking(work):
        return asyncio.get_running_loop().run_in_executor(threads, work)

    schemas = large_tables.app.schemas(strong=False)
    store = SqliteRegionStore(path, REGION, SystemClock(), run_blocking, schemas=schemas)
    await store.assume(Identity(1, "bench"))
    encode = msgspec.msgpack.encode
    stretch = ROWS_PER_COMMIT * COMMITS_AT_ONCE
    for begin in range(0, rows, stretch):
        writes = [
            Write("orders", key_of(n), encode(Order(key_of(n), sku_of(n)))) for n in range(begin, begin + stretch)
        ]
        parts = [writes[at : at + ROWS_PER_COMMIT] for at in range(0, stretch, ROWS_PER_COMMIT)]
        await asyncio.gather(*(store.commit(Batch(f"{begin}-{n}", {}, part)) for n, part in enumerate(parts)))
    return store


async def units_a_second(store: SqliteRegionStore, rows: int) -> float:
    """How many units a second are answered."""
    begin = time.perf_counter()
    done = await asyncio.gather(*(client(store, rows, begin + SECONDS) for _ in range(CLIENTS)))
    return sum(done) / (time.perf_counter() - begin)


ENTROPY = SystemEntropy()
NUMBERS = count()


async def client(store: SqliteRegionStore, rows: int, until: float) -> int:
    """One unit after the other; how many were committed."""
    committed = 0
    while time.perf_counter() < until:
        committed += isinstance(await one_unit(store, key_of(random.randrange(rows))), Committed)
    return committed


async def one_unit(store: SqliteRegionStore, key: str):
    """Read a row and write it with one more."""
    unit, now = f"{next(NUMBERS):032x}", time.time()
    (row,) = await store.read([(orders.name, key)])
    order = orders.decode(row.value)
    value = msgspec.msgpack.encode(Order(order.id, order.sku, order.qty + 1))
    outcome = Outcome("POST /orders", ENTROPY.token(), b"digest", 200, [], b"{}", unit, REGION, now + 86_400)
    return await store.commit(Batch(unit, {(orders.name, key): row.version}, [Write(orders.name, key, value)], outcome))
