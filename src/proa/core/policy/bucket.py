"""The token bucket: so many a second and no more, with room for a burst.

A bucket holds `burst` tokens and is refilled with `rate_per_s`; whatever is let through takes one. So in any stretch of
`t` seconds no more than `rate_per_s * t + burst` pass. All that there is to know of a bucket is the moment at which it
will be full again: one number, and none at all for a bucket that is full. Throttles keep many of them (`throttle`), a
dependency's limiter one (`limiter`).

Source: the generic cell rate algorithm, ITU-T I.371 (virtual scheduling); Turner, "New Directions in Communications"
(1986).
"""

from __future__ import annotations

import msgspec
from msgspec.structs import force_setattr

from proa.errors import DeclarationError

FULL = float("-inf")
"""When a bucket was full that nobody has taken from."""
ROUNDING_S = 1e-9


class Bucket(msgspec.Struct, frozen=True):
    """The law of a bucket. `full_at` and `now` are on one monotonic clock.

    A token comes every `gap_s`, and an empty bucket is full after `fill_s`.
    """

    rate_per_s: float
    burst: float
    gap_s: float = 0.0
    fill_s: float = 0.0

    def __post_init__(self) -> None:
        force_setattr(self, "gap_s", 1 / self.rate_per_s)
        force_setattr(self, "fill_s", self.burst / self.rate_per_s)

    def take(self, full_at: float, now: float) -> float:
        """Take a token: the seconds after which the bucket will be full again; negative: none was left.

        Then its absolute value is the seconds until there will be one, and `full_at` stands.
        """
        full_in_s = full_at - now + self.gap_s if full_at > now else self.gap_s
        return full_in_s if full_in_s <= self.fill_s + ROUNDING_S else self.fill_s - full_in_s

    def left(self, taken: float) -> int:
        """The whole tokens that are left after a `take` that returned `taken`."""
        return int(self.burst - taken * self.rate_per_s + 1e-6) if taken > 0 else 0


def burst_of(policy: str, rate_name: str, rate: float, burst: float | None) -> float:
    """The burst of a declared rate: what comes in a second, and at least 1, unless given.

    Raises:
        DeclarationError: rate or burst cannot work.
    """
    if rate <= 0:
        raise DeclarationError(f"{policy}: {rate_name} must be positive, got {rate:g}")
    if burst is not None and burst < 1:
        raise DeclarationError(f"{policy}: burst must be 1 or more, got {burst:g}")
    return burst if burst is not None else max(1.0, rate)
