"""A host: the place of one node, with a clock and a disk that outlive its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random

from proa.nodes.site import Running
from proa.simulation.disk import Disk
from proa.simulation.loop import SimLoop
from proa.simulation.process import HostClock, Life, Trap
from proa.simulation.site import SimSite

Serve = Callable[[SimSite], AbstractAsyncContextManager[Running]]


class Outside:
    """The place of somebody who is no node: clients, or a person at a machine to which nothing happens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = HostClock()
        self.life: Life | None = None


class Host:
    """Where node `name` runs. `life` is its present process, if any; `wanted` whether it should have one."""

    def __init__(self, name: str, disk: Disk, serve: Serve, rng: Random, fired: Callable[[str], None]) -> None:
        self.name = name
        self.clock = HostClock()
        self.disk = disk
        self.serve = serve
        self.life: Life | None = None
        self.boots = 0
        self.origin: str | None = None
        self.wanted = False
        self.throttled = 0.0
        self._rng = rng
        self._fired = fired

    def boot(
        self,
        loop: SimLoop,
        rng: Random,
        on_trap: Callable[[Life, Trap, float], None],
        site_of: Callable[[Host, Life], SimSite],
        on_end: Callable[[Host, Life, BaseException | None], None],
    ) -> None:
        """Begin a new life."""
        self.boots += 1
        life = self.life = Life(self.name, loop, self.clock, rng, on_trap)
        main: asyncio.Task[None] = life.run(lambda: life.spawn(self._live(life, site_of)))

        def ended(task: asyncio.Task[None]) -> None:
            on_end(self, life, None if task.cancelled() else task.exception())

        main.add_done_callback(ended)

    def refuses(self) -> bool:
        """Whether this request is turned away because the region is throttled."""
        refused = self.throttled > 0 and self._rng.random() < self.throttled
        if refused:
            self._fired("throttle")
        return refused

    async def _live(self, life: Life, site_of: Callable[[Host, Life], SimSite]) -> None:
        serving = self.serve(site_of(self, life))
        life.running = await serving.__aenter__()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:  # a part of it failed; a process that is killed leaves nothing properly
            if not await serving.__aexit__(type(error), error, error.__traceback__):
                raise
