"""A doubled effect is handled once: one commit that stands wrote its mark, whichever regions found the pair."""

from __future__ import annotations

from proa.core.dedupe import HANDLED
from proa.core.replicate.journal import Dot
from proa.simulation.history import Final, Violation


def check(final: Final) -> list[Violation]:
    """Marks that more than one commit wrote; what a fail-over set aside did not happen."""
    marks: dict[str, set[Dot]] = {}
    for name in sorted(final.regions):
        state = final.regions[name]
        parked = {(commit.origin, commit.seq) for commit in state.parked}
        for dot, commit in state.journal.items():
            for write in commit.writes:
                if write.table == HANDLED and dot not in parked:
                    marks.setdefault(write.key, set()).add(dot)
    return [
        Violation("effects", f"the doubled effect of unit {unit} was handled by {len(dots)} commits: {sorted(dots)}")
        for unit, dots in sorted(marks.items())
        if len(dots) > 1
    ]


def refunded_once(final: Final, table: str) -> list[Violation]:
    """Rows that count how often a pair was handled; the counts of regions that handle one add up."""
    return [
        Violation("effects", f"{name} has the doubled effect of unit {unit} handled {row.count.value} times")
        for name in sorted(final.regions)
        for unit, row in sorted(final.table(name, table).items())
        if row.count.value != 1
    ]


def handled_units(final: Final) -> set[str]:
    """The later units of all pairs that were dealt with, as any region knows."""
    rows = (row for state in final.regions.values() for row in state.rows.values())
    return {row.key for row in rows if row.table == HANDLED}
