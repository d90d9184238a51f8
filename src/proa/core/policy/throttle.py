"""Throttle: so many requests a second from each client, key, route or for the whole app, with room for a burst.

The law is a token bucket's: `burst` tokens, refilled with `rate_per_s`, each request takes one. It is kept as one
number a bucket, the moment at which it will be full again; so a bucket that is full is no number at all, and forgetting
it loses nothing. That bounds memory: in the time a bucket takes to fill, all that were not touched have become full,
so two generations of them, of which the older is dropped each time, hold every bucket that matters. Where more clients
than `BUCKETS_MAX` come in that time, those beyond share a fixed number of buckets: a flood of made-up addresses can
make strangers share a limit, never lift it.

Source: the generic cell rate algorithm, ITU-T I.371 (virtual scheduling); Turner, "New Directions in Communications"
(1986). The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

from math import ceil
from typing import Literal
from zlib import crc32

import msgspec

from proa.errors import DeclarationError

Per = Literal["client", "key", "route", "app"]
PERS: tuple[Per, ...] = ("client", "key", "route", "app")
BUCKETS_MAX = 100_000
SHARED = 1024


class Throttle(msgspec.Struct, frozen=True):
    """A rate, and what has it.

    Args:
        rate_per_s: requests a second in the long run, in all regions together.
        burst: how many may come at once, in each region; what comes in a second (at least 1) unless given.
        per: `client`: each address (of IPv6 each /64) has a bucket; `key`: each principal that authentication found,
            or the address where it found none; `route`: each route has one for everybody; `app`: all routes together.
        region_share: the part of the rate that each region allows. Unless given, 1 / regions where all are active, and
            1 where one is.
    """

    rate_per_s: float
    burst: float | None = None
    per: Per = "client"
    region_share: float | None = None

    def __post_init__(self) -> None:
        if self.rate_per_s <= 0:
            raise DeclarationError(f"Throttle: rate_per_s must be positive, got {self.rate_per_s:g}")
        if self.burst is not None and self.burst < 1:
            raise DeclarationError(f"Throttle: burst must be 1 or more, got {self.burst:g}")
        if self.per not in PERS:
            raise DeclarationError(f"Throttle: per is one of {', '.join(PERS)}, not {self.per!r}")
        if self.region_share is not None and not 0 < self.region_share <= 1:
            raise DeclarationError(f"Throttle: region_share is a fraction such as 0.5, got {self.region_share:g}")

    def share(self, active_regions: int) -> float:
        """The rate that one of so many regions allows."""
        part = 1 / active_regions if self.region_share is None else self.region_share
        return self.rate_per_s * part

    def size(self, active_regions: int) -> float:
        """The tokens of a full bucket in one region."""
        return self.burst if self.burst is not None else max(1.0, self.share(active_regions))


class Buckets:
    """The buckets of one throttle in one region, by key. `now` is a monotonic clock's."""

    __slots__ = ("_gap_s", "_older", "_shared", "_turn_at", "_young", "burst", "fill_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self.burst = burst
        self._gap_s = 1 / rate_per_s
        self.fill_s = burst * self._gap_s
        self._young: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._shared = [0.0] * SHARED
        self._turn_at = float("-inf")

    def take(self, key: str, now: float) -> float:
        """Take a token: the seconds after which the bucket will be full again; negative: none was left.

        Then its absolute value is the seconds until there will be one.
        """
        if now >= self._turn_at:
            self._older, self._young = ({} if now >= self._turn_at + self.fill_s else self._young), {}
            self._turn_at = now + self.fill_s
        young = self._young
        full_at = young.get(key)
        if full_at is None:
            full_at = self._older.get(key, 0.0)
            if len(young) >= BUCKETS_MAX:
                return self._take_shared(key, now)
        full_in_s = (full_at - now if full_at > now else 0.0) + self._gap_s
        if full_in_s > self.fill_s + 1e-9:
            return self.fill_s - full_in_s
        young[key] = now + full_in_s
        return full_in_s

    def _take_shared(self, key: str, now: float) -> float:
        slot = crc32(key.encode()) % SHARED
        full_in_s = max(0.0, self._shared[slot] - now) + self._gap_s
        if full_in_s > self.fill_s + 1e-9:
            return self.fill_s - full_in_s
        self._shared[slot] = now + full_in_s
        return full_in_s

    def left(self, taken: float) -> int:
        """The whole tokens that are left after a `take` that returned `taken`."""
        return int((self.fill_s - taken) / self._gap_s + 1e-6) if taken > 0 else 0

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._young) + len(self._older)


def policy_item(per: str, buckets: Buckets) -> str:
    """A throttle's part of the header `RateLimit-Policy`: its quota `q` in a window of `w` seconds."""
    return f'"{per}";q={int(buckets.burst)};w={max(1, ceil(buckets.fill_s))}'


def limit_item(per: str, buckets: Buckets, taken: float) -> str:
    """Its part of `RateLimit` after a `take`: `r` requests are left, all are there again in `t` seconds."""
    full_in_s = taken if taken > 0 else buckets.fill_s
    return f'"{per}";r={buckets.left(taken)};t={ceil(full_in_s)}'
