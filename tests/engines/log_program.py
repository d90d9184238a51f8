"""Units without a pause on a store that copies its log all the time; each number is printed once it is answered."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proa.core.replicate.journal import Write
from proa.engines.sqlite import log
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Identity
from proa.runtime.clock import SystemClock

log.CHANGES, log.LITTLE = 60, 4


async def main(folder, begin):
    with ThreadPoolExecutor(2) as pool:

        def run_blocking(work):
            return asyncio.get_running_loop().run_in_executor(pool, work)

        store = SqliteRegionStore(Path(folder) / "region.db", "eu", SystemClock(), run_blocking)
        await store.assume(Identity(1, "nonce"))
        numbers = iter(range(begin, 10**9))

        async def client():
            for number in numbers:
                key = f"{number * 7919 % 10_007:05d}"
                await store.commit(Batch(f"u{number}", {}, [Write("t", key, b"%d" % number)]))
                os.write(1, b"%d\n" % number)

        await asyncio.gather(*(client() for _ in range(20)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
