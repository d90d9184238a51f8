"""What it costs that a second region confirms a POST: latency beside the same POST that its own region answers.

Paced at a rate that both keep up with, between two regions without distance and 20 ms apart; and how many both do at
most, on connections that each wait for their answer.
"""

from __future__ import annotations

import asyncio

from figures import Figure
from processes import load
from systems import HERE, MEASURED, region_port, status, system, until

APP = str(HERE / "confirmed_orders")
RTTS_MS = (0, 20)
RATE = 200
SECONDS = 4


def run() -> list[Figure]:
    """Latencies at each distance, and the most that either does."""
    return [figure for rtt_ms in RTTS_MS for figure in asyncio.run(measured(rtt_ms))]


async def measured(rtt_ms: int) -> list[Figure]:
    """One system, with both kinds of requests in turn."""
    async with system(APP, rtt_ms=rtt_ms) as cluster:
        await until(lambda: status(cluster, MEASURED)["insync"])
        port = region_port(cluster)
        paced = [await asyncio.to_thread(load, port, path, SECONDS, RATE) for path in ("/orders", "/orders/confirmed")]
        most = [await asyncio.to_thread(load, port, path, SECONDS) for path in ("/orders", "/orders/confirmed")]
    where = f"a POST that a second region confirms, {rtt_ms} ms away"
    one = "the same, answered by its region"
    (alone, both), note = paced, f"{RATE} requests/s"
    return [
        Figure(f"{where}: p50", both["p50_ms"], "ms", one, alone["p50_ms"], note=note),
        Figure(f"{where}: p99", both["p99_ms"], "ms", one, alone["p99_ms"], note=note),
        Figure(f"{where}: at most", most[1]["rps"], "/s", one, most[0]["rps"], note="32 connections"),
    ]
