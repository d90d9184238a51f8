"""Pace: how many runs of a consumer may be under way, so that a store that is behind is not asked for ever more.

Where a commit takes longer than it should, half as many; where it does not, one more, up to what is declared (additive
increase, multiplicative decrease: Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion
avoidance in computer networks", 1989). A rate, if one is declared, spaces the beginnings of runs evenly.
"""

from __future__ import annotations

from math import exp

BEHIND_S = 0.5
"""A commit that takes longer says that the store is behind."""
BURST_S = 0.05
"""What a rate allows for this long may begin at once."""


class Pace:
    """What is allowed at the moment. `most` is what is declared, `rate_max` in runs a second if at all."""

    __slots__ = ("_eased_at", "_next_at", "allowed", "most", "rate_max")

    def __init__(self, most: int, rate_max: float | None = None) -> None:
        self.most = most
        self.allowed = most
        self.rate_max = rate_max
        self._next_at = 0.0
        self._eased_at = 0.0

    def committed(self, took_s: float, now: float) -> None:
        """A commit of a run took so long. `now` is monotonic."""
        if took_s <= BEHIND_S:
            self.allowed = min(self.most, self.allowed + 1)
        elif now - self._eased_at >= took_s:  # runs that waited for the same commit say it once
            self._eased_at = now
            self.allowed = max(1, self.allowed // 2)

    def wait_s(self, now: float) -> float:
        """How long the next run has to wait for its turn."""
        return max(0.0, self._next_at - now - BURST_S) if self.rate_max else 0.0

    def began(self, number: int, now: float) -> None:
        """So many runs begin."""
        if self.rate_max:
            self._next_at = max(self._next_at, now) + number / self.rate_max


class Meter:
    """How many a second, of late: an average that forgets with time."""

    OVER_S = 10.0

    __slots__ = ("_at", "_per_s", "count")

    def __init__(self) -> None:
        self.count = 0
        self._per_s = 0.0
        self._at = 0.0

    def mark(self, now: float) -> None:
        """One more. `now` is monotonic."""
        self._per_s = self.per_s(now) + 1 / self.OVER_S
        self._at = now
        self.count += 1

    def per_s(self, now: float) -> float:
        """The rate at this moment."""
        return self._per_s * exp(-max(0.0, now - self._at) / self.OVER_S)
