"""Bounded reads show nothing that had been overtaken longer ago than they allow.

Rows hold numbers that only rise. What was acknowledged so many seconds before a read began must be in what it shows,
where it counts: a commit that was lost does not, nor does one of a region that a plan went on without, or that lost its
disk; those are the account of losses'. And no read shows what nobody wrote.

Actions: `write` (argument: the number) and `read` (argument: seconds; result: the number, 0 where there is none).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proa.core.replicate.stamp import Origin
from proa.declare.tables import Mode
from proa.simulation.history import Final, Operation, Violation

DRIFT = 0.02
"""A region counts the seconds on a clock of its own, which may run faster or slower by so much."""


def check(history: Sequence[Operation], final: Final, mode: Mode) -> list[Violation]:
    """The reads that showed too little, or what was never written."""
    out = frozenset[str]() if mode == "strong" else _out(final)
    writes = [one for one in history if one.action == "write"]
    reads = [one for one in history if one.action == "read" and one.outcome == "ok"]
    firm = [one for one in writes if one.outcome == "ok" and one.region not in out]
    return [*(found for read in reads for found in _stale(read, firm)), *_invented(reads, writes)]


def _stale(read: Operation, writes: Sequence[Operation]) -> Iterator[Violation]:
    since = read.began - read.argument * (1 + DRIFT)
    due = [one for one in writes if one.key == read.key and one.ended < since]
    newest = max(due, key=lambda one: one.argument, default=None)
    if newest and read.result < newest.argument:
        detail = (
            f"read {read.number} showed {read.result}, overtaken by write {newest.number} of {newest.argument} "
            f"{read.began - newest.ended:.3f} s before; it allowed {read.argument:g} s"
        )
        yield Violation("bounded", detail, (newest.number, read.number))


def _invented(reads: Sequence[Operation], writes: Sequence[Operation]) -> Iterator[Violation]:
    for read in reads:
        known = {0, *(one.argument for one in writes if one.key == read.key and one.began <= read.ended)}
        if read.result not in known:
            yield Violation("bounded", f"read {read.number} showed {read.result}, which nobody wrote", (read.number,))


def _out(final: Final) -> frozenset[str]:
    """Regions that a plan went on without, or that began another life, at some time."""
    lost = {plan.lost for plan in final.control.plans.values()}
    dropped = {name for plan in final.control.plans.values() for name in plan.dropped}
    origins = [Origin.parse(origin) for state in final.regions.values() for origin in state.cursors]
    reborn = {origin.region for origin in origins if origin.incarnation > 1}
    gone = {Origin.parse(origin).region for origin in final.lost_disks}
    return frozenset(lost | dropped | reborn | gone)
