"""A clock and entropy for tests that want to know what comes of them."""

import asyncio
import random


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, now=1_000_000.0):
        self.time = now

    def now(self):
        return self.time

    def monotonic(self):
        return self.time


class ThreadlessClock(ManualClock):
    """Blocking moves it, and what is cut is judged by it."""

    def block(self, seconds):
        self.time += seconds

    def cut(self, seconds, work):
        began = self.time
        answer = work()
        if self.time - began > seconds:
            raise TimeoutError
        return answer


class SeededEntropy:
    """Entropy that repeats itself for a seed."""

    def __init__(self, seed=0):
        self._rng = random.Random(seed)

    def random(self):
        return self._rng.random()

    def token(self, size=16):
        return self._rng.randbytes(size).hex()


class LoopClock:
    """The clock of the running loop, which in a simulated one jumps to whatever is due next."""

    def now(self):
        return self.monotonic()

    def monotonic(self):
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)
