"""A bell: whoever waits for it wakes at its next ring, or when the time is up. Rings are not kept.

`breathe` is for long work on the loop: between its slices others have their turn.
"""

from __future__ import annotations

import asyncio


async def breathe() -> None:
    """Let whatever else is ready on the loop go first."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()
    loop.call_soon(_time_is_up, future)
    await future


class Bell:
    """Many may wait; they wake in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[bool], None] = {}  # a set would wake them in an order of its own

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ring(self) -> None:
        """Wake everybody."""
        for future in self._waiting:
            _wake(future, rang=True)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next ring, at most `timeout_s`; whether it rang."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting[future] = None
        timer = loop.call_later(timeout_s, _time_is_up, future)
        try:
            return await future
        finally:
            timer.cancel()
            del self._waiting[future]


def _wake(future: asyncio.Future[bool], *, rang: bool) -> None:
    if not future.done():
        future.set_result(rang)


def _time_is_up(future: asyncio.Future[bool]) -> None:
    _wake(future, rang=False)
