"""The edge: Envoy's agent, fed with every new assignment, and one more pair of eyes."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from proa.app import App
from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core.route import Endpoint, RouteRule
from proa.edge.agent import EdgeAgent, RoutingApplied
from proa.edge.envoy import Bootstrap
from proa.local.plane import (
    Ends,
    background,
    declared,
    ends,
    eyes_and_beat,
    http_probe,
    life_of,
    rules_of,
    shared_parts,
)
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import GlobalClient
from proa.runtime.link import TcpLink

LOOK_AGAIN_S = 5.0
EVERY_TARGET_WITHIN_S = 2.0
ANY_TARGET_WITHIN_S = 10.0
TARGET_PAUSE_S = 0.02


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Run Envoy in front of the regions; yields this boot's id once a client can be served."""
    app, own = declared(config.app), ends()
    link = TcpLink(name, config.secret, lambda target: config.link_address(name, target), own.entropy)
    store = GlobalClient(link, own.clock, config.node("witness"))
    shared = shared_parts(store, rules_of(app, config), own)
    agent = _agent(config, name, app, own)
    boot = own.entropy.token(8)
    try:
        await agent.start()
        async with http_probe(config, name, shared.rules) as probe:
            life = life_of(app, config, name, boot)
            observer, member = eyes_and_beat(life, probe, shared, acting=lambda: (agent.epoch, agent.revision))
            own.hub.subscribe(lambda event: member.poke() if isinstance(event, RoutingApplied) else None)
            async with background([shared.view.run(), observer.run(), member.run(), _follow(shared, agent)]):
                await _first_targets(agent, own)
                yield boot
    finally:
        await agent.stop()
        await link.close()


def _agent(config: ClusterConfig, name: str, app: App, own: Ends) -> EdgeAgent:
    node = config.nodes[name]
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
    addresses = {region: config.http_address(name, region) for region in app.regions}
    endpoints = [Endpoint(region, address.host, address.port) for region, address in addresses.items()]
    return EdgeAgent(spec, endpoints, clock=own.clock, telemetry=own.hub)


async def _follow(shared: Parts, agent: EdgeAgent) -> None:
    """Give the agent each assignment; it takes what is newer than what it has."""
    wake = Wake(shared.clock)
    shared.view.subscribe(wake.ring)
    while True:
        if assignment := shared.view.situation.assignment:
            await agent.apply(assignment)
        await wake.wait(LOOK_AGAIN_S)


async def _first_targets(agent: EdgeAgent, own: Ends) -> None:
    """Wait until Envoy has found every region well; for a region that is not, only for a while."""
    began = own.clock.monotonic()
    while (waited_s := own.clock.monotonic() - began) < ANY_TARGET_WITHIN_S:
        well = [traffic.healthy for traffic in (await agent.stats()).regions.values()]
        if agent.revision >= 0 and (all(well) or waited_s > EVERY_TARGET_WITHIN_S) and any(well):
            return
        await own.clock.sleep(TARGET_PAUSE_S)
