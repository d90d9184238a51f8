"""Throttle: so many requests a second from each client, key, route or for the whole app, with room for a burst.

Each of them has a token bucket (`bucket`): one number, the moment at which it will be full again. A bucket that is full
is no number at all, and forgetting it loses nothing. That bounds memory: in the time a bucket takes to fill, all that
were not touched have become full, so two generations of them, of which the older is dropped each time, hold every
bucket that matters. Where more clients than `BUCKETS_MAX` come in that time, those beyond share a fixed number of
buckets: a flood of made-up addresses can make strangers share a limit, never lift it.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

from math import ceil
from typing import Literal, TypeVar
from zlib import crc32

import msgspec

from proa.core.policy.bucket import FULL, Bucket, burst_of
from proa.errors import DeclarationError

K = TypeVar("K")
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
        burst_of("Throttle", "rate_per_s", self.rate_per_s, self.burst)
        if self.per not in PERS:
            raise DeclarationError(f"Throttle: per is one of {', '.join(PERS)}, not {self.per!r}")
        if self.region_share is not None and not 0 < self.region_share <= 1:
            raise DeclarationError(f"Throttle: region_share is a fraction such as 0.5, got {self.region_share:g}")

    def bucket(self, active_regions: int) -> Bucket:
        """The bucket that one of so many regions keeps of it."""
        part = 1 / active_regions if self.region_share is None else self.region_share
        share = self.rate_per_s * part
        return Bucket(share, burst_of("Throttle", "rate_per_s", share, self.burst))


class Buckets:
    """The buckets of one throttle in one region, by key. `now` is a monotonic clock's."""

    __slots__ = ("_older", "_shared", "_turn_at", "_young", "law")

    def __init__(self, law: Bucket) -> None:
        self.law = law
        self._young: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._shared: dict[int, float] = {}
        self._turn_at = FULL

    def take(self, key: str, now: float) -> float:
        """Take a token of a key's bucket; see `Bucket.take`."""
        if now >= self._turn_at:
            self._turn(now)
        young = self._young
        if (full_at := young.get(key)) is None:
            if len(young) >= BUCKETS_MAX:
                return self._take(self._shared, slot := crc32(key.encode()) % SHARED, self._shared.get(slot, FULL), now)
            full_at = self._older.get(key, FULL)
        return self._take(young, key, full_at, now)

    def _take(self, kept: dict[K, float], key: K, full_at: float, now: float) -> float:
        taken = self.law.take(full_at, now)
        if taken > 0:
            kept[key] = now + taken
        return taken

    def _turn(self, now: float) -> None:
        """Forget what has become full since the last turn."""
        fill_s = self.law.fill_s
        self._older, self._young = ({} if now >= self._turn_at + fill_s else self._young), {}
        self._turn_at = now + fill_s

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._young) + len(self._older)


def policy_item(per: str, law: Bucket) -> str:
    """A throttle's part of the header `RateLimit-Policy`: its quota `q` in a window of `w` seconds."""
    return f'"{per}";q={int(law.burst)};w={max(1, ceil(law.fill_s))}'


def limit_item(per: str, law: Bucket, taken: float) -> str:
    """Its part of `RateLimit` after a `take`: `r` requests are left, all are there again in `t` seconds."""
    full_in_s = taken if taken > 0 else law.fill_s
    return f'"{per}";r={law.left(taken)};t={ceil(full_in_s)}'
