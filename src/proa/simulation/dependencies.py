"""The outside of a world: what an app's dependencies are there, and what is done to them.

A region of a world has no sockets, so a test says what answers in a dependency's stead (`answers`); where it says
nothing the app's own function runs. Either way a call takes its time, and fails, is slow or comes to no end as the
world was told, for all regions or for one.

    world.dependency("bank").answers(rate=lambda currency: 1.5).slow(2.0, region="eu-west-1")
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Self

import msgspec

from proa.simulation.process import Life

TAKES_S = 0.005
"""A call of a dependency that is well."""
GONE_S = 3600.0
"""Who calls what is gone hears nothing; a time-out must end it."""
EVERYWHERE = ""


def unwell() -> Exception:
    """What calls of a dependency that fails end in, unless a test says something else."""
    return ConnectionError("the dependency fails, for this is a simulation")


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with a dependency: a share of calls fails, all take longer, or none ends."""

    share: float = 0.0
    error: Callable[[], Exception] = unwell
    slow_s: float = 0.0
    gone: bool = False


class SimDependency:
    """One dependency in a world, as a test sees it; `calls` counts those that reached it."""

    def __init__(self, rng: Random, fired: Callable[[str], None]) -> None:
        self.calls = 0
        self._rng = rng
        self._fired = fired
        self._functions: dict[str, Callable[..., Any]] = {}
        self._troubles: dict[str, Trouble] = {}

    def answers(self, **functions: Callable[..., Any]) -> Self:
        """What answers, by the name of the app's function that it stands in for."""
        self._functions |= functions
        return self

    def fail(self, share: float = 1.0, *, error: Callable[[], Exception] = unwell, region: str = EVERYWHERE) -> Self:
        """Let a share of calls fail."""
        return self._change(region, share=share, error=error)

    def slow(self, seconds: float, *, region: str = EVERYWHERE) -> Self:
        """Let all calls take so much longer."""
        return self._change(region, slow_s=seconds)

    def gone(self, *, on: bool = True, region: str = EVERYWHERE) -> Self:
        """Let no call end, or let them end again."""
        return self._change(region, gone=on)

    def heal(self, region: str | None = None) -> Self:
        """Let it be well again, everywhere unless a region is named."""
        if region is None:
            self._troubles.clear()
        else:
            self._troubles.pop(region, None)
        return self

    def _change(self, region: str, **facts: Any) -> Self:
        self._troubles[region] = msgspec.structs.replace(self._troubles.get(region, Trouble()), **facts)
        return self

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with it, for any region."""
        return not any(each.share or each.slow_s or each.gone for each in self._troubles.values())

    def wait_s(self, region: str) -> float:
        """How long a call from `region` takes."""
        trouble = self._trouble(region)
        self.calls += 1
        if trouble.gone:
            self._fired("dependency gone")
        elif trouble.slow_s:
            self._fired("dependency slow")
        return GONE_S if trouble.gone else TAKES_S + trouble.slow_s

    def check(self, region: str) -> None:
        """Raise what a call from `region` ends in, where it fails."""
        trouble = self._trouble(region)
        if trouble.share and self._rng.random() < trouble.share:
            self._fired("dependency failing")
            raise trouble.error()

    def stand_in(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What answers instead of a function of the app."""
        return self._functions.get(function.__name__, function)

    def _trouble(self, region: str) -> Trouble:
        return self._troubles.get(region) or self._troubles.get(EVERYWHERE) or Trouble()


class SimDependencies:
    """`ports.Dependencies` of one life of a region."""

    def __init__(self, life: Life, dependencies: Mapping[str, SimDependency]) -> None:
        self._life = life
        self._dependencies = dependencies

    def reached(self, dependency: str, function: Callable[..., Any]) -> Callable[..., Any]:
        known, life = self._dependencies[dependency], self._life
        if not inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            def blocking(*args: Any, **kwargs: Any) -> Any:
                life.block(known.wait_s(life.name))
                known.check(life.name)
                return known.stand_in(function)(*args, **kwargs)

            return blocking

        @functools.wraps(function)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            await life.sleep(known.wait_s(life.name))
            known.check(life.name)
            answer = known.stand_in(function)(*args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer

        return waiting
