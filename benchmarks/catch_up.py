"""A peer that was away catches up while the region that it lacks goes on serving.

The peer is killed, the other region commits what a long absence leaves behind (units that put many rows each, straight
over HTTP), the peer comes back. Its speed is the rows that it applies from its first cursor to its last; the live
traffic is an open loop at half of what the region does at most, and its p99 while the peer catches up is held against
the same load on the same region when nobody does.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from pathlib import Path

from figures import Bound, Figure, ratio_at_most
from proa.local.cluster import Cluster
from processes import load
from systems import MEASURED, PEER, region_port, status, system, until

ROWS = 400_000
ROWS_PER_UNIT = 20
ROWS_PER_S_MIN = 30_000
LOOK_EVERY_S = 0.02
LIVE_S = 4.0
PEAK_S = 3.0
NICE = 15
AT_WORK = 4
"""Requests in flight while the backlog is made."""


def run() -> list[Figure]:
    """One absence, one return."""
    rows_per_s, live, quiet = asyncio.run(measured())
    return [
        Figure(
            "a peer that was away catches up",
            rows_per_s,
            "rows/s",
            bound=Bound("value", "at least", ROWS_PER_S_MIN),
            note=f"{ROWS:,} rows in commits of {ROWS_PER_UNIT}, beside live traffic at half of its peak",
        ),
        Figure(
            "live traffic while a peer catches up: p99",
            live,
            "ms",
            "the same load, nobody away",
            quiet,
            ratio_at_most(3),
        ),
    ]


async def measured() -> tuple[float, float, float]:
    """Rows a second of the catch-up; p99 in ms of the live load during it and without it."""
    async with system() as cluster:
        port = region_port(cluster)
        peak = (await asyncio.to_thread(load, port, "/orders", PEAK_S))["rps"]
        quiet = await asyncio.to_thread(load, port, "/orders", LIVE_S, peak / 2)
        await cluster.kill(PEER)
        await make_backlog(cluster)
        behind = status(cluster, MEASURED)["head"]
        live = asyncio.create_task(asyncio.to_thread(load, port, "/orders", LIVE_S, peak / 2))
        await cluster.restart(PEER)
        give_way(cluster.pid(PEER))
        rows_per_s = await caught_up(cluster, behind)
        return rows_per_s, (await live)["p99_ms"], quiet["p99_ms"]


def give_way(pid: int) -> None:
    """Let a process wait for others on its core, so that the client beside it measures the region and not the peer."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)


async def make_backlog(cluster: Cluster) -> None:
    """Commit all the rows, a few units at a time."""
    units = iter(range(ROWS // ROWS_PER_UNIT))

    def work() -> None:
        for number in units:
            put_many(cluster, number)

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(AT_WORK)))


def put_many(cluster: Cluster, number: int) -> None:
    """One unit with many rows."""
    body = [{"id": f"backlog-{number:07d}-{row:02d}", "sku": "boat-7", "qty": 3} for row in range(ROWS_PER_UNIT)]
    asked = urllib.request.Request(
        f"{cluster.region_url(MEASURED)}/orders/batch",
        json.dumps(body).encode(),
        {"content-type": "application/json", "idempotency-key": f"backlog-{number}"},
    )
    urllib.request.urlopen(asked, timeout=10).read()


async def caught_up(cluster: Cluster, behind: int) -> float:
    """Rows a second from the first progress that the peer shows to the last commit of the backlog."""
    origin = status(cluster, MEASURED)["origin"]

    def cursor() -> int:
        try:
            return status(cluster, PEER)["cursors"].get(origin, 0)
        except OSError:
            return -1

    await until(lambda: cursor() >= 0)
    first, began = cursor(), time.monotonic()
    await until(lambda: cursor() >= behind, 60)
    return (behind - first) * ROWS_PER_UNIT / (time.monotonic() - began)
