"""The witness: the process that owns the global store's file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import serve_global
from proa.runtime.link import LinkServer

STORE = "global.sqlite"


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Serve the global store over the link; yields this boot's id."""
    node = config.nodes[name]
    with ThreadPoolExecutor(1, "fsync") as threads:
        store = SqliteGlobalStore(Path(node.data_dir) / STORE, SystemClock(), _runner(threads))
        server = LinkServer(name, config.secret, serve_global(store))
        await server.start(node.link.host, node.link.port)
        try:
            yield SystemEntropy().token(8)
        finally:
            await server.stop()
            await store.close()


def _runner(threads: ThreadPoolExecutor) -> Callable[[Callable[[], None]], asyncio.Future[None]]:
    return lambda work: asyncio.get_running_loop().run_in_executor(threads, work)
