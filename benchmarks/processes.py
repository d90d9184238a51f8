"""Starting what is measured: servers pinned to one core, clients and everything else to the other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from proa.local.layout import free_ports

HERE = Path(__file__).parent
SERVER_CORE = 0
CLIENT_CORE = 1
PROA = str(Path(sys.executable).with_name("proa"))
_ahead = free_ports(os.getpid() * 251)
PINNED = hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core, where the system can."""
    if not PINNED:
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), {core})
        except ProcessLookupError:
            continue  # the thread ended meanwhile


def on_core(core: int, command: list[str]) -> list[str]:
    """The command, started on one core."""
    return ["taskset", "-c", str(core), *command] if PINNED else command


def free_port() -> int:
    """A loopback port that nobody listens on, and that no outgoing connection takes."""
    return next(_ahead).port


def wait_for(port: int, deadline_s: float = 30) -> None:
    """Return as soon as somebody listens on the port."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


@contextmanager
def uvicorn(target: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """An ASGI app on uvicorn with its fastest loop and parser, pinned to the server's core; yields the port."""
    port = free_port()
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", target, *options, "--log-level", "error"]
    process = subprocess.Popen(
        on_core(SERVER_CORE, command), cwd=folder, env={**os.environ, **(environment or {})}, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def told_by(program: Path | str, *arguments: object) -> Any:
    """What a program of its own prints, which is JSON; peers and regions are measured in such."""
    argv = [sys.executable, str(program), *map(str, arguments)]
    ran = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{Path(program).name} failed: {ran.stderr.strip()}")
    return json.loads(ran.stdout)


def memory_mib(pid: int, kind: Literal["VmRSS", "VmHWM"] = "VmRSS") -> float:
    """Memory of a process that is in RAM, or the most that ever was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def load(port: int, path: str, seconds: float = 3, rate: float = 0, headers: Sequence[str] = ()) -> dict[str, float]:
    """What the load client, on its own core, gets out of a server."""
    options = ["--seconds", str(seconds), "--rate", str(rate), *(f"--header={header}" for header in headers)]
    command = [sys.executable, str(HERE / "load.py"), f"127.0.0.1:{port}", path, *options]
    ran = subprocess.run(on_core(CLIENT_CORE, command), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"the load client failed: {ran.stderr.strip()}")
    return json.loads(ran.stdout)
