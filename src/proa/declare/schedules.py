"""Schedules: handlers that are run at their due times, each run a unit in whose commit the tick is ticked off.

So a tick takes effect once: in one region at a time, across fail-overs, whatever fails in between. What a handler does
outside of Proa it may do again, as any handler may.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

import msgspec

from proa.core.home import Place
from proa.core.policy.retry import Retry
from proa.core.replicate.journal import Key
from proa.core.schedule import TICKS, CatchUp, Every, Policy, Timing, key_of, offset_ms
from proa.declare.bodies import verify_name
from proa.declare.context import Context
from proa.declare.handlers import DeclaredUnit, Route
from proa.declare.queues import unit_route
from proa.errors import DeclarationError

H = TypeVar("H", bound=Callable[..., Any])
Once = Literal["global", "region"]
TIMEOUT_S = 30.0
LATE_S = 60.0
CATCH_UP_MAX = 100
EVERY_S_MIN = 0.1
RETRY = Retry(attempts=5, base_s=1.0, cap_s=60.0)


class Tick(msgspec.Struct, frozen=True):
    """One due time of a schedule, as its handler sees it.

    `due` is in seconds since 1970. `attempt` counts from 1. `skipped` due times before it were passed over. `asked`: a
    person wanted this run, and `due` is when. `region` is the one whose tick it is; empty where there is one for all.
    """

    schedule: str
    due: float
    attempt: int = 1
    skipped: int = 0
    asked: bool = False
    region: str = ""


class ScheduleOptions(TypedDict, total=False):
    """How a schedule works.

    `name` is what its row is kept under: the handler's unless given. `once` says whether a tick is run in one region
    (`global`), or in each (`region`). `catch_up` says what becomes of ticks that were missed, because nobody could run
    them within `late_s` (60) or before the next one was due: `skip` passes over them, `latest` (the default) runs the
    last of them, `all` each of the last `catch_up_max` (100). `jitter_s` shifts the schedule by a part of it, always
    the same. A run may take `timeout_s` (30). One that fails is tried again as `retry` says, until the next tick is
    due. `unit` overrules the class that Proa infers from the handler's code.
    """

    name: str
    once: Once
    catch_up: CatchUp
    catch_up_max: int
    late_s: float
    jitter_s: float
    timeout_s: float
    retry: Retry
    unit: DeclaredUnit | None


class Schedule:
    """A declared schedule."""

    def __init__(
        self, handler: Callable[..., Any], timing: Timing, said: str, options: ScheduleOptions, regions: Sequence[str]
    ) -> None:
        self.name = options.get("name") or handler.__name__
        self.timing = timing
        self.said = said
        self.once: Once = options.get("once", "global")
        self.retry = options.get("retry", RETRY)
        self.timeout_s = options.get("timeout_s", TIMEOUT_S)
        late_s, most = options.get("late_s", LATE_S), options.get("catch_up_max", CATCH_UP_MAX)
        self.policy = Policy(options.get("catch_up", "latest"), int(late_s * 1000), most)
        self.jitter_s = options.get("jitter_s", 0.0)
        self._verify()
        self.slots: tuple[str, ...] = tuple(regions) if self.once == "region" else ("",)
        self.takes = arguments(self.name, handler)
        self.route: Route = unit_route("SCHEDULE", self.name, handler, self.timeout_s, options.get("unit"))

    def _verify(self) -> None:
        where = f"schedule {self.name}"
        verify_name("schedule", self.name)
        if self.once not in ("global", "region"):
            raise DeclarationError(f"{where}: once is `global` or `region`, not {self.once!r}")
        if self.policy.catch_up not in ("skip", "latest", "all"):
            raise DeclarationError(f"{where}: catch_up is `skip`, `latest` or `all`, not {self.policy.catch_up!r}")
        if min(self.timeout_s, self.policy.most) <= 0 or min(self.jitter_s, self.policy.late_ms) < 0:
            raise DeclarationError(
                f"{where}: timeout_s and catch_up_max must be positive, jitter_s and late_s 0 or more; got "
                f"{self.timeout_s:g}, {self.policy.most}, {self.jitter_s:g} and {self.policy.late_ms / 1000:g}"
            )

    def place(self, region: str) -> Place:
        """What decides which region runs a tick: one for all, or the one whose it is, for which nobody stands in."""
        among = (region,) if region else ()
        return Place(f"schedule {self.name}", region, among)

    def row(self, region: str) -> Key:
        """Where it stands what has been done."""
        return TICKS, key_of(self.name, region)

    @property
    def table(self) -> str:
        """The table of its rows."""
        return TICKS

    def offset_ms(self, region: str) -> int:
        """By how much it runs after its due times."""
        return offset_ms(self.name, region, int(self.jitter_s * 1000))

    def call(self, tick: Tick, unit: Context) -> Any:
        """Run the handler with what it asks for."""
        given = {"tick": tick, "context": unit}
        return self.route.handler(*(given[what] for what in self.takes))


def arguments(name: str, handler: Callable[..., Any]) -> tuple[str, ...]:
    """What a handler takes, in order: `tick` and `context`, each at most once.

    Raises:
        DeclarationError: it takes something else.
    """
    hints = get_type_hints(handler)
    kinds = {Tick: "tick", Context: "context"}
    takes = tuple(kinds.get(hints.get(parameter, ""), "") for parameter in inspect.signature(handler).parameters)
    if not inspect.iscoroutinefunction(handler) or "" in takes or len(set(takes)) < len(takes):
        raise DeclarationError(f"schedule {name}: the handler is an `async def` of a Tick and a Context, or of less")
    return takes


def timing_of(cron: str | None, every_s: float | None, timezone: str) -> tuple[Timing, str]:
    """The timing that was declared, and how it is shown.

    Raises:
        DeclarationError: neither or both were given, or it is none.
    """
    if (cron is None) == (every_s is None):
        raise DeclarationError(f"a schedule has a cron expression or `every_s`, one of them; got {cron!r}, {every_s!r}")
    if every_s is not None:
        if every_s < EVERY_S_MIN:
            raise DeclarationError(f"a schedule's every_s must be at least {EVERY_S_MIN:g}, got {every_s:g}")
        return Every(int(every_s * 1000)), f"every {every_s:g} s"
    from proa.declare.cron import Cron  # needs cronsim and time zones

    assert cron is not None
    return Cron(cron, timezone), cron if timezone == "UTC" else f"{cron} ({timezone})"
