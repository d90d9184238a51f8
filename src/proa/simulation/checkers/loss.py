"""What was acknowledged and is gone stands on a list, and is no more than the declared RPO allows.

An operation is looked for by a row of its own which nobody removes, or by the outcome that its unit left under its
idempotency key. It is lost if no store has that in the end. There may be two reasons: its commit is parked (a fail-over
went on without it, and lists it), or the disk that had it is gone. Of a gone disk nobody can list the commits; so they
must be young: acknowledged at most `rpo_s` before nothing of that disk could reach a survivor any more. A strong table
loses nothing, whatever happens to regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Key
from proa.core.replicate.stamp import region_of
from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import parked, parked_rows
from proa.simulation.history import Final, Operation, Violation

RowOf = Callable[[Operation], Key | None]


def check(
    history: Sequence[Operation], final: Final, mode: Mode, *, rpo_s: float | None, row_of: RowOf | None = None
) -> list[Violation]:
    """The losses that nothing accounts for.

    `row_of` names the row that an operation made, None where it made none; without it operations are looked for by
    idempotency key. `rpo_s` is the declared objective, None where there is none.
    """
    find = row_of or _key_of
    present = _rows(final, mode) if row_of else _keys(final, mode)
    listed = set[Key]() if mode == "strong" else parked_rows(final) if row_of else _keys_of(parked(final))
    violations: list[Violation] = []
    for one in history:
        mark = find(one) if one.outcome == "ok" else None
        if mark is None or mark in present or mark in listed:
            continue
        age_s = None if mode == "strong" else _age_s(one, final)
        if age_s is None:
            violations.append(_lost(one, mark, "no list accounts for it"))
        elif rpo_s is not None and age_s > rpo_s:
            violations.append(_lost(one, mark, f"{age_s:.3f} s before its disk was lost; rpo_s is {rpo_s:g}"))
    return violations


def check_confirmed(history: Sequence[Operation], final: Final, row_of: RowOf) -> list[Violation]:
    """The losses of what a second region had confirmed: none is allowed for the loss of one region.

    It must stand, parked nowhere. Not so where two disks were lost, or where a person accepted that a plan went on
    without a member of the region's in-sync set.
    """
    if len(final.lost_disks) > 1:
        return []
    present, parked_too = _rows(final, "any"), parked_rows(final)
    accepted = {plan.lost for plan in final.control.plans.values() if plan.unheard and plan.accept_lost is not None}
    violations: list[Violation] = []
    for one in history:
        mark = row_of(one) if one.outcome == "ok" and one.region not in accepted else None
        if mark is not None and mark not in present:
            why = "a fail-over set it aside" if mark in parked_too else "no list has it either"
            violations.append(_lost(one, mark, f"a second region had confirmed it, and {why}"))
    return violations


def _rows(final: Final, mode: Mode) -> set[Key]:
    stores = [final.global_store] if mode == "strong" else final.regions.values()
    return {address for store in stores for address in store.rows}


def _key_of(one: Operation) -> Key | None:
    """An idempotency key in the form of an address."""
    return ("key", one.idempotency_key) if one.idempotency_key else None


def _keys(final: Final, mode: Mode) -> set[Key]:
    if mode == "strong":
        return _outcome_keys(final.global_store.outcomes)
    standing = (_outcome_keys(state.outcomes) for state in final.regions.values())
    return set[Key]().union(*standing)


def _outcome_keys(outcomes: Mapping[tuple[str, str], Outcome]) -> set[Key]:
    return {("key", key) for _, key in outcomes}


def _keys_of(commits: Iterable[Commit]) -> set[Key]:
    return {("key", commit.outcome.key) for commit in commits if commit.outcome}


def _age_s(one: Operation, final: Final) -> float | None:
    """How long its region's disk could still have reached a survivor after the answer; None if no disk was lost."""
    lost = [origin for origin in sorted(final.lost_disks) if region_of(origin) == one.region]
    return min((final.lost_at.get(origin, one.ended) - one.ended for origin in lost), default=None)


def _lost(one: Operation, mark: Key, why: str) -> Violation:
    detail = f"{mark[0]} {mark[1]}, acknowledged by {one.region} at {one.ended:.3f} s, is in no store: {why}"
    return Violation("loss", detail, (one.number,))
