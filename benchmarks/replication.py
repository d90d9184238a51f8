"""How far a peer region is behind while one commits 2,000 times a second: from commit to durable application there."""

from __future__ import annotations

import asyncio

from figures import Figure, at_most
from processes import load
from systems import PEER, region_port, status, system

COMMITS_PER_S = 2000
SECONDS = 4
ROUNDS = 3


def run() -> list[Figure]:
    """The median of a few systems, each under one paced load."""
    rounds = [asyncio.run(measured()) for _ in range(ROUNDS)]
    achieved, lag_ms = sorted(rounds, key=lambda measured: measured[1]["p99"])[ROUNDS // 2]
    each = ", ".join(f"{lag['p99']:.3g}" for _, lag in rounds)
    return [
        Figure(
            f"replication lag p99 at {COMMITS_PER_S:,} commits/s",
            lag_ms["p99"],
            "ms",
            bound=at_most(25),
            note=f"{achieved:,.0f} commits/s achieved, lag p50 {lag_ms['p50']:.3g} ms; p99 of each round {each} ms",
        )
    ]


async def measured() -> tuple[float, dict[str, float]]:
    """The rate that was reached, and the peer's own account of its lag under it."""
    async with system() as cluster:
        port = region_port(cluster)
        loaded = await asyncio.to_thread(load, port, "/orders", SECONDS, COMMITS_PER_S)
        return loaded["rps"], status(cluster, PEER)["lag_ms"]
