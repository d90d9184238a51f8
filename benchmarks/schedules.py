"""What a thousand schedules cost a region that otherwise does nothing: its processor time beside that without them.

The region runs alone in a process of its own, on a real store; ticks spread over their interval by their jitter.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from alone import HERE, alone
from figures import Figure, at_most
from proa.app import App
from processes import told_by

COUNT = 1000
HOUR_S, QUARTER_S, MINUTE_S = 3600.0, 900.0, 60.0
SETTLE_S = 3.0
WINDOW_S = 20.0


def run() -> list[Figure]:
    """The share of a core of idle schedules, of such as are due each quarter of an hour, and each minute."""
    idle = told_by(__file__, 0, HOUR_S)
    costs = {every_s: told_by(__file__, COUNT, every_s) - idle for every_s in (HOUR_S, QUARTER_S, MINUTE_S)}
    return [
        Figure(f"{COUNT} schedules, due hourly: of a core", costs[HOUR_S], "%", bound=at_most(1)),
        Figure(f"{COUNT} schedules, due every 15 minutes: of a core", costs[QUARTER_S], "%", bound=at_most(1)),
        Figure(f"{COUNT} schedules, due every minute: of a core", costs[MINUTE_S], "%", note="17 commits a second"),
    ]


def declared(count: int, every_s: float) -> App:
    app = App("scheduled", regions=[HERE])

    async def tick() -> None: ...

    for number in range(count):
        app.schedule(every_s=every_s, name=f"schedule_{number}", jitter_s=every_s)(tick)
    return app


async def cost(count: int, every_s: float) -> float:
    """How much of a core the region takes, in percent, once it has settled."""
    async with alone(declared(count, every_s)):
        await asyncio.sleep(SETTLE_S)
        began = time.process_time()
        await asyncio.sleep(WINDOW_S)
        return (time.process_time() - began) / WINDOW_S * 100


if __name__ == "__main__":
    print(json.dumps(asyncio.run(cost(int(sys.argv[1]), float(sys.argv[2])))))
