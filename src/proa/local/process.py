"""One child process of the supervisor: started, watched until its end, signalled, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from proa.errors import NodeFailed

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
LOG_TAIL_LINES = 12
LOG_BYTES_KEPT = 4 << 20


class Child:
    """A child whose standard input is its lifeline, whose standard output speaks to us, and whose log is a file."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, on_end: Callable[[Child], None]) -> None:
        self.name = name
        self.log = log
        self._argv = argv
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, in a session of its own: a terminal's Ctrl-C is for the supervisor alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_KEPT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._watch = asyncio.create_task(self._until_end())

    async def heard(self, timeout_s: float = START_TIMEOUT_S) -> bytes:
        """The next line that the child says.

        Raises:
            NodeFailed: it ended, or said nothing in time.
        """
        assert self._process
        assert self._process.stdout
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise NodeFailed(f"{self.name} was not ready within {timeout_s:g} s{self._tail()}") from None
        if not line:
            raise NodeFailed(f"{self.name} ended before it was ready{self._tail()}")
        return line

    async def say(self, line: bytes) -> None:
        """Write a line to the child's standard input."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(line + b"\n")
        await self._process.stdin.drain()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running and self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end; kill it where it does not listen."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process and self._process.stdin:
            self._process.stdin.close()
        await self.ended(timeout_s)

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        await self.ended(STOP_TIMEOUT_S)

    async def ended(self, timeout_s: float) -> None:
        """Wait for the end; kill it when the time has run out."""
        if self._watch is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._watch)
        if self.running:
            self.signal(signal.SIGKILL)
            await self._watch

    async def _until_end(self) -> None:
        assert self._process
        await self._process.wait()
        self._on_end(self)

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if self.log.exists() else []
        return "; the end of its log:" + "".join(f"\n  {line}" for line in lines) if lines else ""


def python(module: str, *arguments: str) -> list[str]:
    """The command line of a Proa process."""
    return [sys.executable, "-m", module, *arguments]
