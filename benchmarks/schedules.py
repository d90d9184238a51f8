"""What a thousand schedules cost a region that otherwise does nothing: its processor time beside that without them.

The region runs alone in a process of its own, on a real store; ticks spread over their interval by their jitter.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, at_most
from proa.app import App
from proa.core.roles import Assignment
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import Identity
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.region import Ports, Region

COUNT = 1000
HOUR_S, QUARTER_S, MINUTE_S = 3600.0, 900.0, 60.0
SETTLE_S = 3.0
WINDOW_S = 20.0


class NoLink:
    """There is nobody else."""

    async def call(self, node: str, method: str, payload: object, *, timeout_s: float = 1.0) -> object:
        raise ConnectionRefusedError(node, method, payload, timeout_s)


def run() -> list[Figure]:
    """The share of a core of idle schedules, of such as are due each quarter of an hour, and each minute."""
    alone = measured(0, HOUR_S)
    costs = {every_s: measured(COUNT, every_s) - alone for every_s in (HOUR_S, QUARTER_S, MINUTE_S)}
    return [
        Figure(f"{COUNT} schedules, due hourly: of a core", costs[HOUR_S], "%", bound=at_most(1)),
        Figure(f"{COUNT} schedules, due every 15 minutes: of a core", costs[QUARTER_S], "%", bound=at_most(1)),
        Figure(f"{COUNT} schedules, due every minute: of a core", costs[MINUTE_S], "%", note="17 commits a second"),
    ]


def measured(count: int, every_s: float) -> float:
    """The share in percent that a process of its own measured."""
    argv = [sys.executable, __file__, str(count), str(every_s)]
    done = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def declared(count: int, every_s: float) -> App:
    app = App("scheduled", regions=["here"])

    async def tick() -> None: ...

    for number in range(count):
        app.schedule(every_s=every_s, name=f"schedule_{number}", jitter_s=every_s)(tick)
    return app


async def cost(count: int, every_s: float, folder: Path) -> float:
    """How much of a core the region takes, in percent, once it has settled."""

    async def at_once(work) -> None:
        work()

    app, clock = declared(count, every_s), SystemClock()
    store = SqliteGlobalStore(folder / "global.db", clock, at_once, {})
    region = Region(app, "here", folder / "here", Ports(clock, SystemEntropy(), NoLink(), store, Hub(), at_once))
    await region.store.assume(Identity(1, "nonce"))
    await region.start()
    region.assume(Assignment(1, "active-active", {"here": "active"}), clock.monotonic() + 3600)
    await asyncio.sleep(SETTLE_S)
    began = time.process_time()
    await asyncio.sleep(WINDOW_S)
    spent = time.process_time() - began
    await region.stop()
    await store.close()
    return spent / WINDOW_S * 100


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(cost(int(sys.argv[1]), float(sys.argv[2]), Path(directory)))))
