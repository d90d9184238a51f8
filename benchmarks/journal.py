"""The journal's past: how fast it is compacted, how fast a new region joins, and what both leave on the disk.

Stores of two regions in one process, on real files. Every row is of a hundred bytes. The size of a journal is looked at
while a region commits and compacts all that is older than a moment, half way and at the end.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from figures import Figure, at_least, at_most
from proa.core.replicate.compaction import Retention
from proa.core.replicate.journal import Write
from proa.core.replicate.snapshot import START
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Identity
from proa.runtime.clock import SystemClock
from proa.runtime.joiner import PAGE_BYTES

ALL = Retention(1 << 62, 1 << 62)
SMALL, LARGE = 10_000, 1_000_000
JOINED = 200_000
WIDE = 500
UNITS = 10_000
AT_ONCE = 64
ROUNDS = 3


def run() -> list[Figure]:
    """All figures; a minute or two."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured())


async def measured() -> list[Figure]:
    """One store after the other, each in a folder of its own."""
    compacted, joined = await compaction_and_join()
    small, large = await units_s(SMALL), await units_s(LARGE)
    half, whole = await sizes()
    return [
        Figure("a journal is compacted", compacted, "rows/s", note="slices of 500 between the units"),
        Figure("a new region joins by a snapshot", joined, "rows/s", bound=at_least(30_000), note="merge included"),
        Figure(
            f"units at {LARGE:,} rows, compacted",
            large,
            "units/s",
            f"at {SMALL:,} rows",
            small,
            note=f"{AT_ONCE} at once, on random rows, of the store alone",
        ),
        Figure(
            "a region's file after twice the load",
            whole / half,
            "x",
            bound=at_most(1.1),
            note=f"{UNITS:,} commits each time on the same rows; {whole / 1e6:.1f} MB at the end",
        ),
    ]


class Stores:
    """Stores of regions in a folder of their own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._pool = ThreadPoolExecutor(1)
        self._open: list[SqliteRegionStore] = []

    async def _blocking(self, work: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, work)  # pyright: ignore[reportArgumentType]

    async def region(self, name: str) -> SqliteRegionStore:
        """The store of a region."""
        store = SqliteRegionStore(self.file(name), name, SystemClock(), self._blocking)
        await store.assume(Identity(1, "bench"))
        self._open.append(store)
        return store

    def file(self, name: str) -> Path:
        """A region's file."""
        return Path(self._folder.name) / f"{name}.db"

    async def close(self) -> None:
        """Close and remove everything."""
        for store in self._open:
            await store.close()
        self._folder.cleanup()


def row(number: int) -> Write:
    """A row of a hundred bytes."""
    return Write("orders", f"{number:09}", b"x" * 100)


async def fill(store: SqliteRegionStore, rows: int) -> None:
    """Write so many rows, and compact what wrote them."""
    for first in range(0, rows, WIDE):
        await store.commit(Batch(f"f{first}", {}, [row(first + number) for number in range(WIDE)]))
    await compact(store, ALL)


async def compact(store: SqliteRegionStore, retention: Retention) -> None:
    """Drop all that may go."""
    while await store.compact(retention):
        pass


async def commits(store: SqliteRegionStore, rows: int, units: int) -> None:
    """So many units, a number of them at once, each on another row."""
    numbers = iter(range(units))

    async def client() -> None:
        for number in numbers:
            await store.commit(Batch(f"u{number}", {}, [row(number * 7919 % rows)]))

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def compaction_and_join() -> tuple[float, float]:
    """Rows a second of each."""
    stores = Stores()
    giver, taker = await stores.region("giver"), await stores.region("taker")
    await commits(giver, JOINED, JOINED)
    began = time.perf_counter()
    await compact(giver, ALL)
    compacted_s = time.perf_counter() - began
    began, page = time.perf_counter(), await giver.snapshot(START, PAGE_BYTES)
    await taker.stage(page, first=True)
    while not page.done:
        page = await giver.snapshot(page.end, PAGE_BYTES)
        await taker.stage(page, first=False)
    while await taker.merge_staged():
        pass
    joined_s = time.perf_counter() - began
    await stores.close()
    return JOINED / compacted_s, JOINED / joined_s


async def units_s(rows: int) -> float:
    """Durable units a second on a store of so many rows: the best of a few rounds."""
    stores = Stores()
    store = await stores.region("eu")
    await fill(store, rows)
    rates: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await commits(store, rows, UNITS)
        rates.append(UNITS / (time.perf_counter() - began))
    await stores.close()
    return max(rates)


async def sizes() -> tuple[float, float]:
    """The file's size after some commits, compacted all along, and after twice as many."""
    stores = Stores()
    store = await stores.region("eu")
    found: list[float] = []
    for _ in range(2):
        for _ in range(10):
            await commits(store, 1_000, UNITS // 10)
            await compact(store, ALL)
        store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        found.append(stores.file("eu").stat().st_size)
    await stores.close()
    return found[0], found[1]
