"""Policies around a plain function, in an app or without one: `@guard(retry=Retry(), timeout_s=1)`.

The function has its own state, one for the process. In an app `app.dependency` is the better choice: its state is that
of a region, its calls share it, it is on the region's metrics, and a simulation can break it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import msgspec

from proa.core.policy.fallback import Step
from proa.core.policy.hedge import Hedge
from proa.declare.dependencies import DependencyOptions, policies
from proa.errors import DeclarationError
from proa.ports import Clock, Entropy
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.composed import composed, gates, purse
from proa.runtime.guard import Ends, Guarded

F = TypeVar("F", bound=Callable[..., Any])


class GuardOptions(DependencyOptions, total=False):
    """The options of a dependency and of its call in one.

    `on_event` is told of retries, refusals and changes of the breaker. `clock` and `entropy` are this machine's.
    """

    hedge: Hedge | None
    fallback: tuple[Step, ...]
    on_event: Callable[[msgspec.Struct], None]
    clock: Clock
    entropy: Entropy


def guard(**options: Unpack[GuardOptions]) -> Callable[[F], F]:
    """Put policies around a function, which is used as before. See `DependencyOptions`.

    Raises:
        DeclarationError: a hedge around a function that blocks its thread.
    """

    def around(function: F) -> F:
        return _around(function, options)

    return around


def _around(function: Any, options: GuardOptions) -> Any:
    hedge = options.get("hedge")
    blocks = not inspect.iscoroutinefunction(function)
    if hedge and blocks:
        raise DeclarationError(f"{function.__name__}: a hedge needs an `async def`")
    clock, entropy = options.get("clock") or SystemClock(), options.get("entropy") or SystemEntropy()
    ends = Ends(clock, entropy, options.get("on_event") or _nobody, _forever, _unmarked)
    own = policies(options, hedge)
    made = gates(own, blocks=blocks)
    guarded = Guarded("", function.__name__, own, made, purse(own.budget, blocks=blocks), ends)
    return composed(function, guarded, options.get("fallback", ()))


def _nobody(_: msgspec.Struct) -> None:
    """Nobody listens."""


def _forever() -> float:
    """Whoever calls a plain function says not how much time there is."""
    return float("inf")


def _unmarked(_: str) -> None:
    """There is no answer to mark."""
