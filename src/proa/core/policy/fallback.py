"""Fallback: what is answered instead, where a call came to nothing.

A chain of steps, tried in order: `cached(...)` is the last answer to the same arguments, as long as it is not too old;
any other step is a function with the call's own parameters: a stale read of a table, a degraded answer. Whoever is
answered so is told (`proa-degraded`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import msgspec

from proa.core.policy.cache import Kept
from proa.errors import DeclarationError


class cached(msgspec.Struct, frozen=True):  # noqa: N801 - reads as a step: `fallback=(cached(60), from_table)`
    """The last answer to the same arguments.

    Args:
        max_age_s: how old it may be.
        size: how many answers a region keeps.
        key: what tells arguments apart; all of them, as they print, unless given.
    """

    max_age_s: float
    size: int = 1000
    key: Callable[..., Hashable] | None = None

    def __post_init__(self) -> None:
        if self.max_age_s <= 0 or self.size < 1:
            raise DeclarationError(f"cached: max_age_s and size must be positive, got {self.max_age_s:g}, {self.size}")

    def key_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
        """Under which key the answer to these arguments is kept."""
        if self.key:
            return self.key(*args, **kwargs)
        return repr((args, sorted(kwargs.items())) if kwargs else args)


Step = cached | Callable[..., Any]


def name_of(step: Step) -> str:
    """What the answer's mark calls a step."""
    return "cached" if isinstance(step, cached) else getattr(step, "__name__", "fallback")


class Memory:
    """The answers that a `cached` step keeps, in one region."""

    __slots__ = ("_kept", "step")

    def __init__(self, step: cached) -> None:
        self.step = step
        self._kept: Kept[Any] = Kept(step.size)

    def keep(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], answer: Any, now: float) -> None:
        """Remember an answer."""
        self._kept.put(self.step.key_of(args, kwargs), answer, now)

    def recall(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], now: float) -> tuple[Any] | None:
        """The answer, in a tuple; None where there is none, or it is too old."""
        found = self._kept.get(self.step.key_of(args, kwargs), now)
        return (found[0],) if found and found[1] <= self.step.max_age_s else None
