"""A node never outlives its supervisor, however that one ends.

Two lines hold: the kernel kills the node when its parent dies (Linux), even a stopped one; and the supervisor keeps
the other end of the node's standard input, whose end of file means the same on every system.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; exits at once where it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


async def on_end_of_input(act: Callable[[], None]) -> None:
    """Call `act` once the supervisor's end of standard input is closed."""
    source = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    while await source.read(4096):
        pass
    act()
