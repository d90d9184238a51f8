"""The driver of policies: what they decide is done here, around one function.

Each layer of `compose.ORDER` that acts for the call is a small function around the next; the innermost, `attempt`,
passes the gates and makes the call. Nothing is decided here: `Gates` says who passes, `next_try` whether and when
another attempt is made, `Pace` when a hedge. For functions that are no coroutines see `blocking`; hedges are in
`hedging`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, cast

import msgspec

from proa.core.policy.breaker import Change, Circuit
from proa.core.policy.budget import Purse
from proa.core.policy.bulkhead import Turn
from proa.core.policy.compose import Gates, Policies
from proa.core.policy.failures import is_answer
from proa.core.policy.fallback import Memory, Step, cached, name_of
from proa.core.policy.refusal import Refusal
from proa.core.policy.retry import Failure, next_try
from proa.errors import CallRefused, CallTimedOut
from proa.ports import Clock, Entropy
from proa.runtime.calls import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    CallOverdue,
    CallRejected,
    CallRetried,
    FellBack,
    RetriesEnded,
)
from proa.runtime.eager import within

Work = Callable[..., Awaitable[Any]]


class Ends(msgspec.Struct, frozen=True):
    """What a guard is given of the world.

    `left_s` is how much time the caller has left; `mark` notes on the caller's answer that a fallback made it.
    """

    clock: Clock
    entropy: Entropy
    emit: Callable[[msgspec.Struct], None]
    left_s: Callable[[], float]
    mark: Callable[[str], None]


class Guarded(msgspec.Struct, frozen=True):
    """One call under its policies: whose it is, and what it shares with the other calls of a dependency."""

    dependency: str
    call: str
    policies: Policies
    gates: Gates
    purse: Purse | None
    ends: Ends

    @property
    def name(self) -> str:
        """How errors and marks call it."""
        return f"{self.dependency}.{self.call}" if self.dependency else self.call

    def emit(self, kind: Callable[..., msgspec.Struct], *facts: Any) -> None:
        """Tell of this call."""
        self.ends.emit(kind(self.dependency, self.call, *facts))

    def blames(self, error: BaseException) -> bool:
        """Whether an attempt that ended so counts against the other side."""
        breaker = self.policies.breaker
        return breaker.blames(error) if breaker else not is_answer(error)

    def failed(self, began: float, error: Exception) -> None:
        """An attempt has failed."""
        self.gates.leave(began, self.ends.clock.monotonic(), self.blames(error))
        self.tell()

    def tell(self) -> None:
        """Tell what became of the breaker."""
        if circuit := self.gates.circuit:
            tell(self.dependency or self.call, circuit, self.ends.emit)

    def refused(self, refusal: Refusal) -> CallRefused:
        """The error that a gate's refusal is."""
        self.tell()
        self.emit(CallRejected, refusal.gate)
        return refusal.error(self.name)

    def overdue(self, limit_s: float) -> CallTimedOut:
        """The error that an attempt's time-out is."""
        self.emit(CallOverdue, limit_s)
        return CallTimedOut(f"{self.name} took longer than {limit_s:g} s")

    def wait_after(self, error: Exception, attempt: int, first: float) -> float | None:
        """How long to wait before the next attempt; None where there is none."""
        ends, retry = self.ends, self.policies.retry
        assert retry, "only a retry asks"
        failure = Failure(attempt, error, ends.clock.monotonic() - first, ends.left_s())
        verdict = next_try(retry, self.purse, failure, ends.entropy.random)
        if isinstance(verdict, str):
            if attempt > 1 or verdict != "cannot be cured":
                self.emit(RetriesEnded, attempt, verdict, told_of(error))
            return None
        self.emit(CallRetried, attempt, verdict, told_of(error))
        return verdict

    def fell_back(self, step: Step, error: Exception) -> None:
        """A step of the fallback has answered."""
        self.ends.mark(f"{self.dependency or self.call}={name_of(step)}")
        self.emit(FellBack, name_of(step), told_of(error))


def tell(dependency: str, circuit: Circuit, emit: Callable[[msgspec.Struct], None]) -> None:
    """Tell of a breaker's changes, each once."""
    with suppress(IndexError):  # another thread may tell of the last one
        while circuit.changes:
            emit(told(dependency, circuit.changes.pop(0)))


def told(dependency: str, change: Change) -> msgspec.Struct:
    """A breaker's change as an event."""
    match change.state:
        case "open":
            return BreakerOpened(dependency, change.cause, change.failure_rate, change.slow_rate, change.calls)
        case "half-open":
            return BreakerHalfOpened(dependency)
        case "closed":
            return BreakerClosed(dependency, change.cause)


def told_of(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {error}"


# The layers, from the inside out.


def attempt(work: Work, guarded: Guarded) -> Work:
    """Pass the gates, make the call within its time, and say how it ended."""
    gates, now = guarded.gates, guarded.ends.clock.monotonic
    gate, left_s = gates.shortest(), guarded.ends.left_s
    enter, leave = gate.enter, gate.leave
    changes = gates.circuit.changes if gates.circuit else ()
    if guarded.policies.timeout:
        work = _timed(work, guarded, guarded.policies.timeout.limit_s)

    @wraps(work)
    async def attempted(*args: Any, **kwargs: Any) -> Any:
        began = now()
        if (verdict := enter(began)) is not None:
            began = await _admitted(verdict, guarded)
        try:
            answer = await work(*args, **kwargs)
        except Exception as error:
            guarded.failed(began, error)
            raise
        except BaseException:  # it was cancelled: who knows how it would have ended, unless the caller's time is over
            leave(began, now(), True if left_s() <= 0 else None)
            raise
        leave(began, now(), False)
        if changes:
            guarded.tell()
        return answer

    return attempted if gates.gates else work


def _timed(work: Work, guarded: Guarded, limit_s: Callable[[], float]) -> Work:
    @wraps(work)
    async def timed(*args: Any, **kwargs: Any) -> Any:
        try:
            return await within(limit_s, cast("Coroutine[Any, Any, Any]", work(*args, **kwargs)))
        except TimeoutError as error:
            if isinstance(error.__cause__, asyncio.CancelledError):  # it was cut, rather than giving up by itself
                raise guarded.overdue(limit_s()) from error
            raise

    return timed


async def _admitted(verdict: Refusal | Turn, guarded: Guarded) -> float:
    """When the call begins, having waited for its turn."""
    gates, now = guarded.gates, guarded.ends.clock.monotonic
    if isinstance(verdict, Turn):
        refusal = await _turn(verdict, guarded)
        if refusal is None:
            refusal = gates.called(verdict, now())
        if refusal is None:
            return now()
        verdict = refusal
    raise guarded.refused(verdict)


async def _turn(turn: Turn, guarded: Guarded) -> Refusal | None:
    loop, now = asyncio.get_running_loop(), guarded.ends.clock.monotonic
    came = asyncio.Event()
    turn.wake = lambda: loop.call_soon_threadsafe(came.set)
    if turn.came:  # in another thread, just before it could be told
        return None
    try:
        async with asyncio.timeout(min(turn.until - now(), guarded.ends.left_s())):
            await came.wait()
    except TimeoutError:
        return guarded.gates.give_up(turn, now())
    except BaseException:
        guarded.gates.give_up(turn, now())
        raise
    return None


def retried(work: Work, guarded: Guarded) -> Work:
    """Make another attempt after one that failed, as long as the policy says so."""
    if guarded.policies.retry is None:
        return work
    clock, purse = guarded.ends.clock, guarded.purse
    now = clock.monotonic

    @wraps(work)
    async def trying(*args: Any, **kwargs: Any) -> Any:
        first, attempt = now(), 1
        if purse:
            purse.earn()
        while True:
            try:
                return await work(*args, **kwargs)
            except Exception as error:
                wait_s = guarded.wait_after(error, attempt, first)
                if wait_s is None:
                    raise
            await clock.sleep(wait_s)
            attempt += 1

    return trying


def fallen_back(work: Work, guarded: Guarded, steps: tuple[Step, ...]) -> Work:
    """Answer by the first step that can, where the call came to nothing."""
    if not steps:
        return work
    now = guarded.ends.clock.monotonic
    chain = [(step, Memory(step) if isinstance(step, cached) else None) for step in steps]
    memories = [memory for _, memory in chain if memory]

    @wraps(work)
    async def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = await work(*args, **kwargs)
        except Exception as error:
            if is_answer(error):
                raise
            return await instead(error, args, kwargs)
        for memory in memories:
            memory.keep(args, kwargs, answer, now())
        return answer

    async def instead(error: Exception, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        for step, memory in chain:
            found = memory.recall(args, kwargs, now()) if memory else await _tried(step, args, kwargs)
            if found:
                guarded.fell_back(step, error)
                return found[0]
        raise error

    return answered


async def _tried(step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any] | None:
    """A step's answer, in a tuple; None where it has none either."""
    assert not isinstance(step, cached)
    try:
        answer: Any = step(*args, **kwargs)
        return (await answer if inspect.isawaitable(answer) else answer,)
    except Exception:  # noqa: BLE001 - the call's own failure is what the caller must hear of
        return None
