"""Reads of a table with a million rows, on a real file: by key beside bare SQLite, and a page of an index.

Reads run inside a unit of work, as a handler's do: the key is encoded, the row remembered with its version, its bytes
become a value of the declared type. The bare read is SQLite's own, from a copy of the file, and keeps the bytes as they
are.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

from figures import Figure, at_most, medians, ratio_at_most
from proa import App
from proa.core.replicate.journal import Write
from proa.declare.context import CURRENT
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Identity
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.unit import Frame, Unit

ROWS = 1_000_000
ROWS_PER_COMMIT = 2_000
READS = 20_000
PAGES = 300
PAGE = 100
ROUNDS = 5
REGION = "eu-west-1"

app = App("bench-large", regions=[REGION])


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


orders = app.table("orders", Order, key="id", indexes={"by_sku": "sku"})


def run() -> list[Figure]:
    """Fill a store, then read from it."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        path = Path(folder) / "region.db"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            store = runner.run(filled(path))
            bare = copied(path, Path(folder) / "bare.db")
            keys = [key_of(random.randrange(ROWS)) for _ in range(READS)]
            unit_us, bare_us = medians(
                ROUNDS, lambda: runner.run(in_unit(store, point_reads_us(keys))), lambda: bare_reads_us(bare, keys)
            )
            pages_ms = sorted(runner.run(in_unit(store, index_pages_ms())))
            bare.close()
            runner.run(store.close())
    return [
        Figure(
            f"a point read in a unit, of {ROWS:,} rows",
            unit_us,
            "us",
            "bare SQLite",
            bare_us,
            ratio_at_most(3),
        ),
        Figure(
            f"a page of {PAGE} by index, of {ROWS:,} rows",
            pages_ms[PAGES // 2],
            "ms",
            bound=at_most(2),
            note=f"p99 {pages_ms[PAGES * 99 // 100]:.2g} ms",
        ),
    ]


def copied(path: Path, place: Path) -> sqlite3.Connection:
    """The same pages in a file of their own: on one file, connections of one process spare each other system calls."""
    bare, source = sqlite3.connect(place), sqlite3.connect(path)
    bare.execute("PRAGMA journal_mode=WAL")
    source.backup(bare)
    source.close()
    return bare


def key_of(number: int) -> str:
    return f"order-{number:09d}"


def sku_of(number: int) -> str:
    return f"sku-{number % (ROWS // PAGE // 2)}"


async def filled(path: Path) -> SqliteRegionStore:
    """A region's store with all the rows, written by units that put many each."""
    store = SqliteRegionStore(path, REGION, SystemClock(), in_thread, schemas=app.schemas(strong=False))
    await store.assume(Identity(1, "bench"))
    for begin in range(0, ROWS, ROWS_PER_COMMIT):
        writes: list[Write] = []
        collecting: Any = SimpleNamespace(write=lambda _, write: writes.append(write))  # noqa: B023 - it ends with it
        token = CURRENT.set(collecting)
        for number in range(begin, begin + ROWS_PER_COMMIT):
            await orders.put(Order(key_of(number), sku_of(number)))
        CURRENT.reset(token)
        await store.commit(Batch(f"fill-{begin}", {}, writes))
    return store


async def in_thread(blocking: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, blocking)


Work = Callable[[], Awaitable[Any]]


async def in_unit(store: SqliteRegionStore, work: Work) -> Any:
    """What `work` finds inside a unit of this store; nothing here asks a global one."""
    token = CURRENT.set(Unit(REGION, None, (store, None), SystemClock(), SystemEntropy(), Frame("bench")))
    try:
        return await work()
    finally:
        CURRENT.reset(token)


def point_reads_us(keys: list[str]) -> Work:
    async def measured() -> float:
        begin = time.perf_counter()
        for key in keys:
            await orders.get(key)
        return (time.perf_counter() - begin) / len(keys) * 1e6

    return measured


def bare_reads_us(connection: sqlite3.Connection, keys: list[str]) -> float:
    """Microseconds of one read without Proa."""
    begin = time.perf_counter()
    for key in keys:
        connection.execute("SELECT value FROM rows WHERE tbl = ? AND key = ?", ("orders", key)).fetchone()
    return (time.perf_counter() - begin) / len(keys) * 1e6


def index_pages_ms() -> Work:
    async def measured() -> list[float]:
        return [await page_ms() for _ in range(PAGES)]

    return measured


async def page_ms() -> float:
    """Milliseconds of one page of a random entry's rows."""
    sku = sku_of(random.randrange(ROWS))
    begin = time.perf_counter()
    page = await orders.by("by_sku").query(sku, limit=PAGE)
    took = (time.perf_counter() - begin) * 1000
    assert len(page.rows) == PAGE, len(page.rows)
    return took
