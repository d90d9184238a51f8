"""Simulated outages a minute, and how long a failing one takes to shrink.

The reference scenario: payments in three regions, 90 requests, 3 faults, about 30 simulated seconds, with the real
gateway, unit of work, SQLite stores, replicators, observers and controllers in it. A failing case is made by giving
payments a charge that forgets its limit.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Bound, Figure, at_most

PAYMENTS = Path(__file__).parents[1] / "examples" / "payments"
SEEDS = 300
REFERENCE = ("--profile", "outage", "--requests", "90", "--duration-s", "25", "--faults", "3")
ONE_CORE = 1500
TWO_CORES = 3000
SHRINK_S_MAX = 30


def run() -> list[Figure]:
    """The figures."""
    one, two = (batch(jobs) for jobs in (1, 2))
    simulated_s = one["simulated_s"] / SEEDS
    note = f"90 requests, 3 faults, {simulated_s:.0f} simulated seconds each"
    return [
        throughput("simulated scenarios on one core", one, ONE_CORE, note),
        throughput("simulated scenarios on two cores", two, TWO_CORES, note),
        shrunk(),
    ]


def throughput(name: str, report: dict[str, float], limit: float, note: str) -> Figure:
    return Figure(name, report["scenarios_per_minute"], "/min", bound=Bound("value", "at least", limit), note=note)


def batch(jobs: int) -> dict[str, float]:
    """Many seeds of the reference scenario; every one of them must hold."""
    report = proa("run", str(PAYMENTS), "--seeds", str(SEEDS), "--jobs", str(jobs), *REFERENCE, "--json", expected=0)
    return json.loads(report)


def shrunk() -> Figure:
    """A failing case and what is left of it."""
    with tempfile.TemporaryDirectory() as folder:
        app = broken_payments(Path(folder))
        arguments = ("--seeds", "20", "--jobs", "1", "--profile", "partition", "--out", folder, "--json")
        file = json.loads(proa("run", str(app), *arguments, expected=3))["failing"][0]["file"]
        began = time.monotonic()
        proa("shrink", file, "--json", expected=0)
        took_s = time.monotonic() - began
        kept = json.loads(Path(file).read_text())
    note = f"{len(kept['faults'])} faults and {kept['requests']} requests are left"
    return Figure("a failing seed shrinks within", took_s, "s", bound=at_most(SHRINK_S_MAX), note=note)


def broken_payments(folder: Path) -> Path:
    """Payments with its accounts in a table that every region writes."""
    app = folder / "payments"
    shutil.copytree(PAYMENTS, app)
    source = (app / "app.py").read_text()
    broken = re.sub(r'mode="strong"', 'mode="any"', source)
    assert broken != source
    (app / "app.py").write_text(broken)
    return app


def proa(command: str, *arguments: str, expected: int) -> str:
    """What `proa sim` printed."""
    done = subprocess.run(
        [sys.executable, "-m", "proa.cli", "sim", command, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != expected:
        raise RuntimeError(f"proa sim {command} exited with {done.returncode}, not {expected}: {done.stderr[-2000:]}")
    return done.stdout
