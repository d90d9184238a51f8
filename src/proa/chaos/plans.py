"""The plans of a system as they move, and their timelines: read from the control tables, changed by nobody here.

The times are the stamps of the audit entries, so they come from one clock, the global store's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import msgspec

from proa.chaos.progress import PlanStepped, Progress
from proa.core import audit
from proa.core.audit import Dated, Entry
from proa.core.plan import Plan
from proa.core.roles import AUDIT, PLANS
from proa.core.time import wall_of
from proa.errors import ProaError
from proa.ports import GlobalStore

POLL_S = 5.0
RETRY_S = 0.1


class Plans:
    """Every plan, as last seen."""

    def __init__(self, store: GlobalStore, tell: Progress) -> None:
        self._store = store
        self._tell = tell
        self._revision = 0
        self._changed = asyncio.Event()
        self.known: dict[str, Plan] = {}

    async def follow(self) -> None:
        """Keep up with the control tables for ever."""
        while True:
            try:
                changes = await self._store.watch(PLANS, self._revision, POLL_S)
            except ProaError:
                await asyncio.sleep(RETRY_S)
                continue
            self._revision = max(self._revision, changes.revision)
            for row in changes.rows:
                if row.table == PLANS and row.value is not None:
                    self._take(msgspec.msgpack.decode(row.value, type=Plan))
            self._changed.set()

    def _take(self, plan: Plan) -> None:
        before = self.known.get(plan.id)
        self.known[plan.id] = plan
        if before is None or before.step != plan.step:
            self._tell(PlanStepped(plan.id, plan.kind, plan.step))

    async def until(self, wanted: Callable[[Plan], bool], within_s: float) -> Plan | None:
        """The first plan that is `wanted`, or None when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (found := self.find(wanted)):
                    self._changed.clear()
                    await self._changed.wait()
                return found
        return None

    def find(self, wanted: Callable[[Plan], bool]) -> Plan | None:
        """The first plan that is `wanted`."""
        return next((plan for _, plan in sorted(self.known.items()) if wanted(plan)), None)

    def over(self) -> frozenset[str]:
        """The plans that came to an end, well or not."""
        return frozenset(name for name, plan in self.known.items() if not plan.open)

    def handovers(self) -> int:
        """How often an active role went from one region to another."""
        return sum(1 for plan in self.known.values() if plan.kind in ("failover", "failback") and plan.new_epoch)

    async def timeline(self, plan: str) -> list[audit.Phase]:
        """The phases of a plan, by the global store's clock."""
        rows = await self._store.scan(AUDIT)
        entries = [
            Dated(msgspec.msgpack.decode(row.value, type=Entry), wall_of(row.stamp))
            for row in sorted(rows, key=lambda row: row.key)
            if row.value is not None and row.key != audit.HEAD_KEY
        ]
        return audit.timeline(entries, plan)


@asynccontextmanager
async def following(store: GlobalStore, tell: Progress) -> AsyncGenerator[Plans]:
    """Plans that are followed while the block runs."""
    plans = Plans(store, tell)
    task = asyncio.create_task(plans.follow())
    try:
        yield plans
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
