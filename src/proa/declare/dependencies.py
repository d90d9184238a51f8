"""Dependencies: what an app calls that is not its own, and the policies that stand in between.

`app.dependency("bank", breaker=Breaker(), ...)` declares one, `@bank.call` a function that calls it. All its calls
share its policies' state in a region: one breaker, one budget, one bulkhead. What a call adds is its own: whether it
may be made twice, a hedge, and what answers instead where it comes to nothing. The function is used as before; inside
a unit it finds the region that it runs in, as tables do.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from proa.core.policy.breaker import BREAKERS, Breaker, Forced
from proa.core.policy.budget import Budget
from proa.core.policy.bulkhead import Bulkhead
from proa.core.policy.compose import Policies
from proa.core.policy.fallback import Step, cached
from proa.core.policy.hedge import Hedge
from proa.core.policy.limiter import Limit
from proa.core.policy.retry import Retry
from proa.core.policy.timeout import Timeout
from proa.declare.context import current_unit
from proa.errors import DeclarationError

P = ParamSpec("P")
R = TypeVar("R")


class DependencyOptions(TypedDict, total=False):
    """What stands between the app's calls and a dependency; what is left out is not in the way.

    `retry` makes further attempts, which `budget` bounds for all callers together (one extra call in ten, unless
    given). `breaker` stops calls where too many fail, `limit` bounds their rate, `bulkhead` how many run at once, and
    `timeout_s` how long each attempt may take.
    """

    retry: Retry | None
    budget: Budget | None
    breaker: Breaker | None
    limit: Limit | None
    bulkhead: Bulkhead | None
    timeout_s: float | None


def policies(options: DependencyOptions, hedge: Hedge | None = None) -> Policies:
    """The policies that the options are. Whoever makes extra calls does so within a budget."""
    retry, timeout_s = options.get("retry"), options.get("timeout_s")
    return Policies(
        retry=retry,
        budget=options.get("budget") or (Budget() if retry or hedge else None),
        breaker=options.get("breaker"),
        limiter=options.get("limit"),
        bulkhead=options.get("bulkhead"),
        timeout=Timeout(timeout_s) if timeout_s is not None else None,
        hedge=hedge,
    )


class CallOptions(TypedDict, total=False):
    """What one call adds to its dependency's policies.

    `idempotent` says that it may be made twice: it only reads, or the other side tells repeats apart. `hedge` makes a
    second attempt beside a slow one; `elsewhere` is where that goes, a function with the same parameters, such as
    another region's replica (it has a breaker of its own). `fallback` is what answers instead, step by step:
    `cached(60)`, or functions with the same parameters.
    """

    idempotent: bool
    hedge: Hedge | None
    elsewhere: Callable[..., Any] | None
    fallback: tuple[Step, ...]


class Call(Generic[P, R]):
    """A function that calls a dependency, under its policies. Call it as the function itself, inside a unit."""

    def __init__(self, dependency: Dependency, function: Callable[P, R], options: CallOptions) -> None:
        functools.update_wrapper(self, function)
        self.dependency = dependency
        self.function = function
        self.name: str = getattr(function, "__name__", "call")
        self.is_async = inspect.iscoroutinefunction(function)
        self.idempotent = options.get("idempotent", False)
        self.elsewhere = options.get("elsewhere")
        self.fallback = options.get("fallback", ())
        hedge = options.get("hedge") or (Hedge() if self.elsewhere else None)
        self.policies = policies(dependency.options, hedge)
        self.also_names = [step for step in (*self.fallback, self.elsewhere) if callable(step)]
        """For whoever reads off the code what a handler does."""
        self._verify(f"{dependency.name}.{self.name}")

    def _verify(self, name: str) -> None:
        if self.policies.hedge and not self.is_async:
            raise DeclarationError(f"{name}: a hedge needs an `async def`: two attempts run beside each other")
        if self.elsewhere and not inspect.iscoroutinefunction(self.elsewhere):
            raise DeclarationError(f"{name}: elsewhere is an `async def`, as the call itself")
        if any(isinstance(step, cached) for step in self.fallback) and not self.idempotent:
            raise DeclarationError(
                f"{name}: falls back to a cached answer, which says that something was done that was not; "
                "say idempotent=True if the call only reads"
            )
        if not self.is_async and any(map(inspect.iscoroutinefunction, self.fallback)):
            raise DeclarationError(f"{name}: blocks its thread, and so must the steps of its fallback")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return current_unit().calls[self](*args, **kwargs)


class Dependency:
    """Something that the app calls; see `App.dependency`."""

    def __init__(self, name: str, options: DependencyOptions) -> None:
        self.name = name
        self.options = options
        self.calls: dict[str, Call[..., Any]] = {}
        self.policies = policies(options)

    @property
    def kept(self) -> tuple[str, ...]:
        """The tables in which regions keep what they tell each other of it."""
        return (BREAKERS,) if self.policies.breaker and self.policies.breaker.shared else ()

    @property
    def blocks(self) -> bool:
        """Whether any of its calls blocks a thread."""
        return not all(call.is_async for call in self.calls.values())

    @overload
    def call(self, function: Callable[P, R], /) -> Call[P, R]: ...
    @overload
    def call(
        self, function: None = None, /, **options: Unpack[CallOptions]
    ) -> Callable[[Callable[P, R]], Call[P, R]]: ...
    def call(
        self, function: Callable[P, R] | None = None, /, **options: Unpack[CallOptions]
    ) -> Call[P, R] | Callable[[Callable[P, R]], Call[P, R]]:
        """Declare a function that calls this dependency. See `CallOptions`.

        Raises:
            DeclarationError: it cannot work, or there is one of this name.
        """

        def declare(function: Callable[P, R]) -> Call[P, R]:
            call = Call(self, function, options)
            if call.name in self.calls:
                raise DeclarationError(f"dependency {self.name}: call {call.name} is declared twice")
            self.calls[call.name] = call
            return call

        return declare(function) if function else declare

    def force(self, state: Forced | None) -> None:
        """Hold the breaker open or closed in this region, or let it judge again (None); inside a handler.

        Raises:
            DeclarationError: there is no breaker.
        """
        current_unit().calls.force(self.name, state)
