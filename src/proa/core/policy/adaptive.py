"""Adaptive limit: how many units may run at once, found out by what they take.

Up to some concurrency more units at once mean more done; past it each only waits for the others, inside a dependency
or for the processor, where nobody can order or drop them. How many wait there shows in how much longer units take than
they do when they are few: of `limit` units that take `slowdown` times as long, `limit * (1 - 1 / slowdown)` wait. If
that is little the limit rises by one, if it is much it falls; so it settles a little above what keeps everything busy,
whatever that is today. Each route is compared with itself, so that slow and quick ones may share a limit; means are
compared, so that a route may have quick and slow answers.

What a unit takes when they are few is seen while at most half the slots are taken. Under lasting load they never are,
so every `PROBE_S` the limit is halved for a moment to look. If units take no less then, it is not for each other that
they wait (the whole machine may be slow), and the limit may rise again.

Source: TCP Vegas (Brakmo and Peterson, 1995), as Netflix' concurrency-limits applies it to servers; the probing is
BBR's (Cardwell et al., 2016) and Envoy's adaptive concurrency filter's.
"""

from __future__ import annotations

PROBE_S = 2.0
FIRST_PROBE_S = 0.5
PROBE_UNITS = 4
"""A probe lasts for so many units as its limit has places, times this."""
FALL = 0.9
"""What is left of the limit when units fail for want of time or of a dependency."""
WINDOW_MIN = 10
SMOOTHING = 0.2


class AdaptiveLimit:
    """The limit of one set of slots. Times are of a monotonic clock."""

    __slots__ = ("_alone_s", "_count", "_failed", "_limit", "_max", "_min", "_probe_at", "_probing", "_took_s", "alone")

    def __init__(self, least: int, most: int, first: int) -> None:
        self._min, self._max = least, most
        self._limit = float(min(max(first, least), most))
        self.alone: dict[str, float] = {}
        """What a unit of each route takes when they are few, in seconds."""
        self._took_s = self._alone_s = 0.0
        self._count = 0
        self._failed = False
        self._probe_at: float | None = None
        self._probing = 0

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return max(1, int(self._limit / 2)) if self._probing else int(self._limit)

    def finished(self, route: str, took_s: float, now: float, *, running: int, failed: bool) -> None:
        """A unit ended, with which `running` ran at once, itself included."""
        alone_s = self.alone.get(route)
        if alone_s is None:
            alone_s = self.alone[route] = took_s
        elif running * 2 <= self._limit:
            alone_s = self.alone[route] = alone_s + (took_s - alone_s) * SMOOTHING
        if self._probing:
            self._probed(now)
            return
        self._failed = self._failed or failed
        self._took_s += took_s
        self._alone_s += alone_s
        self._count += 1
        if self._count >= max(WINDOW_MIN, self._limit):
            self._settle(running)
            self._consider_probe(now)

    def _settle(self, running: int) -> None:
        """Judge a window of units."""
        waiting = self._limit * (1 - self._alone_s / self._took_s) if self._took_s else 0.0
        few, many = 1 + self._limit * 0.1, 2 + self._limit * 0.15
        if self._failed:
            self._limit *= FALL
        elif waiting > many:
            self._limit -= max(1.0, (waiting - many) / 2)
        elif waiting < few and running * 2 > self._limit:
            self._limit += 1
        self._limit = min(max(self._limit, self._min), self._max)
        self._took_s = self._alone_s = 0.0
        self._count, self._failed = 0, False

    def _consider_probe(self, now: float) -> None:
        if self._probe_at is None:
            self._probe_at = now + FIRST_PROBE_S
        elif now >= self._probe_at:
            self._probing = max(1, int(self._limit / 2)) * PROBE_UNITS

    def _probed(self, now: float) -> None:
        self._probing -= 1
        if self._probing == 0:
            self._probe_at = now + PROBE_S
