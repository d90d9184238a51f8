"""Overload: three times what a dependency can take, offered by an open-loop client, and what still gets done.

The server's core has the region, the other one the client. What is compared is all within one run: a few requests a
second tell what one takes alone, a rate just above the capacity what can be done at all, three times the capacity what
is left of it. Of the requests a tenth is important.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from pathlib import Path

from figures import Figure, at_least, ratio_at_least, ratio_at_most
from processes import CLIENT_CORE, on_core
from systems import region_port, system

HERE = Path(__file__).parent
CAPACITY = 400
ROUNDS = 3
EVERY = 10


def run() -> list[Figure]:
    """Alone, at capacity and beyond it, in turns."""
    alone, peak, beyond = asyncio.run(measured())
    goodput = [sum(path["goodput"] for path in each["paths"]) for each in beyond]
    return [
        Figure(
            "goodput at 3x the capacity of a dependency",
            statistics.median(goodput),
            "req/s",
            "peak",
            statistics.median(sum(path["goodput"] for path in each["paths"]) for each in peak),
            ratio_at_least(0.9),
            f"open loop, {3 * CAPACITY:,} req/s offered",
        ),
        Figure(
            "success of high-priority requests meanwhile",
            statistics.median(100 * each["paths"][1]["success"] for each in beyond),
            "%",
            bound=at_least(99),
            note=f"one of {EVERY} requests",
        ),
        Figure(
            "p99 of admitted requests meanwhile",
            statistics.median(max(path["p99_ms"] for path in each["paths"]) for each in beyond),
            "ms",
            "alone",
            statistics.median(each["paths"][0]["p99_ms"] for each in alone),
            ratio_at_most(3),
            "from when a request was due",
        ),
        Figure(
            "p99 of refusals meanwhile",
            statistics.median(each["paths"][0]["shed_p99_ms"] for each in beyond),
            "ms",
        ),
    ]


async def measured() -> tuple[list[dict], list[dict], list[dict]]:
    """What the client saw at each of the three rates."""
    async with system(str(HERE / "overload")) as cluster:
        port = region_port(cluster)
        rounds = [
            [await asyncio.to_thread(offered, port, rate) for rate in (CAPACITY / 20, CAPACITY * 1.1, CAPACITY * 3)]
            for _ in range(ROUNDS)
        ]
    alone, peak, beyond = zip(*rounds, strict=True)
    return list(alone), list(peak), list(beyond)


def offered(port: int, rate: float, seconds: float = 4) -> dict:
    """Offer a rate from the other core."""
    options = ["--rate", str(rate), "--seconds", str(seconds), "--every", str(EVERY)]
    command = [sys.executable, str(HERE / "open_loop.py"), f"127.0.0.1:{port}", "/work", "/important", *options]
    ran = subprocess.run(on_core(CLIENT_CORE, command), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"the load client failed: {ran.stderr.strip()}")
    found = json.loads(ran.stdout)
    if found["lost"]:
        raise RuntimeError(f"{found['lost']} requests were never answered")
    return found
