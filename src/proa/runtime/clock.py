"""The real clock and the real entropy."""

from __future__ import annotations

import asyncio
import random
import secrets
import time

# Linux's CLOCK_BOOTTIME and macOS's CLOCK_MONOTONIC run through suspend; a lease must not stand still with its holder.
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """This machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.clock_gettime(_MONOTONIC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemEntropy:
    """This machine's randomness."""

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, never a secret

    def token(self, size: int = 16) -> str:
        return secrets.token_hex(size)
