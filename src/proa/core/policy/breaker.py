"""Breaker: stop calling what does not answer, and find out with a few calls whether it does again.

Closed, it counts the calls of a window: the last so many, or those of the last so many seconds. Where enough of them
failed, or were slow, it opens and refuses all. After a while it lets a quota of calls through (half-open) and judges by
those alone. A person may force it open or closed.

    closed --too many fail or are slow--> open --open_s over--> half-open --all of the quota judged--> closed or open

Calls report when they end; what began before the present state did says nothing about it and is not counted.
Source: Nygard, "Release It!" (2007).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proa.core.policy.failures import Failures, matches
from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError

State = Literal["closed", "open", "half-open"]
Forced = Literal["open", "closed"]
Cause = Literal["failures", "slow calls", "time", "quota passed", "quota failed", "forced", "another region"]
NEXT: dict[State, frozenset[State]] = {
    "closed": frozenset({"open"}),
    "open": frozenset({"half-open", "closed"}),
    "half-open": frozenset({"closed", "open"}),
}
"""What may follow; open to closed only by force."""
BREAKERS = "~breakers"
"""The table of shared breakers. Key: dependency/region; value: for how many seconds that region's one has opened."""
SLICES = 10
"""A window of time moves in so many steps."""


class Breaker(msgspec.Struct, frozen=True):
    """When to stop calling, and for how long.

    Args:
        failure_rate: the share of failed calls in the window from which on it opens.
        slow_s: from how long on a call is slow; None: none is.
        slow_rate: the share of slow calls in the window from which on it opens.
        window_calls: the window is the last so many calls ...
        window_s: ... or, if given, those that ended in the last so many seconds.
        min_calls: with fewer calls in the window it does not judge.
        open_s: how long it stays open.
        half_open_calls: how many calls are let through then, and judged.
        fails_on: what counts as a failure: classes of exceptions, or a function that says.
        shared: whether it opens, too, where the same dependency's breaker opens in another region.
    """

    failure_rate: float = 0.5
    slow_s: float | None = None
    slow_rate: float = 0.5
    window_calls: int = 100
    window_s: float | None = None
    min_calls: int = 10
    open_s: float = 5.0
    half_open_calls: int = 3
    fails_on: Failures = (Exception,)
    shared: bool = False

    def __post_init__(self) -> None:
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise DeclarationError(f"Breaker: {name} is a fraction such as 0.5, got {getattr(self, name):g}")
        for name in ("window_calls", "min_calls", "half_open_calls"):
            if getattr(self, name) < 1:
                raise DeclarationError(f"Breaker: {name} must be 1 or more, got {getattr(self, name)}")
        for name in ("slow_s", "window_s", "open_s"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise DeclarationError(f"Breaker: {name} must be positive, got {value:g}")
        if self.window_s is None and self.min_calls > self.window_calls:
            raise DeclarationError(
                f"Breaker: min_calls={self.min_calls} is more than window_calls={self.window_calls}: it never opens"
            )

    def blames(self, error: BaseException) -> bool:
        """Whether a call that ended so counts as failed."""
        return matches(self.fails_on, error)


class Change(msgspec.Struct, frozen=True):
    """A breaker changed its state."""

    state: State
    cause: Cause
    failure_rate: float
    slow_rate: float
    calls: int


class LastCalls:
    """A window of the last so many calls: a ring of marks (1: failed, 2: slow, 3: both)."""

    __slots__ = ("_at", "_marks", "_size", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._marks = bytearray(size)
        self._at = 0
        self.calls = self.failed = self.slow = 0

    def add(self, mark: int, now: float) -> bool:  # noqa: ARG002 - the shape of a window
        """Count a call, and the oldest no more; whether a further good call would change nothing."""
        at, marks = self._at, self._marks
        if self.calls == self._size:
            if old := marks[at]:
                self.failed -= old & 1
                self.slow -= old >> 1
        else:
            self.calls += 1
        if mark:
            self.failed += mark & 1
            self.slow += mark >> 1
        marks[at] = mark
        self._at = at + 1 if at + 1 < self._size else 0
        return not self.failed and not self.slow and self.calls == self._size


class LastSeconds:
    """A window of the last so many seconds, in `SLICES` parts: what is counted is up to one part less than that."""

    __slots__ = ("_slice_s", "_slices", "calls", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._slice_s = seconds / SLICES
        self._slices: list[list[int]] = []  # each: its number, calls, failed, slow
        self.calls = self.failed = self.slow = 0

    def add(self, mark: int, now: float) -> bool:
        """Count a call, and none that is too old any more. A further one always changes something."""
        number, slices = int(now / self._slice_s), self._slices
        if not slices or slices[-1][0] < number:
            self._drop(number - SLICES)
            slices.append([number, 0, 0, 0])
        latest = slices[-1]
        latest[1] += 1
        self.calls += 1
        if mark:
            latest[2] += mark & 1
            latest[3] += mark >> 1
            self.failed += mark & 1
            self.slow += mark >> 1
        return False

    def _drop(self, upto: int) -> None:
        while self._slices and self._slices[0][0] <= upto:
            _, calls, failed, slow = self._slices.pop(0)
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow


class Circuit:
    """The breaker of one dependency in one region. A gate of `compose`.

    `changes` waits for whoever tells of them, `turns` counts them.
    """

    __slots__ = (
        "_calm",
        "_let",
        "_slow_s",
        "_until",
        "_window",
        "breaker",
        "changes",
        "forced",
        "since",
        "state",
        "turns",
    )

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.state: State = "closed"
        self.since = float("-inf")
        self.forced = False
        self.changes: list[Change] = []
        self.turns = 0
        self._slow_s = float("inf") if breaker.slow_s is None else breaker.slow_s
        self._until = 0.0
        self._let = 0
        self._window = self._empty()
        self._calm = False  # the window is full of good calls: one more of them changes nothing

    def _empty(self) -> LastCalls | LastSeconds:
        if self.state == "half-open":
            return LastCalls(self.breaker.half_open_calls)
        if self.breaker.window_s is not None:
            return LastSeconds(self.breaker.window_s)
        return LastCalls(self.breaker.window_calls)

    # Before a call, and after it.

    def enter(self, now: float) -> Refusal | None:
        """Let a call pass, or say when it may."""
        return None if self.state == "closed" else self._guarded(now)

    def _guarded(self, now: float) -> Refusal | None:
        if self.state == "open" and not self.forced and now >= self._until:
            self._become("half-open", "time", now)
        if self.state == "half-open":
            if self._let < self.breaker.half_open_calls:
                self._let += 1
                return None
            if now >= self._until:  # what was let through has not answered in all this time
                self._become("open", "quota failed", now)
        return Refusal("breaker", max(0.0, self._until - now) if self.state == "open" and not self.forced else 0.0)

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: FBT001 - the shape of a gate
        """A call that began at `began` has ended; `failed` is None where that says nothing of the other side."""
        if self._calm and failed is False and now - began < self._slow_s:
            return
        if began < self.since or self.state == "open" or self.forced:
            return
        if failed is None:
            self._let -= self.state == "half-open"
            return
        window, slow = self._window, now - began >= self._slow_s
        self._calm = window.add(failed | slow << 1, now) and self.state == "closed"
        if failed or slow or self.state == "half-open":
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Open where too many of the window failed or were slow; close where the quota did well.

        Closed, it is asked after a bad call only: one that went well never opens it.
        """
        window, breaker, trying = self._window, self.breaker, self.state == "half-open"
        if window.calls < (breaker.half_open_calls if trying else breaker.min_calls):
            return
        if window.failed / window.calls >= breaker.failure_rate:
            self._become("open", "quota failed" if trying else "failures", now)
        elif window.slow / window.calls >= breaker.slow_rate:
            self._become("open", "quota failed" if trying else "slow calls", now)
        elif trying:
            self._become("closed", "quota passed", now)

    # By hand, and from afar.

    def force(self, state: Forced, now: float) -> None:
        """Stay in a state until `release`."""
        if self.state != state:
            self._become(state, "forced", now)
        self.forced = True

    def release(self, now: float) -> None:
        """Judge again; what was forced open lets its quota through at once."""
        self.forced = False
        self._until = now

    def hear(self, open_s: float, now: float) -> None:
        """Another region's breaker of this dependency has opened, for so many seconds from now on."""
        if self.state == "closed" and not self.forced and open_s > 0:
            self._become("open", "another region", now)
            self._until = now + open_s

    def _become(self, state: State, cause: Cause, now: float) -> None:
        assert state in NEXT[self.state] or cause == "forced"
        window, calls = self._window, max(1, self._window.calls)
        self.changes.append(Change(state, cause, window.failed / calls, window.slow / calls, window.calls))
        self.state, self.since, self._let = state, now, 0
        self.turns += 1
        self._calm = False
        self._until = now + self.breaker.open_s
        self._window = self._empty()
