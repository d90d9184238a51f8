"""Shrinking: from a failing case to one that a person can follow, by leaving things out while it still fails.

Faults first, by delta debugging: whole halves of the list are left out before single ones (A. Zeller and
R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Then the run is cut short and has fewer
requests, and each remaining fault becomes shorter and milder, by bisection. A case fails only where the same invariant
is violated; another one may be another bug. A smaller number need not fail where a larger one does, so what is found is
small, not smallest.

The order of attempts follows from the case alone. Only the limit in seconds can make two machines differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeVar

import msgspec

from proa.simulation.case import Case, Fault, Run

T = TypeVar("T")
Attempt = Callable[[Case], Run]
RUNS_MAX = 500
SECONDS_MAX = 25.0
DURATION_S_MIN = 1.0
FOR_S_MIN = 0.05
STEPS = 5
"""Bisections of one number. That a few more requests are left than must be is no harm; a long search is."""


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest failing run found, after so many `runs`. `complete`: nothing that was tried makes it smaller.

    Where the case did not even fail when it was run again, `repeated` is False and nothing was changed.
    """

    run: Run
    invariant: str
    runs: int
    repeated: bool = True
    complete: bool = True


class Shrinking(msgspec.Struct, frozen=True):
    """Progress: the best case so far, after so many runs."""

    case: Case
    runs: int


Tell = Callable[[Shrinking], None]


def violates(run: Run, invariant: str) -> bool:
    """Whether the run contradicts this invariant."""
    return any(violation.invariant == invariant for violation in run.violations)


def shrink(
    run: Run, invariant: str, attempt: Attempt, tell: Tell, clock: Callable[[], float] = time.monotonic
) -> Shrunk:
    """The smallest run found that violates `invariant`; `run` violated it. `clock` gives seconds."""
    search = _Search(run, invariant, attempt, tell, clock)
    if not search.fails(run.case):
        return Shrunk(run, invariant, search.runs, repeated=False)
    _until_nothing_helps(search, _smaller)
    return Shrunk(search.best, invariant, search.runs, complete=not search.over)


class _Search:
    """The best run so far, and what is known of other cases."""

    def __init__(self, run: Run, invariant: str, attempt: Attempt, tell: Tell, clock: Callable[[], float]) -> None:
        self.best = run
        self.runs = 0
        self._known: dict[Case, bool] = {}
        self._invariant, self._attempt, self._tell = invariant, attempt, tell
        self._clock, self._until = clock, clock() + SECONDS_MAX

    @property
    def over(self) -> bool:
        """Whether a limit is reached; from then on nothing new is tried."""
        return self.runs >= RUNS_MAX or self._clock() >= self._until

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults of the best case."""
        return self.best.case.faults or ()

    def fails(self, case: Case) -> bool:
        """Whether the case violates the invariant; if so it is the best from now on."""
        if case not in self._known and not self.over:
            self._known[case] = self._try(case)
        return self._known.get(case, False)

    def fails_with(self, **changes: object) -> bool:
        """Whether the best case with these changes fails as well."""
        return self.fails(msgspec.structs.replace(self.best.case, **changes))

    def _try(self, case: Case) -> bool:
        run = self._attempt(case)
        self.runs += 1
        failed = violates(run, self._invariant)
        if failed:
            self.best = run
            self._tell(Shrinking(case, self.runs))
        return failed


def _until_nothing_helps(search: _Search, step: Callable[[_Search], None]) -> None:
    """Less of one thing often makes another needless, so that every step is taken again."""
    before = None
    while search.best.case != before:
        before = search.best.case
        step(search)


def _smaller(search: _Search) -> None:
    _until_nothing_helps(search, _fewer)
    for number in range(len(search.faults)):
        _milder(search, number, "for_s", FOR_S_MIN)
        _milder(search, number, "amount", 0.0)


def _fewer(search: _Search) -> None:
    ddmin(search.faults, lambda faults: search.fails_with(faults=faults))
    _cut_short(search)
    least(search.best.case.requests, 1, lambda requests: search.fails_with(requests=round(requests)))


def _cut_short(search: _Search) -> None:
    """End the run earlier with as many requests a second, so that those that remain come when they came."""
    whole = search.best.case
    last = max((fault.at_s for fault in search.faults), default=0.0)

    def fails(duration_s: float) -> bool:
        requests = max(1, round(whole.requests * duration_s / whole.duration_s))
        return search.fails_with(duration_s=duration_s, requests=requests)

    least(whole.duration_s, max(DURATION_S_MIN, last), fails)


def _milder(search: _Search, number: int, field: Literal["for_s", "amount"], floor: float) -> None:
    """Make one fault shorter, or less of it: an amount below zero comes nearer to zero, too."""
    value: float = getattr(search.faults[number], field)

    def fails(size: float) -> bool:
        faults = list(search.faults)
        faults[number] = msgspec.structs.replace(faults[number], **{field: math.copysign(size, value)})
        return search.fails_with(faults=tuple(faults))

    least(abs(value), floor, fails)


def ddmin(items: Sequence[T], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """A subsequence that `fails` and does not without any single one of its items, if `items` itself fails."""
    kept: tuple[T, ...] = tuple(items)
    if not kept or fails(()):
        return ()
    parts = 2
    while parts <= len(kept):
        chunks = _chunks(kept, parts)
        if (chunk := next(filter(fails, chunks), None)) is not None:
            kept, parts = chunk, 2
        elif (rest := next(filter(fails, _complements(chunks)), None)) is not None:
            kept, parts = rest, max(parts - 1, 2)
        else:
            parts = len(kept) + 1 if parts == len(kept) else min(2 * parts, len(kept))
    return kept


def _chunks(items: tuple[T, ...], parts: int) -> list[tuple[T, ...]]:
    edges = [len(items) * part // parts for part in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def _complements(chunks: list[tuple[T, ...]]) -> list[tuple[T, ...]]:
    return [tuple(item for other in chunks if other is not chunk for item in other) for chunk in chunks]


def least(value: float, floor: float, fails: Callable[[float], bool]) -> float:
    """A number from `floor` up to `value`, as small as bisection finds, with which it still `fails`.

    A whole number stays whole: it may count something.
    """
    if value <= floor or fails(floor):
        return min(value, floor)
    whole = float(value).is_integer() and float(floor).is_integer()
    low, high = floor, value
    for _ in range(STEPS):
        middle = (low + high) / 2
        middle = float(round(middle)) if whole else float(f"{middle:.3g}")
        if not low < middle < high:
            break
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high
