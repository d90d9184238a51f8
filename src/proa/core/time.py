"""Hybrid logical time: stamps that respect causality and stay close to the wall clock.

A stamp is one integer: milliseconds since the Unix epoch shifted left by 16 bits, plus a counter for events within the
same millisecond. Stamps order commits across regions: a commit's stamp is larger than that of everything its region
had seen. Source: Kulkarni et al., "Logical Physical Clocks" (2014).
"""

from __future__ import annotations

COUNTER_BITS = 16


def stamp_of(now: float) -> int:
    """The smallest stamp of the wall-clock time `now` (seconds)."""
    return int(now * 1000) << COUNTER_BITS


def wall_of(stamp: int) -> float:
    """The wall-clock part of a stamp, in seconds."""
    return (stamp >> COUNTER_BITS) / 1000


class HybridClock:
    """The latest stamp of one region; the caller passes the wall clock in."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def tick(self, now: float) -> int:
        """A stamp for a local event at `now`: larger than any given or observed before."""
        self.last = max(self.last + 1, stamp_of(now))
        return self.last

    def observe(self, stamp: int) -> None:
        """Take note of another region's stamp."""
        self.last = max(self.last, stamp)


def out_of_bound(stamp: int, now: float, bound_s: float) -> bool:
    """Whether `stamp` lies further in the future of `now` than the declared clock bound allows."""
    return wall_of(stamp) - now > bound_s
