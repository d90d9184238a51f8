"""A wake-up call that is kept until somebody waited for it, so that none is missed."""

from __future__ import annotations

from proa.bell import Bell


class Wake:
    """Whoever waits for it wakes when it rings, or at once if it rang before, or when the time is up."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._rung = False

    def ring(self) -> None:
        """Wake the waiter, or the next one to come."""
        self._rung = True
        self._bell.ring()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, at most `timeout_s`; whether it rang."""
        if not self._rung and timeout_s > 0:
            await self._bell.wait(timeout_s)
        rang, self._rung = self._rung, False
        return rang
