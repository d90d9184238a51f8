"""What a benchmark yields: a figure, its peer from the same run, the ratio of the two, and the bound it must keep."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec


class Bound(msgspec.Struct, frozen=True):
    """What a figure must be: its ratio to the peer, or the value itself, at least or at most a number."""

    of: Literal["ratio", "value"]
    relation: Literal["at least", "at most"]
    limit: float

    def kept(self, measured: float) -> bool:
        """Whether `measured` is within the bound."""
        return measured >= self.limit if self.relation == "at least" else measured <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.relation == "at least" else "≤"
        return f"{sign} {self.limit:g}{'x' if self.of == 'ratio' else ''}"


class Figure(msgspec.Struct, frozen=True):
    """One line of the table. A figure without a bound is shown for comparison only."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    bound: Bound | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value over the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def ok(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        if self.bound is None:
            return None
        measured = self.ratio if self.bound.of == "ratio" else self.value
        return measured is not None and self.bound.kept(measured)

    def record(self) -> dict[str, object]:
        """The figure as results.json keeps it."""
        kept = {"ratio": self.ratio, "bound": str(self.bound) if self.bound else None, "ok": self.ok}
        return {**msgspec.to_builtins(self), **kept}


def ratio_at_least(limit: float) -> Bound:
    return Bound("ratio", "at least", limit)


def ratio_at_most(limit: float) -> Bound:
    return Bound("ratio", "at most", limit)


def at_least(limit: float) -> Bound:
    return Bound("value", "at least", limit)


def at_most(limit: float) -> Bound:
    return Bound("value", "at most", limit)


def medians(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """The median of each measure over `rounds`, taken in turns, so that a slow minute of the machine hits them all."""
    taken: list[Sequence[float]] = [[measure() for measure in measures] for _ in range(rounds)]
    return [statistics.median(values) for values in zip(*taken, strict=True)]
