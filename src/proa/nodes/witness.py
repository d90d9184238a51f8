"""The witness: the node that owns the global store's file, and one more pair of eyes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from proa.core.roles import PLANS, ROLES
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.nodes.plane import background, eyes_and_beat, life_of
from proa.nodes.site import Running, Site, shared_parts
from proa.runtime.events import TableRead
from proa.runtime.global_client import serve_global

STORE = "global.db"


@asynccontextmanager
async def serve(site: Site) -> AsyncGenerator[Running]:
    """Serve the global store over the link; yields once it answers."""
    async with site.blocking() as run_blocking:
        store = SqliteGlobalStore(
            site.data_dir / STORE,
            site.clock,
            run_blocking,
            site.app.schemas(strong=True),
            lambda table, rows: site.hub.emit(TableRead(table, rows)),
        )
        shared = shared_parts(store, site.rules, site, waking=[ROLES, PLANS])  # it judges nobody
        life = life_of(site, "witness")
        try:
            async with site.serve_link(serve_global(store)), site.probing() as probe:
                observer, member = eyes_and_beat(life, probe, shared)
                async with background([shared.view.run(), observer.run(), member.run()]):
                    yield Running(life.boot, shared, abandon=store.abandon)
        finally:
            await store.close()
