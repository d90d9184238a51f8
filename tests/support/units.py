"""Units of work on real stores in memory, without a region around them."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from itertools import count

from proa.app import App
from proa.declare.context import CURRENT
from proa.engines.sqlite.files import in_memory
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Committed, Identity, Terms
from proa.runtime.unit import Frame, Unit
from support.ends import ManualClock, SeededEntropy

NAMES = count()


async def at_once(work):
    work()


class Units:
    """One region's units: `with units() as unit:` runs as a handler would, `await units.commit(unit)` ends it."""

    def __init__(self, app: App, region="eu", clock=None):
        async def regional() -> None: ...
        async def strong() -> None: ...

        app.post(f"/{next(NAMES)}", unit="regional")(regional)
        app.post(f"/{next(NAMES)}", unit="global")(strong)
        self.routes = dict(zip(("regional", "global"), app.routes[-2:], strict=True))
        self.clock = clock or ManualClock()
        self.entropy = SeededEntropy(region)
        self.region = region
        self.store = SqliteRegionStore(
            in_memory(f"units-{next(NAMES)}"),
            region,
            self.clock,
            at_once,
            merges={table.name: table.merge for table in app.tables.values() if table.merge},
            schemas=app.schemas(strong=False),
        )
        self.strong = SqliteGlobalStore(
            in_memory(f"units-{next(NAMES)}"), self.clock, at_once, app.schemas(strong=True)
        )

    @contextmanager
    def __call__(self, store="regional"):
        unit = Unit(
            self.region,
            self.routes[store],
            (self.store, self.strong),
            self.clock,
            self.entropy,
            Frame(f"{next(NAMES):032}"),
        )
        token = CURRENT.set(unit)
        try:
            yield unit
        finally:
            CURRENT.reset(token)

    async def commit(self, unit):
        store = unit.store or "regional"
        batch = unit.batch(store, None, 0, keep_writes=True)
        return await (self.strong if store == "global" else self.store).commit(batch)

    async def put(self, table, *rows):
        """A unit of its own that writes these rows."""
        with self("global" if table.mode == "strong" else "regional") as unit:
            for row in rows:
                await table.put(row)
        assert isinstance(await self.commit(unit), Committed)

    async def delete(self, table, *key):
        with self("global" if table.mode == "strong" else "regional") as unit:
            await table.delete(*key)
        assert isinstance(await self.commit(unit), Committed)

    async def pull(self, other):
        """Apply what the other region has committed."""
        after = {other.store.origin: self.store.cursors().get(other.store.origin, 0)}
        await self.store.apply(await other.store.journal(after, 1000), Terms())


@asynccontextmanager
async def units(app, region="eu", clock=None):
    made = Units(app, region, clock)
    await made.store.assume(Identity(1, "nonce"))
    try:
        yield made
    finally:
        await made.store.close()
        await made.strong.close()
