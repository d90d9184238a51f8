"""Handover: a region takes over the rows whose home it has become, once it knows all that older homes wrote.

What it must know is `goal` in `core.home`: it is decided from the roles and from what the other regions report in their
beats. This driver waits for those reports, catches up, and tells the authority. One runs for each change of epoch; the
next change ends it, since then other homes may have to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from proa.bell import Bell
from proa.core.home import goal, stopped
from proa.core.replicate.stamp import Versions, covers
from proa.core.roles import Assignment, Node
from proa.ports import RegionStore, Telemetry
from proa.runtime.authority import Authority
from proa.runtime.events import HomesTakenOver

LOOK_AGAIN_S = 60.0
"""Every change that is waited for rings; this only bounds a wait."""


class Handover:
    """Brings one region's tenure up to the present epoch. `set_aside` parks what the assignment's cuts exclude."""

    def __init__(
        self,
        region: str,
        authority: Authority,
        store: RegionStore,
        set_aside: Callable[[Assignment], Awaitable[None]],
        telemetry: Telemetry,
    ) -> None:
        self._region = region
        self._authority = authority
        self._store = store
        self._set_aside = set_aside
        self._telemetry = telemetry
        self._nodes: Mapping[str, Node] = {}
        self._stopped: dict[str, Versions] = {}
        self._epoch = 0
        self._news = Bell()
        self._task: asyncio.Task[None] | None = None

    def heard(self, nodes: Mapping[str, Node]) -> None:
        """What the nodes report now. The first that a region says after it stopped is what counts."""
        self._nodes = nodes
        if news := stopped(nodes, self._stopped, self._epoch):
            self._stopped |= news
            self._news.ring()

    def begin(self, assignment: Assignment) -> None:
        """A new epoch has begun: set aside what came too late for it, then take over."""
        self.end()
        self._epoch = assignment.epoch
        self._stopped = stopped(self._nodes, {}, self._epoch)
        self._task = asyncio.get_running_loop().create_task(self._run(assignment))

    def end(self) -> None:
        """Wait no longer."""
        if self._task:
            self._task.cancel()

    async def _run(self, assignment: Assignment) -> None:
        if assignment.cuts:
            await self._set_aside(assignment)
        tenure = self._authority.tenure
        if tenure and tenure.epoch == assignment.epoch and not tenure.complete:
            await self._take_over(assignment)

    async def _take_over(self, assignment: Assignment) -> None:
        while (wanted := goal(assignment, self._region, self._stopped)) is None:
            await self._news.wait(LOOK_AGAIN_S)
        while not covers(have := self._store.cursors(), wanted):
            await self._store.changed({origin: have.get(origin, 0) for origin in wanted}, LOOK_AGAIN_S)
        self._authority.took_over(assignment.epoch)
        self._telemetry.emit(HomesTakenOver(self._region, assignment.epoch))
