"""What was acknowledged and is gone stands on a list, and is no more than the declared RPO allows.

Only operations count that make a row of their own which nobody removes. Such a row is lost if no store has it in the
end. That may be for two reasons: its commit is parked (a fail-over went on without it, and lists it), or the disk that
had it is gone. Of a gone disk nobody can list the commits; so they must be young: acknowledged at most `rpo_s` before
nothing of that disk could reach a survivor any more. A strong table loses nothing, whatever happens to regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proa.core.replicate.journal import Key
from proa.core.replicate.stamp import region_of
from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import parked_rows
from proa.simulation.history import Final, Operation, Violation


def check(
    history: Sequence[Operation],
    final: Final,
    mode: Mode,
    *,
    row_of: Callable[[Operation], Key | None],
    rpo_s: float | None,
) -> list[Violation]:
    """The losses that nothing accounts for.

    `row_of` names the row that an operation made, None where it made none. `rpo_s` is the declared objective, None
    where there is none.
    """
    stores = [final.global_store] if mode == "strong" else [final.regions[region] for region in sorted(final.regions)]
    listed = parked_rows(final) if mode != "strong" else set[Key]()
    violations: list[Violation] = []
    for one in history:
        row = row_of(one) if one.outcome == "ok" else None
        if row is None or row in listed or any(row in store.rows for store in stores):
            continue
        age_s = None if mode == "strong" else _age_s(one, final)
        if age_s is None:
            violations.append(_lost(one, row, "no list accounts for it"))
        elif rpo_s is not None and age_s > rpo_s:
            violations.append(_lost(one, row, f"{age_s:.3f} s before its disk was lost; rpo_s is {rpo_s:g}"))
    return violations


def _age_s(one: Operation, final: Final) -> float | None:
    """How long its region's disk could still have reached a survivor after the answer; None if no disk was lost."""
    lost = [origin for origin in sorted(final.lost_disks) if region_of(origin) == one.region]
    return min((final.lost_at.get(origin, one.ended) - one.ended for origin in lost), default=None)


def _lost(one: Operation, row: Key, why: str) -> Violation:
    detail = f"{row[0]} {row[1]}, acknowledged by {one.region} at {one.ended:.3f} s, is in no store: {why}"
    return Violation("loss", detail, (one.number,))
