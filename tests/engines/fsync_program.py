"""Fifty units at once on a store that has been warmed up, with marks on standard error for a tracer to see."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proa.core.replicate.journal import Write
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Identity
from proa.runtime.clock import SystemClock


def mark(name):
    os.write(2, f"mark:{name}\n".encode())


async def main(folder):
    with ThreadPoolExecutor(1) as pool:

        async def run_blocking(work):
            await asyncio.get_running_loop().run_in_executor(pool, work)

        store = SqliteRegionStore(Path(folder) / "region.db", "eu", SystemClock(), run_blocking)
        await store.assume(Identity(1, "nonce"))

        async def unit(name):
            await store.commit(Batch(name, {}, [Write("t", name, b"v")]))
            mark("answer")

        await unit("warm")
        mark("begin")
        await asyncio.gather(*(unit(f"u{i}") for i in range(50)))
        mark("end")
        await store.close()


asyncio.run(main(sys.argv[1]))
