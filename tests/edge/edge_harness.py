"""A real Envoy in front of stand-in regions, each a process of its own that can be killed and paused."""

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from proa.chaos.relay import Relay, Route
from proa.core.roles import Assignment
from proa.core.route import Endpoint, RoutePolicy, RouteRule
from proa.edge.agent import EdgeAgent
from proa.edge.envoy import Bootstrap
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock
from proa.runtime.config import Address
from support.ports import free_port

STUB = Path(__file__).with_name("region_stub.py")
RULES = (
    RouteRule("GET", "/orders/{id}", "read", 2.0),
    RouteRule("POST", "/charges", "global", 2.0, keyed=True),
    RouteRule("POST", "/orders", "regional", 1.0, keyed=True),
)
KEY = {"idempotency-key": "k"}


@dataclass
class Answer:
    status: int
    region: str
    took_s: float
    started: float
    body: bytes = b""
    headers: dict[str, str] | None = None


@dataclass
class Region:
    name: str
    port: int
    process: asyncio.subprocess.Process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


class System:
    def __init__(self, agent: EdgeAgent, url: str, regions: dict[str, Region], relay: Relay, events: list) -> None:
        self.agent = agent
        self.url = url
        self.regions = regions
        self.relay = relay
        self.events = events
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=10)
        )

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, base: str = "") -> Answer:
        started = asyncio.get_running_loop().time()
        try:
            async with self.session.request(
                method, URL((base or self.url) + path, encoded=True), headers=headers
            ) as reply:
                body = await reply.read()
                took = asyncio.get_running_loop().time() - started
                found = {k.lower(): v for k, v in reply.headers.items()}
                return Answer(reply.status, found.get("proa-region", ""), took, started, body, found)
        except aiohttp.ClientError as error:
            took = asyncio.get_running_loop().time() - started
            return Answer(599, "", took, started, repr(error).encode())

    async def direct(self, region: str, path: str) -> dict:
        base = f"http://127.0.0.1:{self.regions[region].port}"
        return msgspec.json.decode((await self.ask("GET", path, base=base)).body)

    async def seen(self, what: str) -> dict[str, int]:
        """How often each living region saw `METHOD /path`."""
        names = [name for name, region in self.regions.items() if region.process.returncode is None]
        return {name: (await self.direct(name, "/_test/counts")).get(what, 0) for name in names}

    async def load(self, requests, rate: float, duration_s: float) -> list[Answer]:
        """An open loop: one request is due every 1/rate s, whatever the others do."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        tasks = []
        for i in range(int(rate * duration_s)):
            await asyncio.sleep(max(0.0, start + i / rate - loop.time()))
            tasks.append(asyncio.create_task(self.ask(*requests[i % len(requests)])))
        return await asyncio.gather(*tasks)


async def until(condition, within_s: float = 5.0):
    """Wait for an async condition; its value."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := await condition()):
        assert asyncio.get_running_loop().time() < deadline, "the condition never came true"
        await asyncio.sleep(0.01)
    return value


async def start_region(name: str) -> Region:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", str(STUB), name, str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return Region(name, port, process)


def spec_for(folder: Path, topology: str, count: int, policy: RoutePolicy) -> Bootstrap:
    listen, admin = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    return Bootstrap(listen, admin, str(folder), topology, count, RULES, policy)


def relay_to(regions: dict[str, Region]) -> tuple[Relay, list[Endpoint]]:
    """A relay on the way from the edge to each region, and the addresses at which the edge then finds them."""
    routes = [
        Route("edge", region.name, Address("127.0.0.1", free_port()), Address("127.0.0.1", region.port))
        for region in regions.values()
    ]
    return Relay(routes), [Endpoint(route.target, route.listen.host, route.listen.port) for route in routes]


@contextlib.asynccontextmanager
async def running(
    folder: Path, names=("eu", "us"), *, topology="active-active", roles=None, policy=None, relayed=False
):
    """Regions, Envoy and the agent, routed under epoch 1 and with every region found healthy."""
    regions = {region.name: region for region in await asyncio.gather(*(start_region(name) for name in names))}
    events: list = []
    hub = Hub()
    hub.subscribe(events.append)
    spec = spec_for(folder, topology, len(names), policy or RoutePolicy())
    relay, endpoints = relay_to(regions)
    if not relayed:  # a kill is seen best without anybody between
        endpoints = [Endpoint(region.name, "127.0.0.1", region.port) for region in regions.values()]
    agent = EdgeAgent(spec, endpoints, clock=SystemClock(), telemetry=hub)
    system = System(agent, f"http://{spec.listen}", regions, relay, events)
    relay.start()
    try:
        await agent.start()
        assert await agent.apply(Assignment(1, topology, roles or dict.fromkeys(names, "active")))
        await until(lambda: all_healthy(system))
        yield system
    finally:
        await system.session.close()
        await agent.stop()
        relay.stop()
        for region in regions.values():
            if region.process.returncode is None:
                await region.kill()
            region.process._transport.close()


async def all_healthy(system: System) -> bool:
    stats = await system.agent.stats()
    return bool(stats.regions) and all(traffic.healthy for traffic in stats.regions.values())
