"""Idempotency: one key, one payload, one change of state.

An `Outcome` is the record of a finished unit under its key: enough to replay the answer with status and headers. Where
it is found again the decision is a pure function of it and the new request's fingerprint.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Decision = Literal["run", "replay", "mismatch"]
KEY_LENGTH_MAX = 255


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """A finished unit's answer, kept under (scope, key). `scope` is the route, `fingerprint` the payload's digest.

    Only `holders` may hold it, if any are named. Other regions hold it `sealed`: without the answer, its key a digest.
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


def began_at(unit: str) -> float:
    """When a unit began, in seconds since 1970: its id starts with the milliseconds."""
    return int(unit[:12], 16) / 1000


def fingerprint(method: str, path: str, query: str, body: bytes) -> bytes:
    """A digest of what makes two requests the same one."""
    return hashlib.blake2b(f"{method}\0{path}\0{query}\0".encode() + body, digest_size=16).digest()


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


def valid_key(key: str) -> bool:
    """Whether `key` is 1 to 255 visible ASCII characters."""
    return 0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable() and " " not in key
