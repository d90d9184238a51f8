"""The witness: the process that owns the global store's file, and one more pair of eyes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.local.plane import (
    Ends,
    background,
    declared,
    ends,
    eyes_and_beat,
    fsync_thread,
    http_probe,
    life_of,
    rules_of,
    shared_parts,
)
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import serve_global
from proa.runtime.link import LinkServer

STORE = "global.db"


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Serve the global store over the link; yields this boot's id."""
    own, node = ends(), config.nodes[name]
    async with fsync_thread() as run_blocking:
        store = SqliteGlobalStore(Path(node.data_dir) / STORE, own.clock, run_blocking)
        server = LinkServer(name, config.secret, serve_global(store))
        await server.start(node.link.host, node.link.port)
        boot = own.entropy.token(8)
        try:
            async with _watching(config, name, store, boot, own):
                yield boot
        finally:
            await server.stop()
            await store.close()


@asynccontextmanager
async def _watching(
    config: ClusterConfig, name: str, store: SqliteGlobalStore, boot: str, own: Ends
) -> AsyncGenerator[None]:
    """Observe every region, and publish what is seen."""
    app = declared(config.app)
    shared = shared_parts(store, rules_of(app, config), own)
    async with http_probe(config, name, shared.rules) as probe:
        observer, member = eyes_and_beat(life_of(app, config, name, boot), probe, shared)
        async with background([shared.view.run(), observer.run(), member.run()]):
            yield
