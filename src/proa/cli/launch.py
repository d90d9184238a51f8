"""Starting a local system from the command line: where its state is kept, and a drill's system from its options."""

from __future__ import annotations

import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from proa.chaos.options import DrillOptions, Launch
from proa.chaos.system import System
from proa.errors import StoreLocked
from proa.local.cluster import Cluster
from proa.local.lock import held


def launcher(target: str, folder: Path) -> Launch:
    """Starts a drill's system in `folder`, which is emptied first: a drill begins with nothing."""

    def launch(options: DrillOptions) -> AbstractAsyncContextManager[System]:
        empty(folder)
        return Cluster(
            target,
            folder,
            rtt_ms=options.rtt_ms,
            relay=options.needs_relay,
            lease_s=options.lease_s,
            failover=options.failover,
            confirm_ends=not options.unconfirmed,
            hold_down_s=options.hold_down_s,
        )

    return launch


def empty(folder: Path) -> None:
    """Remove what an earlier drill left.

    Raises:
        StoreLocked: one is running there.
    """
    if held(folder):
        raise StoreLocked(f"a drill is running in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
