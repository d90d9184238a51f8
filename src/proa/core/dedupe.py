"""Idempotency: one key, one payload, one change of state.

An `Outcome` is the record of a finished unit under its key: enough to replay the answer with status and headers. Where
it is found again the decision is a pure function of it and the new request's fingerprint. A key belongs to whoever sent
it: another principal's request under the same key is another request. What a route makes of keys is its `Idempotency`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, get_args

import msgspec

from proa.errors import DeclarationError

Decision = Literal["run", "replay", "mismatch"]
Failures = Literal["typed", "all", "none"]
InFlight = Literal["wait", "refuse"]
KEY_LENGTH_MAX = 255


class Idempotency(msgspec.Struct, frozen=True):
    """What a route makes of Idempotency-Keys.

    Attributes:
        required: whether a request without a key is refused (400).
        expires_s: for how long a finished key is remembered; as long as the app says unless given.
        failures: which failures finish a key and are replayed: `typed` ones (a 4xx that the handler raised), `all`
            (exceptions of the handler and its 5xx too, so that a request that breaks runs once), or `none`: every
            repeat of a request that failed runs again.
        in_flight: what becomes of a repeat whose first request is still running: it waits for that one's answer until
            its own deadline, or is refused at once. Either way it is a 409 where there is no answer.
        key_length_max: longer keys are refused (400), at most 255.
        record_bytes_max: a larger answer is refused before it commits; as the app's `max_response_bytes` unless given.
    """

    required: bool = True
    expires_s: float | None = None
    failures: Failures = "typed"
    in_flight: InFlight = "wait"
    key_length_max: int = KEY_LENGTH_MAX
    record_bytes_max: int | None = None

    def __post_init__(self) -> None:
        for name in ("expires_s", "record_bytes_max"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise DeclarationError(f"Idempotency: {name} must be positive, got {value:g}")
        if not 0 < self.key_length_max <= KEY_LENGTH_MAX:
            raise DeclarationError(f"Idempotency: key_length_max is 1 to {KEY_LENGTH_MAX}, got {self.key_length_max}")
        if self.failures not in get_args(Failures) or self.in_flight not in get_args(InFlight):
            raise DeclarationError(
                f"Idempotency: failures are one of {', '.join(get_args(Failures))} and in_flight one of "
                f"{', '.join(get_args(InFlight))}, got {self.failures!r} and {self.in_flight!r}"
            )

    def finishes(self, status: int) -> bool:
        """Whether a failure with this status finishes the key."""
        return self.failures == "all" or (self.failures == "typed" and status < 500)


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """A finished unit's answer, kept under its address. `scope` is the route, `fingerprint` the payload's digest.

    `owner` is a digest of the principal whose key it is (empty: of anybody who may come). Only `holders` may hold it,
    if any are named. Other regions hold it `sealed`: without the answer, its key a digest.
    """

    scope: str
    key: str
    fingerprint: bytes
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    unit: str
    region: str
    expires_at: float
    holders: tuple[str, ...] = ()
    owner: str = ""

    @property
    def address(self) -> str:
        """What it is kept under within its scope."""
        return owned(self.key, self.owner)

    @property
    def is_sealed(self) -> bool:
        """Whether this copy says no more than that the key is finished."""
        return bool(self.holders) and self.status == 0


HANDLED = "~handled"
"""The table of marks. Key: the unit whose doubled effect was dealt with; value: the unit that did so."""


class Pair(msgspec.Struct, frozen=True):
    """One key that two units finished, each for itself. Every region keeps the earlier unit's answer.

    `at` is when it was found here, `handled` the unit that dealt with it by the author's rule (empty: none yet).
    """

    kept: Outcome
    other: Outcome
    at: float
    handled: str = ""

    @property
    def damaged(self) -> bool:
        """Whether its record was damaged: nobody knows any more than which unit finished which key."""
        return not self.other.region


def began_at(unit: str) -> float:
    """When a unit began, in seconds since 1970: its id starts with the milliseconds."""
    return int(unit[:12], 16) / 1000


def fingerprint(method: str, path: str, query: str, body: bytes) -> bytes:
    """A digest of what makes two requests the same one. Lengths say where each part ends: a path may hold any sign."""
    head = f"{len(method)} {len(path)} {len(query)} {method}{path}{query}"
    return hashlib.blake2b(head.encode("utf-8", "surrogatepass") + body, digest_size=16).digest()


def decide(found: Outcome | None, digest: bytes, now: float) -> Decision:
    """What to do with a request whose key has (or has not) an outcome already."""
    if found is None or found.expires_at <= now:
        return "run"
    return "replay" if found.fingerprint == digest else "mismatch"


class RecentKeys:
    """Which keys were finished lately, in bounded memory: two generations, the older one forgotten as a whole.

    Most repeats come soon after the first request. Where one comes later, `maybe` misses it; so it may only save work,
    never decide.
    """

    __slots__ = ("_limit", "_newer", "_older")

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, scope: str, key: str) -> None:
        """Remember a finished key."""
        if len(self._newer) >= self._limit:
            self._older, self._newer = self._newer, set()
        self._newer.add(hash((scope, key)))

    def maybe(self, scope: str, key: str) -> bool:
        """Whether the key may have been finished lately."""
        found = hash((scope, key))
        return found in self._newer or found in self._older


def owned(key: str, owner: str) -> str:
    """One owner's key among those of all others; no key has a blank in it."""
    return f"{key} {owner}" if owner else key


def key_in(header: str) -> str:
    """The key that a header carries: a string as structured fields have it (RFC 9651), or the bare text."""
    if len(header) >= 2 and header[0] == header[-1] == '"':
        return re.sub(r'\\([\\"])', r"\1", header[1:-1])
    return header


def valid_key(key: str, length_max: int = KEY_LENGTH_MAX) -> bool:
    """Whether `key` is 1 to 255 visible ASCII characters, or as many as a route allows."""
    return 0 < len(key) <= length_max and key.isascii() and key.isprintable() and " " not in key
