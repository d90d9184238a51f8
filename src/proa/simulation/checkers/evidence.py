"""What a checker may hold against a system: which acknowledgements are firm, and what each store holds in the end.

All attempts under one idempotency key are one operation, over with its first answer. An acknowledgement is firm unless
the system itself tells that its commit is lost: parked by a cut, or gone with a disk. One that is not firm counts as
`unknown`; `loss.py` judges whether it was allowed to be lost. A strong table loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from proa.core.replicate.journal import Commit, Key
from proa.core.replicate.stamp import region_of
from proa.declare.tables import Mode
from proa.simulation.history import NEVER, Final, Operation

CERTAINTY: Mapping[str, int] = {"ok": 0, "unknown": 1, "failed": 2}


def copies(final: Final, table: str, mode: Mode) -> dict[str, dict[str, Any]]:
    """The living rows of a table by key, for each store that has them: `global`, or every region."""
    if mode == "strong":
        return {"global": final.strong(table)}
    return {region: final.table(region, table) for region in sorted(final.regions)}


def firm(history: Sequence[Operation], final: Final, mode: Mode) -> list[Operation]:
    """The operations, with the attempts under a key as one, and `unknown` where an acknowledged commit is lost."""
    lost = losses(final, mode)
    merged: dict[str | int, list[Operation]] = {}
    for operation in history:
        known = replace(operation, outcome="unknown", ended=NEVER) if lost(operation) else operation
        merged.setdefault(operation.idempotency_key or operation.number, []).append(known)
    return [attempts[0] if len(attempts) == 1 else _as_one(attempts) for attempts in merged.values()]


def _as_one(attempts: Sequence[Operation]) -> Operation:
    """Done if one of them says so, surely not done only if all do; begun with the first."""
    best = min(attempts, key=lambda attempt: (CERTAINTY[attempt.outcome], attempt.ended))
    return replace(best, began=min(attempt.began for attempt in attempts))


def losses(final: Final, mode: Mode) -> Callable[[Operation], bool]:
    """Tells whether an operation's acknowledged commit may be one that the system lists as lost."""
    if mode == "strong":
        return lambda _: False
    gone = {region_of(origin) for origin in final.lost_disks}
    keys = {commit.outcome.key for commit in parked(final) if commit.outcome}
    keyless = {region_of(commit.origin) for commit in parked(final) if not commit.outcome}

    def lost(operation: Operation) -> bool:
        if operation.outcome != "ok":
            return False
        key = operation.idempotency_key
        return operation.region in gone or (key in keys if key else operation.region in keyless)

    return lost


def parked(final: Final) -> Iterator[Commit]:
    """Every commit on a lost-write list, once for each region that lists it."""
    return (commit for region in sorted(final.regions) for commit in final.regions[region].parked)


def parked_rows(final: Final) -> set[Key]:
    """The addresses that parked commits wrote."""
    return {(write.table, write.key) for commit in parked(final) for write in commit.writes}


def listed_twice(final: Final) -> dict[str, set[str]]:
    """The keys that two regions finished, each for itself, as the regions list them, with the units concerned."""
    listed: dict[str, set[str]] = {}
    for region in sorted(final.regions):
        for kept, other in final.regions[region].duplicates:
            listed.setdefault(kept.key, set()).update((kept.unit, other.unit))
    return listed


def numbers(operations: Sequence[Operation]) -> tuple[int, ...]:
    """The numbers by which a violation names operations."""
    return tuple(sorted(operation.number for operation in operations))
