"""An app of schedules, on which it is judged that each due time takes effect once.

A tick counts its due time in a row that merges: two regions that fire it make two of it, wherever they are. The handler
of one schedule fails now and then; that of another counts in the global store. Simulate it as
`proa.simulation.workloads.scheduled:scheduled`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.app import App
from proa.core.policy.retry import Retry
from proa.core.replicate.merge import fields, last_writer
from proa.declare.context import Context
from proa.declare.objectives import Objectives
from proa.declare.schedules import Tick
from proa.declare.tables import Table
from proa.simulation.workloads.standard import LEASE_S, REGIONS, TIMEOUT_S, Counter, Placings

EVERY_S = 0.5
RETRY = Retry(attempts=20, base_s=0.05, cap_s=0.2)
FAILS = 32
"""So many of 256 runs of a moody handler fail."""


class Latest(msgspec.Struct, frozen=True):
    """The tick of a schedule that took effect last: the due time, and the region that ran it."""

    id: str
    due: float
    region: str


class NotToday(Exception):
    """A handler fails."""


def scheduled_app() -> App:
    """Three regions and schedules of every kind."""
    made = App("standard-scheduled", regions=REGIONS, lease_s=LEASE_S, objectives=Objectives(rto_s=2, rpo_s=2))
    _counted(made, "beat", catch_up="all", catch_up_max=1000)
    _counted(made, "latest", catch_up="latest", jitter_s=0.3)
    _counted(made, "skip", catch_up="skip", late_s=0.4)
    _counted(made, "moody", catch_up="all", catch_up_max=1000, retry=RETRY)
    _counted(made, "local", once="region", catch_up="all", catch_up_max=1000)
    _strong(made)
    return made


def _counted(made: App, name: str, **options: Any) -> None:
    """A schedule that counts each of its due times."""
    table = made.table(f"{name}_ticks", Placings, key="id", merge=fields())
    latest = made.table(f"{name}_latest", Latest, key="id", merge=last_writer())

    @made.schedule(every_s=EVERY_S, name=name, **options)
    async def count(tick: Tick, ctx: Context) -> None:
        if name == "moody" and int(ctx.token()[:2], 16) < FAILS:
            raise NotToday(f"attempt {tick.attempt}")
        key = f"{tick.region}/{tick.due:.3f}"
        counted = await table.get(key, None) or Placings(key)
        counted.count.add()
        await table.put(counted)
        await latest.put(Latest("/" + tick.region, tick.due, ctx.region))

    _shown(made, name, latest)


def _strong(made: App) -> None:
    """A schedule whose ticks commit in the global store."""
    table = made.table("strong_ticks", Counter, key="id", mode="strong")
    latest = made.table("strong_latest", Latest, key="id", mode="strong")

    @made.schedule(every_s=EVERY_S, name="strong", catch_up="all", catch_up_max=1000)
    async def count(tick: Tick, ctx: Context) -> None:
        key = f"/{tick.due:.3f}"
        await table.put(Counter(key, (await table.get(key, Counter(key, 0))).value + 1))
        await latest.put(Latest("/", tick.due, ctx.region))

    _shown(made, "strong", latest)


def _shown(made: App, name: str, latest: Table[Latest]) -> None:
    @made.get(f"/{name}/{{region}}", timeout_s=TIMEOUT_S)
    async def look(region: str) -> Latest:
        return await latest.get("/" + region.strip("-"), Latest("/", 0.0, ""))


scheduled = scheduled_app()
