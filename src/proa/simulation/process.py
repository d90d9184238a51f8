"""Hosts and the processes that live on them: clocks that are wrong, pauses anywhere, deaths that undo nothing.

A host outlives its processes: it has the clock and the disk. A process is one life of a node's program. Every port
call of its code passes `Life.port`, where a trap set by a fault may stop it, jump its clock or kill it: whatever lies
between a check and an act can be hit there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from math import inf, nextafter
from random import Random
from typing import Any, Literal

from proa.simulation.loop import OWNER, SimLoop, Steps

EPOCH_S = 1_700_000_000.0
"""The wall clock at the beginning of every world."""
Trap = Literal["pause", "jump", "kill"]


class HostClock:
    """A host's two clocks: a wall clock that may be anywhere, and a monotonic one that may run fast or slow."""

    __slots__ = ("_local_s", "_true_s", "exact", "offset_s", "rate")

    def __init__(self) -> None:
        self.offset_s = 0.0
        self.rate = 1.0
        self.exact = True
        """The monotonic clock has never run at another rate: it shows true time."""
        self._true_s = 0.0
        self._local_s = 0.0

    def monotonic(self, true_s: float) -> float:
        return self._local_s + (true_s - self._true_s) * self.rate

    def true_of(self, local_s: float) -> float:
        """The true time at which it shows `local_s`, never earlier, else who waits would wait again, for ever."""
        true_s = self._true_s + (local_s - self._local_s) / self.rate
        while self.monotonic(true_s) < local_s:
            true_s = nextafter(true_s, inf)
        return true_s

    def run_at(self, rate: float, true_s: float) -> None:
        """From now on run `rate` times as fast as true time."""
        self._local_s, self._true_s, self.rate = self.monotonic(true_s), true_s, rate
        self.exact = False


class Life:
    """One process on a host. `loop.Process` for the loop; `proa.ports.Clock` and `Entropy` for its code."""

    def __init__(
        self, name: str, loop: SimLoop, clock: HostClock, rng: Random, on_trap: Callable[[Life, Trap, float], None]
    ) -> None:
        self.name = name
        self.halted = False
        self.stalled = False
        """Halted in the middle of a step, which goes on before anything else of it does."""
        self.dead = False
        self.held: list[Any] = []
        self.clock = clock
        self._loop = loop
        self._rng = rng
        self.authors = Random(rng.random())  # noqa: S311 - to be repeated, never a secret
        """What an author's own draws come from: a stream apart, so that Proa's do not depend on them."""
        self._on_trap = on_trap
        self._trap: list[Any] | None = None
        self.context = copy_context()
        self.context.run(OWNER.set, self)
        self.link: Any = None
        self.methods: Any = None
        self.http: Any = None
        self.unfinished: dict[Steps, None] = {}
        """What it has begun without a task and not ended."""
        self.running: Any = None
        """What the node's composition yielded, once it serves."""

    # Ports.

    def now(self) -> float:
        if self._trap is not None:
            self._count_down(self._trap)  # here a trap may set the wall clock
        now_s, clock = self._loop.now_s, self.clock
        return EPOCH_S + clock.offset_s + (now_s if clock.exact else clock.monotonic(now_s))

    def monotonic(self) -> float:
        if self._trap is not None:
            self._count_down(self._trap)
        now_s, clock = self._loop.now_s, self.clock
        return now_s if clock.exact else clock.monotonic(now_s)

    async def sleep(self, seconds: float) -> None:
        self.port()
        await self._loop.rest(seconds)

    def block(self, seconds: float) -> None:
        """There are no threads here: who blocks one holds up the whole process."""
        self.port()
        self.stall(seconds)

    def cut(self, seconds: float, work: Callable[[], Any]) -> Any:
        began = self.monotonic()
        answer = work()
        if self.monotonic() - began > seconds:
            raise TimeoutError
        return answer

    def random(self) -> float:
        return self._rng.random()

    def token(self, size: int = 16) -> str:
        return self._rng.randbytes(size).hex()

    def port(self) -> None:
        """A port is called: the place where a trap springs."""
        if self._trap is not None:
            self._count_down(self._trap)

    def _count_down(self, trap: list[Any]) -> None:
        if self._loop.current is not self:
            return  # the world looks, not the process
        trap[0] -= 1
        if trap[0] <= 0:
            self._trap = None
            self._on_trap(self, trap[1], trap[2])

    def set_trap(self, nth: int, trap: Trap, amount: float) -> None:
        """Spring at the `nth` port call from now."""
        self._trap = [nth, trap, amount]

    def disarm(self) -> None:
        """No trap springs any more."""
        self._trap = None

    # What is done to it.

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run `work` as this process, now."""
        before, self._loop.current = self._loop.current, self
        try:
            return self.context.copy().run(work, *args)
        finally:
            self._loop.current = before

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a task of this process."""
        return self._loop.create_task(work, context=self.context.copy())

    def stall(self, seconds: float) -> None:
        """Stand still in the middle of this step."""
        self._loop.stall(self, seconds)

    def pause(self) -> None:
        self.halted = True

    def resume(self) -> None:
        """Go on with everything that became ready meanwhile; from within a step, with that step."""
        if self.stalled:
            self.stalled = False
        elif not self.dead:
            self.halted = False
            held, self.held = self.held, []
            self._loop.requeue(held)

    def kill(self) -> None:
        """End it: nothing of it runs any more, no `finally` either."""
        self.dead = self.halted = True
        self.held = []
