"""What a region costs while nothing happens, and how long `proa dev` takes until it serves."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from figures import Figure, at_most
from processes import PROA, free_port, memory_mib
from systems import MEASURED, ORDERS, system

SETTLE_S = 2
IDLE_S = 10
STARTS = 3
READY_WITHIN_S = 30


def run() -> list[Figure]:
    """An idle system, then a few starts."""
    mib, percent = asyncio.run(idle())
    return [
        Figure("an idle region: memory", mib, "MiB", bound=at_most(100)),
        Figure("an idle region: processor", percent, "% of a core", bound=at_most(1)),
        Figure(
            "proa dev: start to first answer",
            statistics.median(start_s() for _ in range(STARTS)),
            "s",
            bound=at_most(3),
        ),
    ]


async def idle() -> tuple[float, float]:
    """Resident MiB and the share of a core of one region that nobody calls."""
    async with system() as cluster:
        pid = cluster.pid(MEASURED)
        await asyncio.sleep(SETTLE_S)
        before = cpu_s(pid)
        await asyncio.sleep(IDLE_S)
        return memory_mib(pid), (cpu_s(pid) - before) / IDLE_S * 100


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_s() -> float:
    """Seconds from the command to the first answer through the edge."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        command = [PROA, "dev", ORDERS, "--port", str(port), "--state-dir", folder]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not serves(port):
                if process.poll() is not None or time.perf_counter() - begin > READY_WITHIN_S:
                    raise RuntimeError("proa dev did not serve")
                time.sleep(0.01)
            return time.perf_counter() - begin
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def serves(port: int) -> bool:
    """Whether a region's answer comes through the edge (404 for a path that no route has)."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/no-such-path", timeout=1)
    except urllib.error.HTTPError as error:
        return error.headers.get("proa-region") is not None
    except OSError:
        return False
    return True
