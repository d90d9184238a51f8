"""POST over HTTP: what a durable, idempotent, replicated request costs beside one that keeps nothing.

Proa's region, FastAPI and DBOS each have the server's core to themselves; the load client, and Proa's peer region, edge
and witness are on the other. 32 connections, every request with a key and an order of its own. The servers are measured
in turns.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from figures import Figure, medians, ratio_at_least
from proa.local.cluster import Cluster
from processes import load, uvicorn
from systems import MEASURED, PEER, region_port, status, system, until

PEERS = Path(__file__).parent / "peers"
ROUNDS = 5
SECONDS = 2


def run() -> list[Figure]:
    """All four, in turns."""
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="proa-bench-dbos-") as folder:
        fastapi = running.enter_context(uvicorn("fastapi_app:app", PEERS))
        dbos = running.enter_context(uvicorn("dbos_app:app", PEERS, {"BENCH_DIR": folder}))
        regional, strong, bare, durable = asyncio.run(measured(fastapi, dbos))
    return [
        Figure(
            "POST, idempotent, durable, regional, replicated to a peer",
            regional,
            "req/s",
            "FastAPI, bare",
            bare,
            ratio_at_least(1.0),
            "aim 1.3x",
        ),
        Figure("POST, idempotent, durable, strong", strong, "req/s", "FastAPI, bare", bare),
        Figure("POST, idempotent, durable, regional", regional, "req/s", "DBOS on SQLite", durable),
    ]


async def measured(fastapi: int, dbos: int) -> list[float]:
    """Requests a second of each server; the peer region must have everything at the end."""
    async with system() as cluster:
        port = region_port(cluster)
        rates = await asyncio.to_thread(
            medians,
            ROUNDS,
            lambda: load(port, "/orders", SECONDS)["rps"],
            lambda: load(port, "/reservations", SECONDS)["rps"],
            lambda: load(fastapi, "/orders", SECONDS)["rps"],
            lambda: load(dbos, "/orders", SECONDS)["rps"],
        )
        await until(lambda: replicated(cluster))
    return rates


def replicated(cluster: Cluster) -> bool:
    """Whether the peer has applied all that the measured region committed."""
    ours, theirs = status(cluster, MEASURED), status(cluster, PEER)
    return theirs["cursors"].get(ours["origin"], 0) == ours["head"]
