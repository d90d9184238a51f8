"""A bell: whoever waits for it wakes when it rings, or when the time is up, by the clock of the port."""

from __future__ import annotations

import asyncio

from proa.ports import Clock


class Wake:
    """Rings stay until somebody waited for them, so that none is missed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter, or the next one to come."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, at most `timeout_s`; whether it rang."""
        if not self._event.is_set() and timeout_s > 0:
            await self._race(timeout_s)
        rang = self._event.is_set()
        self._event.clear()
        return rang

    async def _race(self, timeout_s: float) -> None:
        tasks = {asyncio.ensure_future(self._event.wait()), asyncio.ensure_future(self._clock.sleep(timeout_s))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
