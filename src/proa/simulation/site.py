"""The simulated site of a node: `nodes.Site` over a life, its links, the network and the disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from proa.app import App
from proa.control.probe import Prober
from proa.core.situation import Rules
from proa.declare.http import Request
from proa.engines.sqlite.log import RunBlocking
from proa.observe.hub import Hub
from proa.ports import Dependencies, Method, Outside, Secrets
from proa.runtime.composition.foundation import Nowhere
from proa.runtime.gateway import Asgi, Gateway
from proa.runtime.global_client import GlobalClient
from proa.simulation.client import Reply
from proa.simulation.disk import Disk
from proa.simulation.http import NO_HEADERS, Door, Http, RegionDoor
from proa.simulation.network import Network, SimLink
from proa.simulation.process import Life


class SimSite:
    """What one life of a node is given."""

    def __init__(
        self, app: App, rules: Rules, life: Life, disk: Disk, network: Network, http: Http, dependencies: Dependencies
    ) -> None:
        self.name, self.app, self.rules = life.name, app, rules
        self.clock = self.entropy = life
        self.hub = Hub()
        self.dependencies = dependencies
        self.link = life.link = SimLink(network, life)
        self.outside: Outside = Nowhere()
        self.secrets: Secrets = Nowhere()
        self.data_dir: Path = disk.path
        self._life = life
        self._disk = disk
        self._http = http
        self._network = network

    keeps_global_store = True

    @asynccontextmanager
    async def global_store(self) -> AsyncGenerator[GlobalClient]:
        """The witness's, over the link."""
        yield GlobalClient(self.link, self.clock, self.rules.witness)

    @asynccontextmanager
    async def blocking(self) -> AsyncGenerator[RunBlocking]:
        """Syncs take the disk's time."""
        yield self._disk.runner(self._life)

    @asynccontextmanager
    async def serve_link(self, methods: Mapping[str, Method]) -> AsyncGenerator[None]:
        self._life.methods = methods
        try:
            yield
        finally:
            self._life.methods = None

    @asynccontextmanager
    async def serve_http(self, app: Asgi) -> AsyncGenerator[None]:
        assert isinstance(app, Gateway)
        self._life.http = RegionDoor(app)
        try:
            yield
        finally:
            self._life.http = None

    def serve_requests(self, door: Door) -> None:
        """Answer clients with `door`."""
        self._life.http = door

    async def dial(self, region: str, request: Request) -> Reply:
        """Send a client's request on to a region's own address."""
        return await self._http.request(self.name, region, request)

    def cut_off(self, region: str) -> bool:
        """Whether a new connection to the region would hang."""
        return self._network.cuts(self.name, region)

    @asynccontextmanager
    async def probing(self) -> AsyncGenerator[Prober]:
        """A probe of every region over the network."""
        yield Prober(self._get)

    async def _get(self, region: str, path: str) -> tuple[int, bytes]:
        request = _request_of(path)
        reply = await self._http.request(self.name, region, request, self.rules.health.timeout_s)
        return reply.status, reply.body


@cache
def _request_of(path: str) -> Request:
    """What asks for one of Proa's own pages: the same every time."""
    return Request("GET", path, "", NO_HEADERS, b"")
