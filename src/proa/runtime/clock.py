"""The real clock and the real entropy."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any

# Linux's CLOCK_BOOTTIME and macOS's CLOCK_MONOTONIC run through suspend; a lease must not stand still with its holder.
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """This machine's clock."""

    now = staticmethod(time.time)  # both are asked so often that a frame would be felt
    monotonic = staticmethod(partial(time.clock_gettime, _MONOTONIC))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def block(self, seconds: float) -> None:
        time.sleep(seconds)

    def cut(self, seconds: float, work: Callable[[], Any]) -> Any:
        """Python cannot end a thread: what is cut goes on in one of its own, and nobody waits for it."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                done.set_exception(error)

        Thread(target=copy_context().run, args=(run,), daemon=True).start()
        return done.result(seconds)


class SystemEntropy:
    """This machine's randomness."""

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, never a secret

    def token(self, size: int = 16) -> str:
        return secrets.token_hex(size)
