"""The witness: one more pair of eyes, and the node that owns the global store's file unless that is a service apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from proa.core.roles import PLANS, ROLES
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.nodes.plane import background, eyes_and_beat, life_of
from proa.nodes.site import Running, Site, shared_parts
from proa.ports import GlobalStore, Method
from proa.runtime.events import TableRead
from proa.runtime.global_client import serve_global

STORE = "global.db"


@asynccontextmanager
async def serve(site: Site) -> AsyncGenerator[Running]:
    """Look and speak, and serve the global store over the link if it is the witness's; yields once it answers."""
    if not site.keeps_global_store:
        async with site.global_store() as store, _watching(site, store, {}) as running:
            yield running
        return
    async with site.blocking() as run_blocking:
        store = SqliteGlobalStore(
            site.data_dir / STORE,
            site.clock,
            run_blocking,
            site.app.schemas(strong=True),
            lambda table, rows: site.hub.emit(TableRead(table, rows)),
        )
        try:
            async with _watching(site, store, serve_global(store), store.abandon) as running:
                yield running
        finally:
            await store.close()


@asynccontextmanager
async def _watching(
    site: Site, store: GlobalStore, methods: Mapping[str, Method], abandon: Callable[[], None] = lambda: None
) -> AsyncGenerator[Running]:
    """Observe the regions and tell of it, answering these methods."""
    shared = shared_parts(store, site.rules, site, waking=[ROLES, PLANS])  # it judges nobody
    life = life_of(site, "witness")
    async with site.serve_link(methods), site.probing() as probe:
        observer, member = eyes_and_beat(life, probe, shared)
        async with background([shared.view.run(), observer.run(), member.run()]):
            yield Running(life.boot, shared, abandon=abandon)
