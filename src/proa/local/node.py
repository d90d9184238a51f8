"""One node as a process: `python -m proa.local.node NAME --config cluster.json`.

What a witness, a region or an edge is made of stands in `proa.nodes`; here it gets a real site: this machine's clock,
entropy, links and disk. The process says one JSON line on standard output once it serves, logs to standard
error, stops cleanly on SIGTERM, and ends with its supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from proa.errors import ProaError
from proa.local.lifeline import die_with_parent, on_end_of_input
from proa.observe import logs
from proa.runtime.config import ClusterConfig, load

GC_THRESHOLD = 20_000
Announce = Callable[[str, str], None]
"""Says that the node serves: (its name, the id of this boot)."""


async def run(config: ClusterConfig, name: str, announce: Announce) -> None:
    """Serve as node `name` until cancelled."""
    match config.nodes[name].kind:
        case "witness":
            from proa.local.witness import serve
        case "region":
            from proa.local.region import serve
        case "edge":
            from proa.local.edge import serve
    async with serve(config, name) as boot:
        _settle_memory()
        announce(name, boot)
        await asyncio.Event().wait()


def _settle_memory() -> None:
    """What start-up made stays for ever: the collector need not look at it again, nor stop requests so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _process(config: ClusterConfig, name: str, announce: Announce, *, supervised: bool) -> None:
    """Serve until told to stop, which also ends a start that waits for another node."""
    serving = asyncio.current_task()
    assert serving is not None
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    lifeline = asyncio.create_task(on_end_of_input(stop)) if supervised else None
    try:
        await run(config, name, announce)
    except asyncio.CancelledError:
        if not told.is_set():
            raise
    finally:
        if lifeline:
            lifeline.cancel()


def _announcer() -> Announce:
    """Keep standard output for the one line; whatever else is printed goes to the log."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def announce(name: str, boot: str) -> None:
        with output:
            output.write(msgspec.json.encode({"ready": name, "boot": boot}) + b"\n")

    return announce


def main(arguments: Sequence[str]) -> int:
    """Run one node; the exit code says whether it served."""
    parser = argparse.ArgumentParser(prog="proa.local.node")
    parser.add_argument("name")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--parent", type=int, help="end with this process, the supervisor")
    given = parser.parse_args(arguments)
    if given.parent:
        die_with_parent(given.parent)
    announce = _announcer()
    logs.setup(given.name)
    import uvloop

    try:
        uvloop.run(_process(load(given.config), given.name, announce, supervised=bool(given.parent)))
    except ProaError as error:
        sys.stderr.write(f"{error.code} {error.title}: {error.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
