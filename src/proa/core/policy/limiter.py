"""Limiter: so many a second and no more, with room for a burst.

A token bucket: it holds `burst` tokens, refills with `rate` a second, and each call takes one. In any stretch of `t`
seconds no more than `rate * t + burst` are taken. The gateway keeps a bucket for each client or route, a dependency one
for all its callers.

Source: Turner, "New Directions in Communications" (1986).
"""

from __future__ import annotations

import msgspec

from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError


class Limit(msgspec.Struct, frozen=True):
    """A rate.

    Args:
        rate: tokens a second.
        burst: tokens that may be taken at once; `rate` (and at least 1) unless given.
    """

    rate: float
    burst: float | None = None

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise DeclarationError(f"Limit: rate must be positive, got {self.rate:g}")
        if self.burst is not None and self.burst < 1:
            raise DeclarationError(f"Limit: burst must be 1 or more, got {self.burst:g}")

    @property
    def size(self) -> float:
        """The tokens of a full bucket."""
        return self.burst if self.burst is not None else max(1.0, self.rate)


class Bucket:
    """One bucket. `now` is a monotonic clock's; where it runs backwards nothing is refilled."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, limit: Limit, now: float) -> None:
        self._rate, self._size = limit.rate, limit.size
        self._tokens = self._size
        self._at = now

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take tokens: 0.0 where there were enough, else the seconds until there will be, and none is taken.

        Infinity where a full bucket does not hold as many.
        """
        if now > self._at:
            self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
            self._at = now
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._rate if tokens <= self._size else float("inf")

    def left(self, now: float) -> float:
        """How many tokens there are."""
        return min(self._size, self._tokens + max(0.0, now - self._at) * self._rate)

    def full_in_s(self, now: float) -> float:
        """The seconds until it is full, if nobody takes any: then it may as well be forgotten."""
        return (self._size - self.left(now)) / self._rate

    # A gate of `compose`.

    def enter(self, now: float) -> Refusal | None:
        """Let a call pass, or say when it may."""
        wait_s = self.take(now)
        return Refusal("limiter", wait_s) if wait_s else None

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: FBT001 - the shape of a gate
        """What was taken stays taken."""
