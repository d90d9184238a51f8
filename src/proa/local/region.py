"""A region: the runtime, the control plane's region side, and one HTTP port in front of both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from proa.control.api import ControlApi
from proa.control.bootstrap import bootstrap
from proa.control.controller import Controller
from proa.control.incarnation import register
from proa.control.parts import Parts
from proa.core.incarnation import Disk
from proa.engines.sqlite.region_store import Identity
from proa.local.http import http_server
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
    until_reached,
)
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import GlobalClient
from proa.runtime.link import LinkServer, TcpLink
from proa.runtime.region import Ports, Region

CONTROL = "/_proa/control"


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Serve the app as region `name`; yields this boot's id once clients and peers are answered."""
    app, own, node = declared(config.app), ends(), config.nodes[name]
    assert node.http
    link = TcpLink(name, config.secret, lambda target: config.link_address(name, target), own.entropy)
    store = GlobalClient(link, own.clock, config.node("witness"))
    async with fsync_thread() as run_blocking:
        ports = Ports(own.clock, own.entropy, link, store, own.hub, run_blocking)
        region = Region(app, name, Path(node.data_dir), ports)
        server = LinkServer(name, config.secret, region.methods())
        shared = shared_parts(store, rules_of(app, config), own)
        boot = own.entropy.token(8)
        region.gateway.mounts[CONTROL] = ControlApi(name, shared, lost=region.store.parked)
        try:
            async with http_server(region.gateway, node.http):
                await until_reached(own, lambda: bootstrap(store, shared.rules, own.entropy, by=name))
                await _take_identity(region, shared, own)
                await server.start(node.link.host, node.link.port)
                async with _governed(config, region, shared, boot):
                    yield boot
        finally:
            await server.stop()
            await region.stop()
            await link.close()


async def _take_identity(region: Region, shared: Parts, own: Ends) -> None:
    """Learn which life of its disk this is, and keep it durably; the same way again for each rejoining."""
    region.register = _registrar(region, shared, fresh=True)
    rolled_back = await region.rolled_back()
    await region.store.assume(await until_reached(own, _registrar(region, shared, fresh=rolled_back)))


def _registrar(region: Region, shared: Parts, *, fresh: bool) -> Callable[[], Awaitable[Identity]]:
    async def registered() -> Identity:
        known = region.store.identity
        disk = Disk(known.incarnation, known.nonce, region.store.head) if known else None
        return Identity(*await register(shared.store, region.name, disk, shared.entropy, fresh=fresh))

    return registered


@asynccontextmanager
async def _governed(config: ClusterConfig, region: Region, shared: Parts, boot: str) -> AsyncGenerator[None]:
    """Replicate and beat, observe the others, and carry plans forward."""
    life = life_of(region.app, config, region.name, boot)
    while shared.view.situation.assignment is None:
        await shared.view.poll(0)
    async with http_probe(config, region.name, shared.rules) as probe:
        observer, member = eyes_and_beat(life, probe, shared, region=region)
        controller = Controller(region.name, shared)
        shared.view.subscribe(lambda: region.note_store_time(shared.view.situation.store_s))
        await member.beat()  # roles, holds and cuts must be known before peers' commits are applied
        await region.start()
        async with background([shared.view.run(), observer.run(), member.run(), controller.run()]):
            yield
