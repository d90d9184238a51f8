"""Starting the load process and talking to it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from proa.chaos import records
from proa.chaos.load import Broken, Done, LoadPlan, Message, Ready, Started, Tick
from proa.chaos.records import Record
from proa.errors import NodeFailed

SETUP_WITHIN_S = 20.0
ENDED_EARLY = "the load process ended early; what it said last stands above"


class LoadProcess:
    """A load process that is set up and waits for `go`."""

    def __init__(self, plan: LoadPlan, process: asyncio.subprocess.Process) -> None:
        self._plan = plan
        self._process = process
        self.cpu_s = 0.0
        """What the load process itself used, known at its end."""

    async def go(self) -> float:
        """Start the load; the moment at which the first request is due."""
        await self._say(b"go\n")
        message = await self.next()
        assert isinstance(message, Started)
        return message.at

    async def stop(self) -> None:
        """Send nothing more; `ticks` ends when the last request is over."""
        await self._say(b"stop\n")

    async def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()

    async def ticks(self) -> AsyncIterator[Tick]:
        """The figures while it runs; ends when every request is over."""
        while not isinstance(message := await self.next(), Done):
            if isinstance(message, Tick):
                yield message
        self.cpu_s = message.cpu_s

    def records(self) -> list[Record]:
        """What it remembers, after its end."""
        return records.load(Path(self._plan.records))

    async def next(self) -> Message:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        message: Message = msgspec.json.decode(line, type=Message) if line else Broken(ENDED_EARLY)
        if isinstance(message, Broken):
            raise NodeFailed(message.detail)
        return message


@asynccontextmanager
async def load_process(plan: LoadPlan, environment: Mapping[str, str]) -> AsyncGenerator[LoadProcess]:
    """A load process, set up. It is ended when the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "proa.chaos.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        load = LoadProcess(plan, process)
        ready = await _set_up(load)
        assert isinstance(ready, Ready)
        yield load
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _set_up(load: LoadProcess) -> Message:
    try:
        return await asyncio.wait_for(load.next(), SETUP_WITHIN_S)
    except TimeoutError:
        raise NodeFailed(f"the workload's set-up took longer than {SETUP_WITHIN_S:g} s") from None
