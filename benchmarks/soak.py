"""A soak: a whole system under steady load for minutes; its memory must stay flat.

    make soak                      (ten minutes)
    python benchmarks/soak.py --minutes 60 --rate 2000

Each node's resident memory is taken once a period. The first quarter is warm-up: the caches of pages and of recent keys
fill to their bounds. Flat means that the median of the last quarter is at most a tenth above that of the second.
Exits 3 where it is not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from proa.local.cluster import Cluster
from processes import load, memory_mib
from systems import MEASURED, region_port, system

PERIODS = 40
GROWTH_MAX = 1.1
VIOLATED = 3


class Trace(msgspec.Struct):
    """One node's memory over time, in MiB."""

    node: str
    mib: list[float] = []

    def quarter(self, number: int) -> float:
        """The median of a quarter of the samples, counted from 0."""
        size = len(self.mib) // 4
        return statistics.median(self.mib[number * size : (number + 1) * size])

    @property
    def growth(self) -> float:
        return self.quarter(3) / self.quarter(1)

    @property
    def flat(self) -> bool:
        return self.growth <= GROWTH_MAX


async def soak(minutes: float, rate: float) -> tuple[list[Trace], dict[str, float]]:
    """Every node's memory, and what the load saw, over `minutes` at `rate` requests a second."""
    async with system() as cluster:
        traces = [Trace(name) for name in cluster.config.nodes]
        port, seconds = region_port(cluster), minutes * 60
        loading = asyncio.create_task(asyncio.to_thread(load, port, "/orders", seconds, rate))
        await sample(cluster, traces, seconds / PERIODS)
        return traces, await loading


async def sample(cluster: Cluster, traces: Sequence[Trace], period_s: float) -> None:
    """Take each node's memory once a period, telling how it stands."""
    progress = Console(stderr=True)
    begin = time.monotonic()
    for number in range(1, PERIODS + 1):
        await asyncio.sleep(begin + number * period_s - time.monotonic())
        for trace in traces:
            trace.mib.append(memory_mib(cluster.pid(trace.node)))
        now = "  ".join(f"{trace.node} {trace.mib[-1]:.0f}" for trace in traces)
        progress.print(f"[dim]{time.monotonic() - begin:5.0f} s[/]  {now} MiB", highlight=False)


def table(traces: Sequence[Trace]) -> Table:
    """The traces as people read them."""
    shown = Table("node", "second quarter", "last quarter", "growth", "", title=f"Soak: at most {GROWTH_MAX:g}x")
    for trace in traces:
        mark = "[green]flat[/]" if trace.flat else "[red]grows[/]"
        early, late = trace.quarter(1), trace.quarter(3)
        shown.add_row(trace.node, f"{early:.1f} MiB", f"{late:.1f} MiB", f"{trace.growth:.2f}x", mark)
    return shown


def main(minutes: float, rate: float, out: Path | None) -> int:
    traces, loaded = asyncio.run(soak(minutes, rate))
    Console().print(table(traces))
    record = {
        "minutes": minutes,
        "rate": rate,
        "region": MEASURED,
        "load": loaded,
        "mib": {trace.node: [round(mib, 1) for mib in trace.mib] for trace in traces},
        "growth": {trace.node: round(trace.growth, 3) for trace in traces},
        "flat": all(trace.flat for trace in traces),
    }
    if out:
        out.write_text(json.dumps(record, indent=2) + "\n")
    return 0 if record["flat"] else VIOLATED


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sys.exit(main(options.minutes, options.rate, options.out))
