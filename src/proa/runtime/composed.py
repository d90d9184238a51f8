"""A call under all of its policies: the layers of `compose.ORDER` around one function, for a coroutine or a thread."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from proa.core.policy.budget import Budget, Purse
from proa.core.policy.compose import ORDER, Gates, Policies
from proa.core.policy.fallback import Step
from proa.ports import ThreadClock
from proa.runtime import guard
from proa.runtime.guard import Guarded

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def composed(
    function: Callable[..., Any],
    guarded: Guarded,
    steps: tuple[Step, ...] = (),
    elsewhere: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """`function` behind its policies. `elsewhere` is another function, already behind gates of its own."""
    wraps = _wraps(guarded, steps, elsewhere) if inspect.iscoroutinefunction(function) else _blocking(guarded, steps)
    work = wraps["attempt"](function)
    for layer in reversed(ORDER):
        if layer.name in wraps:
            work = wraps[layer.name](work)
    return work


def _wraps(guarded: Guarded, steps: tuple[Step, ...], elsewhere: Callable[..., Any] | None) -> dict[str, Wrap]:
    wraps: dict[str, Wrap] = {
        "attempt": lambda work: guard.attempt(work, guarded),
        "retry": lambda work: guard.retried(work, guarded),
        "fallback": lambda work: guard.fallen_back(work, guarded, steps),
    }
    if guarded.policies.hedge:
        from proa.runtime.hedging import hedged  # few calls have one

        wraps["hedge"] = lambda work: hedged(work, guarded, elsewhere)
    return wraps


def _blocking(guarded: Guarded, steps: tuple[Step, ...]) -> dict[str, Wrap]:
    from proa.runtime import blocking  # most apps do not block

    clock = cast("ThreadClock", guarded.ends.clock)
    return {
        "attempt": lambda work: blocking.attempt(work, guarded, clock),
        "retry": lambda work: blocking.retried(work, guarded, clock),
        "fallback": lambda work: blocking.fallen_back(work, guarded, steps),
    }


def purse(budget: Budget | None, *, blocks: bool) -> Purse | None:
    """The tokens of a budget; where threads spend them, one at a time."""
    if budget is None or not blocks:
        return Purse(budget) if budget else None
    from proa.runtime.blocking import LockedPurse

    return LockedPurse(budget)


def gates(policies: Policies, *, blocks: bool, counted: bool = False) -> Gates:
    """The gates of a target; where threads pass them, one at a time."""
    if not blocks:
        return Gates(policies, counted=counted)
    from proa.runtime.blocking import Locked

    return Locked(policies, counted=counted)
