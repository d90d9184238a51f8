"""The edge: Envoy's agent, fed with every new assignment, and one more pair of eyes."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core.route import Endpoint, RouteRule
from proa.edge.agent import EdgeAgent, RoutingApplied
from proa.edge.envoy import Bootstrap
from proa.local.plane import declared
from proa.local.site import TcpSite
from proa.nodes.plane import background, eyes_and_beat, life_of
from proa.nodes.site import shared_parts
from proa.ports import Clock
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import GlobalClient

LOOK_AGAIN_S = 5.0
EVERY_TARGET_WITHIN_S = 2.0
ANY_TARGET_WITHIN_S = 10.0
TARGET_PAUSE_S = 0.02


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Run Envoy in front of the regions; yields this boot's id once a client can be served."""
    site = TcpSite(config, name, declared(config.app))
    store = GlobalClient(site.link, site.clock, site.rules.witness)
    shared = shared_parts(store, site.rules, site)
    agent = _agent(config, site)
    life = life_of(site, "edge")
    try:
        await agent.start()
        async with site.probing() as probe:
            observer, member = eyes_and_beat(life, probe, shared, acting=lambda: (agent.epoch, agent.revision))
            site.hub.subscribe(lambda event: member.poke() if isinstance(event, RoutingApplied) else None)
            async with background([shared.view.run(), observer.run(), member.run(), _follow(shared, agent)]):
                await _first_targets(agent, site.clock)
                yield life.boot
    finally:
        await agent.stop()
        await site.link.close()


def _agent(config: ClusterConfig, site: TcpSite) -> EdgeAgent:
    app, node = site.app, config.nodes[site.name]
    assert node.http
    assert node.admin
    rules = [
        RouteRule(route.method, route.path, route.unit, route.timeout_s, keyed=route.idempotent is not False)
        for route in app.routes
    ]
    spec = Bootstrap(
        listen=node.http,
        admin=node.admin,
        directory=node.data_dir,
        topology=app.topology,
        regions=len(app.regions),
        rules=tuple(rules),
        linux=sys.platform == "linux",
    )
    addresses = {region: config.http_address(site.name, region) for region in app.regions}
    endpoints = [Endpoint(region, address.host, address.port) for region, address in addresses.items()]
    return EdgeAgent(spec, endpoints, clock=site.clock, telemetry=site.hub)


async def _follow(shared: Parts, agent: EdgeAgent) -> None:
    """Give the agent each assignment; it takes what is newer than what it has."""
    wake = Wake(shared.clock)
    shared.view.subscribe(wake.ring)
    while True:
        if assignment := shared.view.situation.assignment:
            await agent.apply(assignment)
        await wake.wait(LOOK_AGAIN_S)


async def _first_targets(agent: EdgeAgent, clock: Clock) -> None:
    """Wait until Envoy has found every region well; for a region that is not, only for a while."""
    began = clock.monotonic()
    while (waited_s := clock.monotonic() - began) < ANY_TARGET_WITHIN_S:
        well = [traffic.healthy for traffic in (await agent.stats()).regions.values()]
        if agent.revision >= 0 and (all(well) or waited_s > EVERY_TARGET_WITHIN_S) and any(well):
            return
        await clock.sleep(TARGET_PAUSE_S)
