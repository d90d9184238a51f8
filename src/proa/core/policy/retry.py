"""Retry: whether a call that failed is tried again, and after how long.

The wait is drawn between nothing and a ceiling that grows with each attempt ("full jitter"), so that callers who failed
together do not come back together. What the other side asks for (`Retry-After`) is a floor: the jitter is added to it.
Queues, dependencies and the decorators take the same value.

Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from proa.core.policy.budget import Purse
from proa.core.policy.failures import Failures, matches, retry_after_s
from proa.errors import CallRefused, DeclarationError

Jitter = Literal["full", "equal", "none"]
Stop = Literal["cannot be cured", "refused", "attempts", "time", "deadline", "budget"]
"""Why no further attempt is made."""


class Retry(msgspec.Struct, frozen=True):
    """How often a call is made, and how long it waits in between.

    Args:
        attempts: calls in all, the first one included.
        base_s: the longest wait after the first failure.
        cap_s: the longest wait at all.
        multiplier: how much longer the longest wait is after each further failure.
        jitter: `full`: anything from 0 to the longest wait; `equal`: from half of it; `none`: exactly it.
        retry_on: failures that another attempt may cure: classes of exceptions, or a function that says.
        timeout_s: no further attempt begins later than this after the first one began; None: no such limit.
    """

    attempts: int = 3
    base_s: float = 0.1
    cap_s: float = 20.0
    multiplier: float = 2.0
    jitter: Jitter = "full"
    retry_on: Failures = (Exception,)
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise DeclarationError(f"Retry: attempts must be 1 or more, got {self.attempts}")
        if not 0 <= self.base_s <= self.cap_s:
            raise DeclarationError(
                f"Retry: base_s must be at least 0 and at most cap_s, got {self.base_s:g} and {self.cap_s:g}"
            )
        if self.multiplier < 1:
            raise DeclarationError(f"Retry: multiplier must be 1 or more, got {self.multiplier:g}")
        if self.jitter not in ("full", "equal", "none"):
            raise DeclarationError(f"Retry: jitter is full, equal or none, not {self.jitter!r}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise DeclarationError(f"Retry: timeout_s must be positive, got {self.timeout_s:g}")

    def delay(self, attempt: int, rng: Callable[[], float], retry_after_s: float | None = None) -> float | None:
        """Seconds to wait after the failure of attempt number `attempt` (from 1); None when that was the last one.

        `rng` returns a number in [0, 1). `retry_after_s` is what the other side asked for.
        """
        if attempt >= self.attempts:
            return None
        longest_s = self.longest_s(attempt)
        match self.jitter:
            case "full":
                waited_s = longest_s * rng()
            case "equal":
                waited_s = longest_s * (0.5 + rng() / 2)
            case "none":
                waited_s = longest_s
        return waited_s + (retry_after_s or 0.0)

    def longest_s(self, attempt: int) -> float:
        """The longest wait after attempt number `attempt`, before anything that the other side asks for."""
        try:
            return min(self.cap_s, self.base_s * self.multiplier ** (attempt - 1))
        except OverflowError:
            return self.cap_s

    def cures(self, error: BaseException) -> bool:
        """Whether another attempt may end better than in `error`."""
        return matches(self.retry_on, error)


class Failure(msgspec.Struct, frozen=True):
    """An attempt failed: which one (from 1), of what, how long after the first one began, how much time is left."""

    attempt: int
    error: BaseException
    spent_s: float = 0.0
    left_s: float = float("inf")


def next_try(retry: Retry, purse: Purse | None, failure: Failure, rng: Callable[[], float]) -> float | Stop:
    """The seconds to wait before the next attempt, which is then paid for; or why there is none."""
    if isinstance(failure.error, CallRefused):
        return "refused"
    if not retry.cures(failure.error):
        return "cannot be cured"
    wait_s = retry.delay(failure.attempt, rng, retry_after_s(failure.error))
    if wait_s is None:
        return "attempts"
    if retry.timeout_s is not None and failure.spent_s + wait_s > retry.timeout_s:
        return "time"
    if wait_s >= failure.left_s:
        return "deadline"
    return wait_s if purse is None or purse.spend() else "budget"
