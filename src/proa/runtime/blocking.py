"""The driver of policies for functions that block their thread: the layers of `guard`, without an event loop.

They run in threads beside the loop and beside each other, so whatever several of them share is decided under a lock:
`Locked` gates. A call that is cut goes on in a thread of its own, for Python cannot end it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from threading import Event, Lock
from typing import Any

from proa.core.policy.budget import Budget, Purse
from proa.core.policy.bulkhead import Turn
from proa.core.policy.compose import Gates, Policies
from proa.core.policy.failures import is_answer
from proa.core.policy.fallback import Memory, Step, cached
from proa.core.policy.refusal import Refusal
from proa.ports import ThreadClock
from proa.runtime.guard import Guarded

Work = Callable[..., Any]


class LockedPurse(Purse):
    """A budget that threads share."""

    __slots__ = ("_lock",)

    def __init__(self, budget: Budget) -> None:
        self._lock = Lock()
        super().__init__(budget)

    def earn(self) -> None:
        with self._lock:
            super().earn()

    def spend(self) -> bool:
        with self._lock:
            return super().spend()


class Locked(Gates):
    """Gates that threads pass: one decision at a time."""

    def __init__(self, policies: Policies, *, counted: bool = False) -> None:
        self._lock = Lock()
        super().__init__(policies, counted=counted)
        only = super().shortest()
        self._enter_all = super().enter if only is self else only.enter
        self._leave_all = super().leave if only is self else only.leave

    def shortest(self) -> Gates:
        return self  # the lock is here

    def enter(self, now: float) -> Refusal | Turn | None:
        with self._lock:
            return self._enter_all(now)

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: FBT001 - the shape of a gate
        with self._lock:
            self._leave_all(began, now, failed)

    def called(self, turn: Turn, now: float) -> Refusal | None:
        with self._lock:
            return super().called(turn, now)

    def give_up(self, turn: Turn, now: float) -> Refusal:
        with self._lock:
            return super().give_up(turn, now)


def attempt(work: Work, guarded: Guarded, clock: ThreadClock) -> Work:
    """Pass the gates, make the call within its time, and say how it ended."""
    gates, now = guarded.gates, clock.monotonic
    enter, leave = gates.enter, gates.leave
    changes = gates.circuit.changes if gates.circuit else ()
    if guarded.policies.timeout:
        work = _timed(work, guarded, clock)

    @wraps(work)
    def attempted(*args: Any, **kwargs: Any) -> Any:
        began = now()
        if (verdict := enter(began)) is not None:
            began = _admitted(verdict, guarded)
        try:
            answer = work(*args, **kwargs)
        except Exception as error:
            guarded.failed(began, error)
            raise
        except BaseException:
            leave(began, now(), None)
            raise
        leave(began, now(), False)
        if changes:
            guarded.tell()
        return answer

    return attempted if gates.gates else work


def _timed(work: Work, guarded: Guarded, clock: ThreadClock) -> Work:
    timeout = guarded.policies.timeout
    assert timeout, "a call without a time-out is not timed"

    @wraps(work)
    def timed(*args: Any, **kwargs: Any) -> Any:
        try:
            return clock.cut(timeout.limit_s(), partial(work, *args, **kwargs))
        except TimeoutError as error:
            raise guarded.overdue(timeout.limit_s()) from error

    return timed


def _admitted(verdict: Refusal | Turn, guarded: Guarded) -> float:
    """When the call begins, having waited for its turn."""
    gates, now = guarded.gates, guarded.ends.clock.monotonic
    refusal = verdict if isinstance(verdict, Refusal) else _turn(verdict, guarded) or gates.called(verdict, now())
    if refusal:
        raise guarded.refused(refusal)
    return now()


def _turn(turn: Turn, guarded: Guarded) -> Refusal | None:
    now, came = guarded.ends.clock.monotonic, Event()
    turn.wake = came.set
    if turn.came or came.wait(max(0.0, min(turn.until - now(), guarded.ends.left_s()))):
        return None
    return guarded.gates.give_up(turn, now())


def retried(work: Work, guarded: Guarded, clock: ThreadClock) -> Work:
    """Make another attempt after one that failed, as long as the policy says so."""
    if guarded.policies.retry is None:
        return work
    purse = guarded.purse

    @wraps(work)
    def trying(*args: Any, **kwargs: Any) -> Any:
        first, attempt = clock.monotonic(), 1
        if purse:
            purse.earn()
        while True:
            try:
                return work(*args, **kwargs)
            except Exception as error:
                wait_s = guarded.wait_after(error, attempt, first)
                if wait_s is None:
                    raise
            clock.block(wait_s)
            attempt += 1

    return trying


def fallen_back(work: Work, guarded: Guarded, steps: tuple[Step, ...]) -> Work:
    """Answer by the first step that can, where the call came to nothing."""
    if not steps:
        return work
    now = guarded.ends.clock.monotonic
    chain = [(step, Memory(step) if isinstance(step, cached) else None) for step in steps]
    memories = [memory for _, memory in chain if memory]
    lock = Lock()

    @wraps(work)
    def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = work(*args, **kwargs)
        except Exception as error:
            if is_answer(error):
                raise
            return instead(error, args, kwargs)
        for memory in memories:
            with lock:
                memory.keep(args, kwargs, answer, now())
        return answer

    def instead(error: Exception, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        for step, memory in chain:
            found = recalled(memory, args, kwargs) if memory else _tried(step, args, kwargs)
            if found:
                guarded.fell_back(step, error)
                return found[0]
        raise error

    def recalled(memory: Memory, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any] | None:
        with lock:
            return memory.recall(args, kwargs, now())

    return answered


def _tried(step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any] | None:
    """A step's answer, in a tuple; None where it has none either."""
    assert not isinstance(step, cached)
    try:
        return (step(*args, **kwargs),)
    except Exception:  # noqa: BLE001 - the call's own failure is what the caller must hear of
        return None
