"""A running system's control tables, read by who may read its `cluster.json`: that holds the secret of its nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from proa.core.roles import NODES
from proa.local import stores
from proa.ports import GlobalStore
from proa.runtime.clock import SystemEntropy
from proa.runtime.config import ClusterConfig
from proa.runtime.link import TcpLink


@asynccontextmanager
async def global_store(config: ClusterConfig) -> AsyncGenerator[GlobalStore]:
    """The global store, as this command reaches it itself."""
    link = TcpLink("cli", config.secret, lambda node: config.nodes[node].link, SystemEntropy())
    try:
        async with stores.global_store(config, link, "cli") as store:
            yield store
    finally:
        await link.close()


async def look(config: ClusterConfig) -> dict[str, Any]:
    """The control plane's status, read from the control tables themselves."""
    from proa.control.desk import Desk
    from proa.local.plane import declared, ends, rules_of
    from proa.nodes.site import shared_parts

    async with global_store(config) as store:
        await store.scan(NODES)  # raises where the store does not answer; the view would only go on waiting
        shared = shared_parts(store, rules_of(declared(config.app), config), ends())
        await shared.view.poll(0)
        return await Desk("cli", shared).status()
