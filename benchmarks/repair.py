"""Two regions compare a million equal rows, each a process of its own, while clients go on writing to one of them."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request

from catch_up import AT_WORK
from figures import Figure, at_most
from proa.cli.systems import global_store
from proa.cli.table import System
from proa.control import operators
from proa.local.cluster import Cluster
from proa.runtime.clock import SystemEntropy
from processes import load
from systems import MEASURED, PEER, region_port, status, system, until

ROWS = 1_000_000
ROWS_PER_UNIT = 1000
LIVE_S = 8.0
LIVE_PER_S = 500
FILLED_WITHIN_S = 240


def run() -> list[Figure]:
    """One fill, one round without traffic, one beside it."""
    took_s, exchanged, quiet, live = asyncio.run(measured())
    return [
        Figure(f"comparing {ROWS:,} equal rows of two regions", took_s, "s", bound=at_most(10)),
        Figure("the same: bytes exchanged for each 100,000 rows", exchanged, "KiB", bound=at_most(1024)),
        Figure("units beside it: p99", live, "ms", f"{LIVE_PER_S} units/s alone", quiet),
    ]


async def measured() -> tuple[float, float, float, float]:
    """Seconds of a round, KiB a hundred thousand rows, and the p99 in ms of live units without and beside a round."""
    async with system() as cluster:
        await fill(cluster)
        async with global_store(cluster.config) as store:
            token = await operators.add(store, "bench", "operator", SystemEntropy(), "bench")
        regions = System(cluster.config, token)
        took_s, exchanged = await asyncio.to_thread(compare, regions)
        quiet = await asyncio.to_thread(load, region_port(cluster), "/orders", LIVE_S, LIVE_PER_S)
        live = asyncio.create_task(asyncio.to_thread(load, region_port(cluster), "/orders", LIVE_S, LIVE_PER_S))
        while not live.done():
            await asyncio.to_thread(compare, regions)
        return took_s, exchanged / 1024 / (ROWS / 100_000), quiet["p99_ms"], (await live)["p99_ms"]


async def fill(cluster: Cluster) -> None:
    """Commit all rows in one region, and wait for the other."""
    units = iter(range(ROWS // ROWS_PER_UNIT))

    def work() -> None:
        for number in units:
            put_many(cluster, number)

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(AT_WORK)))
    head, origin = status(cluster, MEASURED)["head"], status(cluster, MEASURED)["origin"]
    await until(lambda: status(cluster, PEER)["cursors"].get(origin, 0) >= head, FILLED_WITHIN_S)


def put_many(cluster: Cluster, number: int) -> None:
    """One unit with many rows."""
    body = [{"id": f"equal-{number:05d}-{row:04d}", "sku": "boat-7", "qty": 3} for row in range(ROWS_PER_UNIT)]
    asked = urllib.request.Request(
        f"{cluster.region_url(MEASURED)}/orders/batch",
        json.dumps(body).encode(),
        {"content-type": "application/json", "idempotency-key": f"equal-{number}"},
    )
    urllib.request.urlopen(asked, timeout=30).read()


def compare(regions: System) -> tuple[float, int]:
    """One round over the table: seconds and bytes."""
    began, exchanged, start = time.monotonic(), 0, ""
    while start is not None:
        said = regions.ask(MEASURED, "POST", "compare", {"table": "orders", "peer": PEER, "start": start})
        exchanged += said["exchanged"]
        start = said["next"]
        assert said["found"] == []
    return time.monotonic() - began, exchanged
