"""A whole Proa system for measuring: one region alone on the server's core, everything else on the other."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import urlsplit

from proa.local.cluster import Cluster
from proa.local.layout import Options
from processes import CLIENT_CORE, SERVER_CORE, pin

HERE = Path(__file__).parent
ORDERS = str(HERE / "orders")
MEASURED = "eu-west-1"
PEER = "us-east-1"


@asynccontextmanager
async def system(app: str = ORDERS, **options: Unpack[Options]) -> AsyncIterator[Cluster]:
    """The app's system in a new state directory, its processes pinned."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        async with Cluster(app, folder, **options) as cluster:
            for name in cluster.config.nodes:
                pin(cluster.pid(name), SERVER_CORE if name == MEASURED else CLIENT_CORE)
            await until(lambda: all(status(cluster, name)["ready"] for name in cluster.regions))
            yield cluster


def region_port(cluster: Cluster, name: str = MEASURED) -> int:
    """Where a region itself listens, past the edge."""
    port = urlsplit(cluster.region_url(name)).port
    assert port is not None
    return port


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    """A region's own report."""
    with urllib.request.urlopen(f"{cluster.region_url(name)}/_proa/status", timeout=5) as answer:
        return json.load(answer)


async def until(condition, deadline_s: float = 20) -> None:
    """Wait until `condition()` holds."""
    end = time.monotonic() + deadline_s
    while not await asyncio.to_thread(condition):
        if time.monotonic() > end:
            raise TimeoutError("the system did not get there in time")
        await asyncio.sleep(0.02)
