"""What happens to calls of dependencies, and to kept answers, as events for logs and metrics.

Calls that go well are only counted, where they are made.

`counted` is the counter that an event feeds, `labels` those of its facts that tell the counter's series apart.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proa.core.policy.breaker import Cause
from proa.core.policy.retry import Stop
from proa.ports import Severity


class BreakerOpened(msgspec.Struct, frozen=True):
    """A dependency is not called for a while. The rates are those of the window that decided it."""

    severity: ClassVar[Severity] = "warning"
    counted: ClassVar[str] = "proa_breaker_opened_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "cause")
    dependency: str
    cause: Cause
    failure_rate: float
    slow_rate: float
    calls: int


class BreakerHalfOpened(msgspec.Struct, frozen=True):
    """A few calls of a dependency are let through, to find out whether it answers again."""

    dependency: str


class BreakerClosed(msgspec.Struct, frozen=True):
    """A dependency is called again."""

    dependency: str
    cause: Cause


class CallRetried(msgspec.Struct, frozen=True):
    """Attempt number `attempt` failed; another one follows after `wait_s`."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_calls_retried_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call")
    dependency: str
    call: str
    attempt: int
    wait_s: float
    error: str


class RetriesEnded(msgspec.Struct, frozen=True):
    """A call failed for good after so many attempts; `why` there is no further one."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_retries_ended_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call", "why")
    dependency: str
    call: str
    attempts: int
    why: Stop
    error: str


class CallRejected(msgspec.Struct, frozen=True):
    """A gate refused an attempt before it was made."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_calls_rejected_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call", "gate")
    dependency: str
    call: str
    gate: str


class CallOverdue(msgspec.Struct, frozen=True):
    """An attempt took longer than its time-out."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_calls_overdue_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call")
    dependency: str
    call: str
    limit_s: float


class CallHedged(msgspec.Struct, frozen=True):
    """A second attempt was made beside a slow one; `won` says whether its answer came first."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_calls_hedged_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call", "won")
    dependency: str
    call: str
    won: bool


class FellBack(msgspec.Struct, frozen=True):
    """A call came to nothing, and a step of its fallback answered instead.

    Where `dependency` is empty, `call` is a guarded function, or the route whose degraded handler answered.
    """

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_fallbacks_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call", "step")
    dependency: str
    call: str
    step: str
    error: str


class CallFailed(msgspec.Struct, frozen=True):
    """A call came to nothing, and its caller was told so."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_calls_failed_total"
    labels: ClassVar[tuple[str, ...]] = ("dependency", "call")
    dependency: str
    call: str
    error: str


class AnswerKept(msgspec.Struct, frozen=True):
    """A request of a route with a cache: `how` is hit, stale, stale if error, or miss."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_cache_answers_total"
    labels: ClassVar[tuple[str, ...]] = ("route", "how")
    route: str
    how: str


class AnswersPurged(msgspec.Struct, frozen=True):
    """So many kept answers were purged."""

    severity: ClassVar[Severity] = "debug"
    count: int


class PurgeUnheard(msgspec.Struct, frozen=True):
    """A peer could not be told of a purge: its answers are forgotten by their age only."""

    severity: ClassVar[Severity] = "warning"
    peer: str
