"""Cache: answers kept for a while, and for longer where getting a new one takes time or fails.

An answer is *fresh* up to `max_age_s`. For `swr_s` more it is given at once while a new one is fetched behind it
(stale-while-revalidate), and for `stale_if_error_s` more it is given where fetching a new one failed, marked as
degraded. What is kept is bounded; the answers longest unused go first. It is purged by path or by tag.

Source: RFC 9111 and RFC 5861.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Literal, TypeVar

import msgspec
from msgspec.structs import force_setattr

from proa.errors import DeclarationError

T = TypeVar("T")
Age = Literal["fresh", "revalidate", "if error", "gone"]


class Cache(msgspec.Struct, frozen=True):
    """How long answers are kept.

    Args:
        max_age_s: how long an answer is as good as new.
        swr_s: how much longer it is given while a new one is fetched.
        stale_if_error_s: how much longer than `max_age_s` it is given where there is no new one to be had.
        tags: names under which all of these answers are purged at once.
        vary: request headers that are part of what an answer is for. A request that carries `authorization`, `cookie`,
            an API key or a session passes the cache by, unless that header is named here.
        size: how many answers a region keeps.
    """

    max_age_s: float
    swr_s: float = 0.0
    stale_if_error_s: float = 0.0
    tags: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    size: int = 1000

    def __post_init__(self) -> None:
        for name in ("max_age_s", "swr_s", "stale_if_error_s"):
            if getattr(self, name) < 0:
                raise DeclarationError(f"Cache: {name} must not be negative, got {getattr(self, name):g}")
        if self.size < 1:
            raise DeclarationError(f"Cache: size must be 1 or more, got {self.size}")
        force_setattr(self, "vary", tuple(name.lower() for name in self.vary))

    def judge(self, age_s: float) -> Age:
        """What an answer that is so old may still be used for."""
        if age_s < self.max_age_s:
            return "fresh"
        if age_s < self.max_age_s + self.swr_s:
            return "revalidate"
        return "if error" if age_s < self.max_age_s + self.stale_if_error_s else "gone"

    def control(self, *, private: bool = False) -> str:
        """The same as a `cache-control` header; `private`: for nobody but the client that asked."""
        told = ["private"] if private else []
        told += [f"max-age={self.max_age_s:.0f}"]
        told += [f"stale-while-revalidate={self.swr_s:.0f}"] if self.swr_s else []
        told += [f"stale-if-error={self.stale_if_error_s:.0f}"] if self.stale_if_error_s else []
        return ", ".join(told)


class Kept(Generic[T]):
    """Values under keys, at most `size` of them; the longest unused goes first."""

    __slots__ = ("_size", "_values")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[Hashable, tuple[T, float]] = {}

    def put(self, key: Hashable, value: T, now: float) -> None:
        """Keep a value, as of `now`."""
        values = self._values
        values.pop(key, None)
        values[key] = (value, now)
        if len(values) > self._size:
            del values[next(iter(values))]

    def get(self, key: Hashable, now: float) -> tuple[T, float] | None:
        """A value and its age in seconds."""
        if (found := self._values.pop(key, None)) is None:
            return None
        self._values[key] = found
        return found[0], max(0.0, now - found[1])

    def purge(self, purged: Callable[[Hashable], bool]) -> int:
        """Forget every value whose key is meant; how many were."""
        doomed = [key for key in self._values if purged(key)]
        for key in doomed:
            del self._values[key]
        return len(doomed)

    def __len__(self) -> int:
        return len(self._values)


class Purge(msgspec.Struct, frozen=True):
    """Which answers to forget: those of one path (one that ends in /* means all below it), or those with a tag."""

    path: str = ""
    tag: str = ""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.tag):
            raise ValueError("a purge names a path or a tag")

    def means(self, path: str, tags: Iterable[str]) -> bool:
        """Whether an answer of `path` with `tags` is meant."""
        if self.tag:
            return self.tag in tags
        return path.startswith(self.path[:-1]) if self.path.endswith("/*") else path == self.path
