"""The story of a run: what happened to its nodes, with what clients did put in between, in the order of true time.

A short history is told whole. Of a long one only those operations matter that failed, that nobody answered, or that a
violation names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from proa.simulation.case import Moment
from proa.simulation.history import Operation, Violation

WHOLE_MAX = 40
VALUE_MAX = 40
"""A value longer than so many characters says nothing to a reader."""


def story(
    moments: Iterable[Moment], history: Sequence[Operation], violations: Iterable[Violation], began_s: float = 0.0
) -> tuple[Moment, ...]:
    """The timeline of a run with its operations; it counts from `began_s`, as the faults do."""
    named = {number for violation in violations for number in violation.operations}
    whole = len(history) <= WHOLE_MAX
    told = [_moment(one, began_s) for one in history if whole or one.outcome != "ok" or one.number in named]
    return tuple(sorted((*moments, *told), key=lambda moment: moment.at_s))


def _moment(one: Operation, began_s: float) -> Moment:
    asked = " ".join(filter(None, (one.action, one.key, _value(one.argument))))
    return Moment(round(one.began - began_s, 3), one.client, f"[{one.number}] {asked} -> {_outcome(one)}")


def _outcome(one: Operation) -> str:
    if one.outcome == "unknown":
        return "no answer: it may have happened"
    where = f" from {one.region}" if one.region else ""
    epoch = f" in epoch {one.epoch}" if one.epoch else ""
    said = " ".join(filter(None, (one.outcome, _value(one.result))))
    return f"{said}{where}{epoch} after {one.ended - one.began:.3f} s"


def _value(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else repr(value)
    return text if len(text) <= VALUE_MAX else ""
