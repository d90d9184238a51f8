"""A region that runs alone in this process, on a real store with real syncs: no peer, no edge, no HTTP."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from proa.app import App
from proa.core.roles import Assignment
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.observe.hub import Hub
from proa.ports import Identity
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.composition.foundation import Ports
from proa.runtime.region import Region

HERE = "here"
"""The region that such an app declares."""
SETTLE_S = 0.5


class NoLink:
    """There is nobody else."""

    async def call(self, node: str, method: str, payload: object, *, timeout_s: float = 1.0) -> object:
        raise ConnectionRefusedError(node, method, payload, timeout_s)


@asynccontextmanager
async def alone(app: App) -> AsyncIterator[tuple[Region, Hub]]:
    """The app's one region, active, in a folder that is gone afterwards; with the hub that hears what it tells."""
    clock, hub = SystemClock(), Hub()
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as directory, ThreadPoolExecutor(2) as threads:
        folder = Path(directory)

        def run_blocking(blocking: Callable[[], None]) -> asyncio.Future[None]:
            """As a node's site does: a commit does not wait for the log to be copied, and needs no task."""
            return asyncio.get_running_loop().run_in_executor(threads, blocking)

        store = SqliteGlobalStore(folder / "global.db", clock, run_blocking, {})
        ports = Ports(clock, SystemEntropy(), NoLink(), store, hub, run_blocking)
        region = Region(app, HERE, folder / HERE, ports)
        await region.store.assume(Identity(1, "nonce"))
        await region.start()
        region.assume(Assignment(1, "active-active", {HERE: "active"}), clock.monotonic() + 3600)
        await asyncio.sleep(SETTLE_S)
        try:
            yield region, hub
        finally:
            await region.stop()
            await store.close()
