"""When an issuer's keys are fetched, how long they serve, and what is said of a key that nobody knows.

Fresh keys serve at once. Aged ones serve too, and are fetched again in the background: an outage of the provider must
not become an outage here. That ends `stale_s` after the last answer: a key withdrawn by a provider that cannot be
heard must not be trusted for ever. A key id that is not among them makes us ask, since keys rotate; but at most once
in `cooldown_s` for all ids together, and not again for an id that the provider has just said it does not have.
So a flood of made-up ids is answered from memory.

    ask(kid) ->  Use (perhaps with `refresh`) | Fetch, then ask again | Unknown | Unavailable

The driver is `runtime.identity.keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K")
ABSENT_MAX = 1024
"""How many ids that the provider does not have are remembered."""


class Freshness(msgspec.Struct, frozen=True):
    """How long keys serve, in seconds.

    Until `fresh_s` without a question, until `stale_s` while the provider does not answer. It is asked at most once in
    `cooldown_s`, and about one unknown id at most once in `absent_s`.
    """

    fresh_s: float = 300.0
    stale_s: float = 24 * 3600.0
    cooldown_s: float = 5.0
    absent_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.cooldown_s <= self.fresh_s <= self.stale_s or self.absent_s <= 0:
            raise ValueError(
                "keys need 0 < cooldown_s <= fresh_s <= stale_s and absent_s > 0, got "
                f"{self.cooldown_s:g}, {self.fresh_s:g}, {self.stale_s:g} and {self.absent_s:g}"
            )


class Use(msgspec.Struct, Generic[K], frozen=True):
    """Verify with this key; where `refresh`, the driver fetches the keys again meanwhile."""

    key: K
    refresh: bool = False


class Fetch(msgspec.Struct, frozen=True):
    """Nothing can be said before the provider was asked."""


class Unknown(msgspec.Struct, frozen=True):
    """The issuer has no such key, as far as anybody may know now."""


class Unavailable(msgspec.Struct, frozen=True):
    """The provider did not answer when it had to; it may be asked again in `retry_s`."""

    retry_s: float


Answer = Use[K] | Fetch | Unknown | Unavailable


class KeyBook(Generic[K]):
    """An issuer's keys by id, and what was heard of it when. Times are on one monotonic clock."""

    __slots__ = ("_absent", "_asked_at", "_heard_at", "_keys", "freshness")

    def __init__(self, freshness: Freshness) -> None:
        self.freshness = freshness
        self._keys: Mapping[str, K] = {}
        self._absent: dict[str, float] = {}
        self._heard_at = float("-inf")
        self._asked_at = float("-inf")

    def ask(self, key_id: str, now: float) -> Answer[K]:
        """What to do with a token signed by this key."""
        age_s = now - self._heard_at
        if age_s > self.freshness.stale_s:
            return Fetch() if self.may_ask(now) else self._unavailable(now)
        if (key := self._keys.get(key_id)) is not None:
            return Use(key, refresh=age_s > self.freshness.fresh_s and self.may_ask(now))
        if self._absent.get(key_id, now) > now:
            return Unknown()
        if self.may_ask(now):
            return Fetch()
        # Where the last question got no answer, the key may be a new one: that is no fault of the token's.
        return Unknown() if self._heard_at >= self._asked_at else self._unavailable(now)

    def _unavailable(self, now: float) -> Unavailable:
        return Unavailable(self._asked_at + self.freshness.cooldown_s - now)

    def may_ask(self, now: float) -> bool:
        """Whether the provider has been left alone for long enough."""
        return now - self._asked_at >= self.freshness.cooldown_s

    def asking(self, now: float) -> None:
        """The provider is being asked."""
        self._asked_at = now

    def heard(self, keys: Mapping[str, K], now: float, wanted: str = "") -> None:
        """It answered. A `wanted` id that is not among its keys is remembered as absent, the oldest such forgotten."""
        self._keys, self._heard_at = keys, now
        if wanted and wanted not in keys:
            self._absent.pop(wanted, None)
            self._absent[wanted] = now + self.freshness.absent_s
            if len(self._absent) > ABSENT_MAX:
                del self._absent[next(iter(self._absent))]

    def usable(self, now: float) -> bool:
        """Whether tokens can be verified now, with the provider or without."""
        return now - self._heard_at <= self.freshness.stale_s

    def age_s(self, now: float) -> float:
        """Seconds since the provider last answered; infinite before it ever has."""
        return now - self._heard_at

    def due_s(self, now: float) -> float:
        """In how many seconds the background should fetch: early enough that requests seldom find aged keys."""
        wanted_at = self._heard_at + self.freshness.fresh_s / 2
        allowed_at = self._asked_at + self.freshness.cooldown_s
        return max(0.0, max(wanted_at, allowed_at) - now)
