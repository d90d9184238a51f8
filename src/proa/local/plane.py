"""What the processes of all nodes share: real ports, rules, eyes and beat, and tasks that end together."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec

from proa.app import App, load_app
from proa.control.ledger import STORE_AWAY
from proa.control.member import Life, Member
from proa.control.observer import Observer
from proa.control.parts import Parts, parts
from proa.control.probe import HttpProbe
from proa.core.health import policy_for
from proa.core.situation import Rules
from proa.errors import DeclarationError, ProaError
from proa.observe import logs
from proa.observe.hub import Hub
from proa.ports import GlobalStore, RegionControl
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import ClusterConfig

T = TypeVar("T")
RETRY_PAUSE_S = 0.05


class Ends(msgspec.Struct, frozen=True):
    """The real ends of one process: clock, entropy, and the one stream of events, which goes to the log."""

    clock: SystemClock
    entropy: SystemEntropy
    hub: Hub


def ends() -> Ends:
    """This process's own."""
    hub = Hub()
    hub.subscribe(logs.subscriber)
    return Ends(SystemClock(), SystemEntropy(), hub)


def declared(target: str) -> App:
    """The app at `target`; a mistake in the author's code becomes an error that names it."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # `module:attribute` is looked for in the current folder, as with `python -m`
    try:
        return load_app(target)
    except ProaError:
        raise
    except Exception as error:
        raise DeclarationError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error


def rules_of(app: App, config: ClusterConfig) -> Rules:
    """What the control plane must know of the declaration, with the configuration's overrides."""
    lease_s = config.lease_s or app.lease_s
    rules = Rules(
        regions=app.regions,
        witness=config.node("witness"),
        edges=(config.node("edge"),),
        topology=app.topology,
        preferred=app.active,
        failover=config.failover or app.failover,
        lease_s=lease_s,
        rpo_s=app.objectives.rpo_s or 0.0,
        health=policy_for(lease_s),
    )
    return rules if config.hold_down_s is None else msgspec.structs.replace(rules, hold_down_s=config.hold_down_s)


def life_of(app: App, config: ClusterConfig, name: str, boot: str) -> Life:
    """Who this process is. `schema` is a digest of the declarations, which a standby must share to take over."""
    routes = sorted(f"{route.method} {route.path} {route.unit}" for route in app.routes)
    tables = sorted(f"{table.name} {table.mode} {table.key}" for table in app.tables.values())
    digest = hashlib.blake2b("\n".join([*routes, *tables]).encode(), digest_size=8).hexdigest()
    return Life(name, config.nodes[name].kind, boot, version("proa"), digest)


def shared_parts(store: GlobalStore, rules: Rules, own: Ends) -> Parts:
    """The control plane's parts on this process's ends."""
    return parts(store, rules, own.clock, own.entropy, own.hub)


def http_probe(config: ClusterConfig, name: str, rules: Rules) -> HttpProbe:
    """A probe of every region on its own address, as this node reaches it."""
    return HttpProbe(lambda region: f"http://{config.http_address(name, region)}", rules.health.timeout_s)


def eyes_and_beat(
    life: Life,
    probe: HttpProbe,
    shared: Parts,
    *,
    region: RegionControl | None = None,
    acting: Callable[[], tuple[int, int]] | None = None,
) -> tuple[Observer, Member]:
    """A node's observer and its member: what the one sees the other reports, at once where it changed."""
    observer = Observer(life.name, probe, shared, changed=lambda: member.poke())  # noqa: PLW0108 - it comes next
    member = Member(life, shared, region=region, seen=observer.seen, acting=acting)
    return observer, member


async def until_reached(own: Ends, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the global store answers; a node that boots before the witness waits for it."""
    while True:
        try:
            return await ask()
        except STORE_AWAY:
            await own.clock.sleep(RETRY_PAUSE_S)


@asynccontextmanager
async def background(work: Sequence[Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    """Run tasks beside the block; the first that fails ends the block with its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


@asynccontextmanager
async def fsync_thread() -> AsyncGenerator[Callable[[Callable[[], None]], asyncio.Future[None]]]:
    """A thread of its own for a store's fsyncs, so that they hold up nothing else."""
    with ThreadPoolExecutor(1, "fsync") as threads:
        yield lambda work: asyncio.get_running_loop().run_in_executor(threads, work)
