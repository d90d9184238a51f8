"""Rights never overlap: no write is acknowledged under an old epoch once one was under a newer epoch.

That holds for all `active` rows together, and for each row of mode `home` by itself: of those, some stay where they are
when an epoch begins, and go on.

An acknowledgement leaves its region at one instant. Where the world saw it that is `answered`; else all that is known
is that it lies between the operation's beginning and its end. Two epochs overlap for certain if an answer of the older
one left, at the earliest, after one of the newer had left, at the latest. That a client merely *heard* of the older one
later proves nothing: an answer may be slow on its way.

Within an epoch one region alone holds such a right, so all acknowledgements of an epoch come from one region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proa.simulation.checkers.evidence import numbers
from proa.simulation.history import NEVER, Final, Operation, Violation


def check(history: Sequence[Operation], _final: Final) -> list[Violation]:
    """The overlaps of epochs in a whole history, and epochs in which two regions acknowledged."""
    rights: dict[tuple[str, str], dict[int, list[Operation]]] = {}
    for one in history:
        if one.outcome == "ok" and one.epoch > 0:
            right = (one.workload, one.key) if one.at_home else ("", "")
            rights.setdefault(right, {}).setdefault(one.epoch, []).append(one)
    return [found for epochs in rights.values() for found in _judged(epochs)]


def _judged(epochs: Mapping[int, list[Operation]]) -> list[Violation]:
    """What contradicts one right, by the acknowledgements of each epoch."""
    violations: list[Violation] = []
    newer: Operation | None = None
    for epoch in sorted(epochs, reverse=True):
        acknowledged = epochs[epoch]
        last = max(acknowledged, key=_earliest)
        if newer and _earliest(last) > _latest(newer):
            violations.append(_overlap(last, newer))
        first = min(acknowledged, key=_latest)
        newer = first if newer is None or _latest(first) < _latest(newer) else newer
        violations += _shared(epoch, acknowledged)
    return violations


def _earliest(one: Operation) -> float:
    """The first instant at which its answer may have left."""
    return one.began if one.answered == NEVER else one.answered


def _latest(one: Operation) -> float:
    return one.ended if one.answered == NEVER else one.answered


def _overlap(older: Operation, newer: Operation) -> Violation:
    detail = (
        f"{older.region} acknowledged operation {older.number} in epoch {older.epoch}, after {newer.region} "
        f"had acknowledged operation {newer.number} in epoch {newer.epoch}"
    )
    return Violation("fencing", detail, numbers([older, newer]))


def _shared(epoch: int, acknowledged: Sequence[Operation]) -> list[Violation]:
    first = {one.region: one for one in reversed(acknowledged)}
    if len(first) == 1:
        return []
    detail = f"{' and '.join(sorted(first))} acknowledged in one epoch, {epoch}"
    return [Violation("fencing", detail, numbers(list(first.values())))]
