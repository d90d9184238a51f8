"""The witness as a process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from proa.local.plane import declared
from proa.local.site import TcpSite
from proa.nodes import witness
from proa.runtime.config import ClusterConfig


@asynccontextmanager
async def serve(config: ClusterConfig, name: str) -> AsyncGenerator[str]:
    """Serve the global store over the link; yields this boot's id."""
    async with witness.serve(TcpSite(config, name, declared(config.app))) as running:
        yield running.boot
