"""Limiter: so many calls a second of a dependency and no more, with room for a burst.

One token bucket (`bucket`) for all callers in a region: each call takes a token, or is refused and told when there will
be one.
"""

from __future__ import annotations

import msgspec

from proa.core.policy.bucket import FULL, Bucket, burst_of
from proa.core.policy.refusal import Refusal


class Limit(msgspec.Struct, frozen=True):
    """A rate.

    Args:
        rate: calls a second.
        burst: how many may be made at once; `rate` (and at least 1) unless given.
    """

    rate: float
    burst: float | None = None

    def __post_init__(self) -> None:
        self.bucket()

    def bucket(self) -> Bucket:
        """The bucket that keeps it."""
        return Bucket(self.rate, burst_of("Limit", "rate", self.rate, self.burst))


class Limiter:
    """The bucket of one dependency in one region: a gate of `compose`."""

    __slots__ = ("_bucket", "_full_at")

    def __init__(self, limit: Limit) -> None:
        self._bucket = limit.bucket()
        self._full_at = FULL

    def enter(self, now: float) -> Refusal | None:
        """Let a call pass, or say when it may."""
        taken = self._bucket.take(self._full_at, now)
        if taken < 0:
            return Refusal("limiter", -taken)
        self._full_at = now + taken
        return None

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: FBT001 - the shape of a gate
        """What was taken stays taken."""
