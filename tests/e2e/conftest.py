"""Real systems for the end-to-end tests: the examples, drilled in a state directory of the test's own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proa.chaos.drill import rehearse
from proa.chaos.options import DrillOptions
from proa.local.cluster import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"


class Rehearsal:
    """One drill of an example.

    A hook in `meanwhile` (event type -> coroutine function of the cluster) runs beside it from that event on, the one
    `afterwards` when all is over and everything still runs; `results` is what the hooks returned, in this order.
    """

    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.events = []
        self.meanwhile = {}
        self.afterwards = None
        self.results = []
        self.cluster = None
        self.global_store = ""
        self._tasks = []

    def drill(self, name, **options):
        target = str(EXAMPLES / name)
        return asyncio.run(rehearse(target, DrillOptions(**options), lambda on: self._launch(target, on), self._tell))

    @asynccontextmanager
    async def _launch(self, target, options):
        self.cluster = Cluster(
            target,
            self.state_dir,
            rtt_ms=options.rtt_ms,
            relay=options.needs_relay,
            lease_s=options.lease_s,
            failover=options.failover,
            confirm_ends=not options.unconfirmed,
            hold_down_s=options.hold_down_s,
            global_store=self.global_store,
        )
        async with self.cluster:
            yield self.cluster
            self.results = await asyncio.gather(*self._tasks)
            if self.afterwards:
                self.results.append(await self.afterwards(self.cluster))

    def _tell(self, event):
        self.events.append(event)
        if hook := self.meanwhile.get(type(event)):
            self._tasks.append(asyncio.get_running_loop().create_task(hook(self.cluster)))


@pytest.fixture
def rehearsal(tmp_path):
    return Rehearsal(tmp_path / "state")
