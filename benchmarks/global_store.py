"""The global store: commits a second and the waking of a watcher, the witness's over the link beside PostgreSQL.

Two clients in one process stand for two regions; the store is another process either way, and syncs every commit. What
is measured is a store's own cost: there is no distance between them. A deployment pays that on top, with PostgreSQL two
round trips for a group of commits, with the witness one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from figures import Figure
from postgres import postgres
from proa.core.replicate.journal import Write
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.local.stores import in_database
from proa.ports import Batch, Committed, GlobalStore
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import Address
from proa.runtime.global_client import GlobalClient, serve_global
from proa.runtime.link import LinkServer, TcpLink
from processes import SERVER_CORE, free_port, on_core, told_by, wait_for

SECRET = "00" * 32
WITNESS = "of the witness"
CLIENTS = 64
SECONDS = 3.0
WAKINGS = 40
ROUNDS = 3


def run() -> list[Figure]:
    """PostgreSQL beside the witness, in turns."""
    with postgres() as url:
        if not url:
            witness = told_by(__file__, WITNESS)
            note = "no PostgreSQL is installed here"
            return [Figure("global store: commits", witness["commits"], "/s", note=note)]
        taken = [(told_by(__file__, url), told_by(__file__, WITNESS)) for _ in range(ROUNDS)]
    return [
        _figure("commits, 64 at once", "commits", "/s", taken),
        _figure("one commit alone", "alone", "ms", taken),
        _figure("a commit, until another region was told", "wake", "ms", taken),
    ]


def _figure(name: str, kind: str, unit: str, taken: list[tuple[dict[str, float], dict[str, float]]]) -> Figure:
    database, witness = (statistics.median(measured[kind] for measured in side) for side in zip(*taken, strict=True))
    return Figure(f"global store in PostgreSQL: {name}", database, unit, "the witness's", witness)


async def measured(stores: tuple[GlobalStore, GlobalStore]) -> dict[str, float]:
    """Both clients commit rows of their own; then each commit of the one wakes the other."""
    names = count()
    await stores[0].commit(row("t", next(names)))

    async def committing(store: GlobalStore, end: float) -> int:
        made = 0
        while time.perf_counter() < end:
            made += isinstance(await store.commit(row("t", next(names))), Committed)
        return made

    end = time.perf_counter() + SECONDS
    made = await asyncio.gather(*(committing(stores[number % 2], end) for number in range(CLIENTS)))
    alone = [await _took(stores[0].commit(row("t", next(names)))) for _ in range(WAKINGS)]
    return {
        "commits": sum(made) / SECONDS,
        "alone": statistics.median(alone),
        "wake": statistics.median([await _woken(*stores, row("~t", next(names))) for _ in range(WAKINGS)]),
    }


async def _took(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def _woken(here: GlobalStore, there: GlobalStore, news: Batch) -> float:
    """From sending a commit until it is acknowledged and another client was told of it, in milliseconds."""
    revision = (await here.watch("~", 0, 0)).revision
    watching = asyncio.ensure_future(here.watch("~", revision, 5))
    await asyncio.sleep(0.05)
    return await _took(asyncio.gather(there.commit(news), watching))


def row(table: str, number: int) -> Batch:
    return Batch(f"b{number}", {(table, f"k{number}"): 0}, [Write(table, f"k{number}", b"x" * 200, "strong")])


@asynccontextmanager
async def in_postgres(url: str) -> AsyncIterator[tuple[GlobalStore, GlobalStore]]:
    stores = in_database(url), in_database(url)
    try:
        for store in stores:
            await store.prepared()
        yield stores
    finally:
        for store in stores:
            await store.close()


@asynccontextmanager
async def of_the_witness() -> AsyncIterator[tuple[GlobalStore, GlobalStore]]:
    """A process serves the store over the link."""
    port = free_port()
    witness = await asyncio.create_subprocess_exec(
        *on_core(SERVER_CORE, [sys.executable, __file__, "serve", str(port)])
    )
    try:
        await asyncio.to_thread(wait_for, port)
        links = [TcpLink(name, SECRET, lambda _: Address("127.0.0.1", port), SystemEntropy()) for name in ("a", "b")]
        yield GlobalClient(links[0], SystemClock()), GlobalClient(links[1], SystemClock())
        for link in links:
            await link.close()
    finally:
        witness.terminate()
        await witness.wait()


async def serve(port: int) -> None:
    """Be the witness."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, ThreadPoolExecutor(2) as threads:

        def run_blocking(work: Callable[[], None]) -> asyncio.Future[None]:
            return asyncio.get_running_loop().run_in_executor(threads, work)

        store = SqliteGlobalStore(Path(folder) / "global.db", SystemClock(), run_blocking, {})
        await LinkServer("witness", SECRET, serve_global(store)).start("127.0.0.1", port)
        await asyncio.Event().wait()


async def main(which: str) -> dict[str, float]:
    """The figures of one store."""
    async with of_the_witness() if which == WITNESS else in_postgres(which) as stores:
        return await measured(stores)


if __name__ == "__main__":
    import uvloop

    if sys.argv[1] == "serve":
        uvloop.run(serve(int(sys.argv[2])))
    else:
        print(json.dumps(uvloop.run(main(sys.argv[1]))))
