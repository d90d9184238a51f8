"""What every kind of node does for the control plane: eyes and beat, and tasks that end together."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Literal, TypeVar

import msgspec

from proa.app import App
from proa.control.ledger import STORE_AWAY
from proa.control.member import Life, Member
from proa.control.observer import Observer, Probe
from proa.control.parts import Parts
from proa.core.health import policy_for
from proa.core.roles import NodeKind
from proa.core.situation import Rules
from proa.declare.codec import json_schema
from proa.declare.handlers import Route
from proa.declare.tables import BaseTable
from proa.nodes.site import Site
from proa.ports import Clock, RegionControl

T = TypeVar("T")
RETRY_PAUSE_S = 0.05
VERSION = version("proa")


def rules_for(
    app: App,
    witness: str,
    edge: str,
    *,
    lease_s: float | None = None,
    failover: Literal["approval", "automatic"] | None = None,
    hold_down_s: float | None = None,
) -> Rules:
    """What the control plane must know of the declaration, with a system's own settings where it has them."""
    lease_s = lease_s or app.lease_s
    held = ("active", "home")
    acknowledges = {route.acknowledge for route in app.routes if route.unit not in ("read", "global")}
    rules = Rules(
        regions=app.regions,
        witness=witness,
        edges=(edge,),
        topology=app.topology,
        preferred=app.active,
        failover=failover or app.failover,
        lease_s=lease_s,
        rpo_s=app.objectives.rpo_s or 0.0,
        health=policy_for(lease_s),
        peer_acknowledged=acknowledges == {"peer"},
        fenced_rows=bool(app.queues or app.schedules) or any(table.mode in held for table in app.tables.values()),
    )
    return rules if hold_down_s is None else msgspec.structs.replace(rules, hold_down_s=hold_down_s)


def schema_of(app: App) -> str:
    """A digest of the declarations, which a standby must share to take over."""
    routes = sorted(_route(app, route) for route in app.routes)
    tables = sorted(_table(table) for table in app.tables.values())
    queues = sorted(f"queue {name} {json_schema(queue.kind)}" for name, queue in app.queues.items())
    schedules = sorted(f"schedule {name} {one.said} {one.once}" for name, one in app.schedules.items())
    declared = [*routes, *tables, *queues, *schedules]
    return hashlib.blake2b("\n".join(declared).encode(), digest_size=8).hexdigest()


def _route(app: App, route: Route) -> str:
    demanded = f" {route.auth}" if app.authentication else ""
    return f"{route.method} {route.path} {route.unit}{demanded}"


def _table(table: BaseTable[Any]) -> str:
    words = [table.name, table.mode, table.schema.shape, *([table.home] if table.home else [])]
    return " ".join(words)


def life_of(site: Site, kind: NodeKind) -> Life:
    """Who this process is: a new boot of the node."""
    return Life(site.name, kind, site.entropy.token(8), VERSION, schema_of(site.app))


def eyes_and_beat(
    life: Life,
    probe: Probe,
    shared: Parts,
    *,
    region: RegionControl | None = None,
    acting: Callable[[], tuple[int, int]] | None = None,
) -> tuple[Observer, Member]:
    """A node's observer and its member: what the one sees the other reports, at once where it changed."""
    observer = Observer(life.name, probe, shared, changed=lambda: member.poke())  # noqa: PLW0108 - it comes next
    member = Member(life, shared, region=region, seen=observer.seen, acting=acting)
    return observer, member


async def until_reached(clock: Clock, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the global store answers; a node that boots before the witness waits for it."""
    while True:
        try:
            return await ask()
        except STORE_AWAY:
            await clock.sleep(RETRY_PAUSE_S)


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
