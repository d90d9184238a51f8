"""Starting a local system from the command line: where its state is kept, and a drill's system from its options."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from proa.chaos.options import DrillOptions, Launch
from proa.chaos.system import System
from proa.errors import StoreLocked
from proa.local.cluster import Cluster
from proa.local.lock import held
from proa.local.stores import emptied


def launcher(target: str, folder: Path, global_store: str = "") -> Launch:
    """Starts a drill's system in `folder`, which is emptied first: a drill begins with nothing.

    In the database of a global store it gets a schema of its own, emptied as well.
    """

    @asynccontextmanager
    async def launch(options: DrillOptions) -> AsyncGenerator[System]:
        empty(folder)
        store = await emptied(global_store, folder.name) if global_store else ""
        async with Cluster(
            target,
            folder,
            rtt_ms=options.rtt_ms,
            relay=options.needs_relay,
            lease_s=options.lease_s,
            failover=options.failover,
            confirm_ends=not options.unconfirmed,
            hold_down_s=options.hold_down_s,
            global_store=store,
        ) as cluster:
            yield cluster

    return launch


def empty(folder: Path) -> None:
    """Remove what an earlier drill left.

    Raises:
        StoreLocked: one is running there.
    """
    if held(folder):
        raise StoreLocked(f"a drill is running in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
