"""What each mode of a table costs: latency and throughput of a write, near and far, and the loss of a region.

Three regions (two where one is active) and the global store, each a process, with and without distance between them.
Writes are asked of one region by a client beside it. For the loss of a region they come through the edge instead; the
region is blacked out, so that nobody can tell that it is gone and its lease (two seconds) has to run out. The drill's
account says how long requests were refused or slow, and how many acknowledged writes no survivor has.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from figures import Figure
from processes import PROA, load
from systems import MEASURED, region_port, system

APPS = Path(__file__).parent / "modes"
NEAR_AND_FAR_MS = (0, 40)
SECONDS = 3
CALM = 50
"""Writes a second when latency is measured, few enough that none waits for another."""
WRITES = {
    "active_active": {
        "any": "/any",
        "any, acknowledged by a peer": "/peer",
        "home, asked at home": "/home-here",
        "home, asked elsewhere": "/home-there",
        "strong": "/strong",
    },
    "active_passive": {"active": "/active"},
}
LOSSES = {
    "active_active": {"any": "any", "any, acknowledged by a peer": "peer", "home": "home", "strong": "strong"},
    "active_passive": {"active": "active"},
}
"""What the drill calls each mode."""
VIOLATED = 3


def run() -> list[Figure]:
    """Costs first, then losses."""
    costs = [cost for rtt_ms in NEAR_AND_FAR_MS for app in WRITES for cost in asyncio.run(written(app, rtt_ms))]
    losses = [loss for app, modes in LOSSES.items() for mode, path in modes.items() for loss in lost(app, mode, path)]
    return costs + losses


async def written(app: str, rtt_ms: int) -> list[Figure]:
    """Each mode's write in one system, at the first region."""
    figures: list[Figure] = []
    async with system(str(APPS / app), rtt_ms=float(rtt_ms)) as cluster:
        port = region_port(cluster)
        for mode, path in WRITES[app].items():
            calm = await asyncio.to_thread(load, port, path, SECONDS, CALM)
            full = await asyncio.to_thread(load, port, path, SECONDS)
            name = f"{mode}, {rtt_ms} ms"
            figures += [
                Figure(f"{name}: write p50", calm["p50_ms"], "ms"),
                Figure(f"{name}: write p99", calm["p99_ms"], "ms"),
                Figure(f"{name}: throughput", full["rps"], "req/s", note="32 connections"),
            ]
    return figures


def lost(app: str, mode: str, path: str) -> list[Figure]:
    """What clients notice of a region that is blacked out, at the far distance."""
    report = drill(app, path)
    counted = f"of {report['requests']:,} requests {report['failed']} failed; {report['acknowledged']:,} acknowledged"
    return [
        Figure(f"{mode}, region lost: refused or slow for", report["rto_s"], "s", note=counted),
        Figure(f"{mode}, region lost: failed", report["failed"], "requests"),
        Figure(f"{mode}, region lost: missing", len(report["lost_writes"]), "writes", note="until its disk returns"),
    ]


def drill(app: str, path: str) -> dict[str, Any]:
    """One drill's report; a violated objective is a figure here."""
    options = ["--lose", MEASURED, "--how", "blackout", "--rate", "200", "--duration-s", "14", "--rtt-ms", "40"]
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        ran = subprocess.run(
            [PROA, "drill", str(APPS / app), *options, "--failover", "automatic", "--json"],
            cwd=folder,
            env={**os.environ, "BENCH_MODE": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode not in (0, VIOLATED):
        raise RuntimeError(f"the drill of {path} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return json.loads(ran.stdout)
