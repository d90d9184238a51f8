"""The real site of a node: this machine's clock and randomness, TCP, uvicorn, aiohttp, a thread for fsyncs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from proa.app import App
from proa.local import stores
from proa.local.http import http_server
from proa.local.outside import HttpOutside
from proa.local.plane import ends, rules_of
from proa.local.probe import HttpProbe
from proa.local.secrets import SECRETS_DIR, FileSecrets
from proa.ports import GlobalStore, Method
from proa.runtime.config import ClusterConfig
from proa.runtime.events import TableRead
from proa.runtime.gateway import Asgi
from proa.runtime.link import LinkServer, TcpLink


class TcpSite:
    """`nodes.site.Site` of the process that runs node `name` of `config`."""

    def __init__(self, config: ClusterConfig, name: str, app: App) -> None:
        own = ends()
        self.name, self.app, self.rules = name, app, rules_of(app, config)
        self.clock, self.entropy, self.hub = own.clock, own.entropy, own.hub
        self.link = TcpLink(name, config.secret, lambda target: config.link_address(name, target), own.entropy)
        self.outside = HttpOutside()
        self.secrets = FileSecrets(Path(os.environ.get(SECRETS_DIR) or Path(config.state_dir) / "secrets"))
        self.data_dir = Path(config.nodes[name].data_dir)
        self.dependencies = None
        self.keeps_global_store = not config.global_store
        self._config = config

    def global_store(self) -> AbstractAsyncContextManager[GlobalStore]:
        return stores.global_store(
            self._config,
            self.link,
            self.name,
            self.app.schemas(strong=True) if self.name in self.app.regions else None,
            lambda table, rows: self.hub.emit(TableRead(table, rows)),
        )

    @asynccontextmanager
    async def blocking(self) -> AsyncGenerator[Callable[[Callable[[], None]], asyncio.Future[None]]]:
        """Threads of their own for a store's fsyncs, so that they hold up nothing else: its commits', its log's."""
        with ThreadPoolExecutor(2, "fsync") as threads:
            yield lambda work: asyncio.get_running_loop().run_in_executor(threads, work)

    @asynccontextmanager
    async def serve_link(self, methods: Mapping[str, Method]) -> AsyncGenerator[None]:
        listen = self._config.nodes[self.name].link
        server = LinkServer(self.name, self._config.secret, methods)
        await server.start(listen.host, listen.port)
        try:
            yield
        finally:
            await server.stop()

    def serve_http(self, app: Asgi) -> AbstractAsyncContextManager[None]:
        address = self._config.nodes[self.name].http
        assert address
        return http_server(app, address, self.app.front)

    def probing(self) -> HttpProbe:
        config, name = self._config, self.name
        return HttpProbe(lambda region: f"http://{config.http_address(name, region)}", self.rules.health.timeout_s)
