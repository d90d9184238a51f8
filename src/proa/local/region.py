"""A region as a process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from proa.local.plane import declared
from proa.local.site import TcpSite
from proa.nodes import region
from proa.runtime.config import ClusterConfig


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Serve the app as region `name`; yields this boot's id once clients and peers are answered."""
    site = TcpSite(config, name, declared(config.app))
    try:
        async with region.serve(site) as running:
            yield running.boot
    finally:
        await site.link.close()
