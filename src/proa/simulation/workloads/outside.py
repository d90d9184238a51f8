"""The world outside of a simulated system: what effects call. It outlives every region, and forgets nothing.

A call takes a while to arrive and a while to be answered: whoever dies or stands still in between does not know
whether it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

LATENCY_S = 0.05


class Outside:
    """Every call that arrived, in order: what was asked for, about what, under which key."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    async def call(self, what: str, about: str, key: str) -> int:
        """Do something; how often it has been done by then."""
        await asyncio.sleep(LATENCY_S)
        self.calls.append((what, about, key))
        done = self.done(what, about)
        await asyncio.sleep(LATENCY_S)
        return done

    def done(self, what: str, about: str) -> int:
        """How often something was done."""
        return sum(call[:2] == (what, about) for call in self.calls)

    def keys(self, what: str, about: str) -> set[str]:
        """The keys under which something was done."""
        return {key for called, of, key in self.calls if (called, of) == (what, about)}

    @contextmanager
    def begun(self) -> Generator[None]:
        """Nothing was called yet."""
        self.calls = []
        yield
