"""Regions, a global store and the links between them inside one process, on real SQLite files."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from inspect import isawaitable

import msgspec

from proa.core.replicate.stamp import join
from proa.core.roles import Assignment, Cut
from proa.declare.http import Request
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.errors import LinkDown, LinkTimeout
from proa.observe.hub import Hub
from proa.ports import Identity
from proa.runtime.clock import SystemClock
from proa.runtime.composition.foundation import Ports
from proa.runtime.global_client import GlobalClient, serve_global
from proa.runtime.region import Region
from support.ends import SeededEntropy

REGIONS = ["eu", "us"]


class LocalLinks:
    """All links of one test: methods by node, and which ways are cut. Replies can be lost after the call acted."""

    def __init__(self):
        self.methods = {}
        self.cut = set()
        self.replies_lost = set()

    def end(self, caller):
        return _End(self, caller)


class _End:
    def __init__(self, links, caller):
        self._links = links
        self._caller = caller

    async def call(self, node, method, payload, *, timeout_s=1.0):
        way = (self._caller, node)
        if way in self._links.cut or node not in self._links.methods:
            raise LinkDown(f"{way} is cut")
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._links.methods[node][method](self._caller, payload)
        except TimeoutError:
            raise LinkTimeout(f"{node} did not answer") from None
        if way in self._links.replies_lost or way in self._links.cut:
            raise LinkTimeout("the reply was lost")
        return reply


class Documents:
    """`ports.Outside` out of a table. Counts what was asked for; `away` answers nothing."""

    def __init__(self, documents=None):
        self.documents = documents or {}
        self.away = False
        self.asked = []

    async def read(self, name):
        """`ports.Secrets`: the versions of a secret stand under its name."""
        if self.away:
            raise OSError("out")
        return self.documents[name]

    async def get(self, url, *, timeout_s):  # noqa: ARG002 - the port's
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.away or url not in self.documents:
            raise OSError(f"{url} does not answer")
        return self.documents[url]


class System:
    """Some regions of an app and their global store."""

    def __init__(self, app, folder, documents=None):
        self.app = app
        self.folder = folder
        self.clock = SystemClock()
        self.links = LocalLinks()
        self.pool = ThreadPoolExecutor(1)
        self.regions = {}
        self.events = []
        self.outside = Documents(documents)

    async def run_blocking(self, work):
        await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def open(self):
        schemas = self.app.schemas(strong=True)
        self.store = SqliteGlobalStore(self.folder / "global.db", self.clock, self.run_blocking, schemas)
        self.links.methods["witness"] = serve_global(self.store)
        for name in self.app.regions:
            await self.start(name)

    async def start(self, name, incarnation=1):
        hub = Hub()
        hub.subscribe(self.events.append)
        link = self.links.end(name)
        ends = (self.clock, SeededEntropy(name), link, GlobalClient(link, self.clock), hub, self.run_blocking)
        ports = Ports(*ends, outside=self.outside, secrets=self.outside)
        region = Region(self.app, name, self.folder / name, ports)
        if region.store.identity is None:
            await region.store.assume(Identity(incarnation, "nonce"))
        self.links.methods[name] = region.methods()
        await region.start()
        self.regions[name] = region
        return region

    async def stop(self, name):
        del self.links.methods[name]
        await self.regions.pop(name).stop()

    async def close(self):
        for name in list(self.regions):
            await self.stop(name)
        await self.store.close()
        self.pool.shutdown()

    def __getitem__(self, name):
        return self.regions[name]

    async def request(self, region, method, path, body=None, key=None, query="", session=None):
        headers = {"idempotency-key": key} if key else {}
        if session is not None:
            headers["proa-session"] = session
        data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        runtime = self.regions[region]
        route, parameters = runtime.router.find(method, path)
        return await runtime.invoker.invoke(route, Request(method, path, query, headers, data), parameters)

    async def settled(self, timeout_s=10.0):
        """Wait until every region has every other's commits, those of former lives included."""
        deadline = self.clock.monotonic() + timeout_s
        heads = {}
        for region in self.regions.values():
            await region.store.flush()  # a reader sees a commit a moment before the cursors tell of it
            heads = join(heads, region.cursors())
        for region in self.regions.values():
            while not await region.replicator._wait_for(heads, self.clock.monotonic() + 0.1):
                assert self.clock.monotonic() < deadline, f"{region.name} has {region.cursors()}, not {heads}"


@asynccontextmanager
async def system(app, folder, documents=None):
    running = System(app, folder, documents)
    await running.open()
    try:
        yield running
    finally:
        await running.close()


# Roles, and waiting.


def everybody(epoch=1, lost=(), cuts=(), regions=REGIONS):
    """Roles by which every region that is not lost is active."""
    roles = {name: "down" if name in lost else "active" for name in regions}
    return Assignment(epoch, "active-active", roles, cuts=tuple(Cut(*cut) for cut in cuts))


def take(region, assignment):
    """Roles as the control plane hands them out."""
    region.assume(assignment, region.clock.monotonic() + 60)


async def until(true, timeout_s=10.0):
    """What a condition of the regions is, once it is true; it may have to be awaited."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = true()
            if found := await found if isawaitable(found) else found:
                return found
            await asyncio.sleep(0.005)
