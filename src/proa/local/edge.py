"""The edge as a process: Envoy and its agent."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from proa.core.route import Endpoint
from proa.edge.agent import EdgeAgent, RoutingApplied
from proa.edge.envoy import Bootstrap
from proa.local.plane import declared
from proa.local.site import TcpSite
from proa.nodes import edge
from proa.observe.hub import Hub
from proa.ports import Clock
from proa.runtime.config import ClusterConfig

EVERY_TARGET_WITHIN_S = 2.0
ANY_TARGET_WITHIN_S = 10.0
TARGET_PAUSE_S = 0.02


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Run Envoy in front of the regions; yields this boot's id once a client can be served."""
    site = TcpSite(config, name, declared(config.app))
    agent = _agent(config, site)
    try:
        await agent.start()
        async with edge.serve(site, agent, lambda poke: _tell(site.hub, poke)) as running:
            await _first_targets(agent, site.clock)
            yield running.boot
    finally:
        await agent.stop()
        await site.link.close()


def _tell(hub: Hub, poke: Callable[[], None]) -> None:
    """Envoy confirms a plan in its own time."""
    hub.subscribe(lambda event: poke() if isinstance(event, RoutingApplied) else None)


def _agent(config: ClusterConfig, site: TcpSite) -> EdgeAgent:
    app, node = site.app, config.nodes[site.name]
    assert node.http
    assert node.admin
    spec = Bootstrap(
        listen=node.http,
        admin=node.admin,
        directory=node.data_dir,
        topology=app.topology,
        regions=len(app.regions),
        rules=edge.route_rules(app),
        linux=sys.platform == "linux",
    )
    addresses = {region: config.http_address(site.name, region) for region in app.regions}
    endpoints = [Endpoint(region, address.host, address.port) for region, address in addresses.items()]
    return EdgeAgent(spec, endpoints, clock=site.clock, telemetry=site.hub)


async def _first_targets(agent: EdgeAgent, clock: Clock) -> None:
    """Wait until Envoy has found every region well; for a region that is not, only for a while."""
    began = clock.monotonic()
    while (waited_s := clock.monotonic() - began) < ANY_TARGET_WITHIN_S:
        well = [traffic.healthy for traffic in (await agent.stats()).regions.values()]
        if agent.revision >= 0 and (all(well) or waited_s > EVERY_TARGET_WITHIN_S) and any(well):
            return
        await clock.sleep(TARGET_PAUSE_S)
