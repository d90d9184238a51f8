"""What a stream made of the changes of a table is what the commits that stand make, each change told once, in order.

The app keeps, for each region, the changes that its stream was told of, as (key, unit). A change that a fail-over set
aside was told by nobody, or what was made of it was set aside, too. Where journals are compacted a stream may be told a
row as it stands instead of its changes (its unit is empty then), and entries may go before they were told; so there
only what is too much is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from proa.core.replicate.journal import Commit, Dot
from proa.core.replicate.stamp import region_of
from proa.core.residency import table_of
from proa.simulation.history import Final, Violation

NAMED_MAX = 3
Seen = tuple[str, str]
"""A change: the row's key, and the unit that wrote it."""


def check(final: Final, table: str, told: str) -> list[Violation]:
    """Where the rows of `told` (by region: `changes`) are not what the changes of `table` make."""
    violations: list[Violation] = []
    whole = not any(state.floors for state in final.regions.values())  # whichever region told them
    for name in sorted(final.regions):
        standing = _standing(final, name, table)
        rows = final.table(name, told)
        for region in sorted({region_of(origin) for origin in standing} | rows.keys()):
            made = [(one.key, one.unit) for one in rows[region].changes] if region in rows else []
            ours = {origin: changes for origin, changes in standing.items() if region_of(origin) == region}
            found = _compared(made, ours, whole=whole)
            violations += [Violation("stream", f"{name}: of the changes of {region}, {what}") for what in found]
    return violations


def _standing(final: Final, name: str, table: str) -> dict[str, list[Seen]]:
    """The changes of a table that stand, in the order of each origin."""
    state = final.regions[name]
    parked = {(commit.origin, commit.seq) for commit in state.parked}
    changes: dict[str, list[Seen]] = {}
    for dot, commit in sorted(state.journal.items(), key=_place):
        if dot not in parked:
            for write in commit.writes:
                if table_of(write.table) == table:
                    changes.setdefault(commit.origin, []).append((write.key, commit.unit))
    return changes


def _place(entry: tuple[Dot, Commit]) -> Dot:
    return entry[0]


def _compared(made: Sequence[Seen], standing: Mapping[str, Sequence[Seen]], *, whole: bool) -> Iterator[str]:
    every = Counter(change for changes in standing.values() for change in changes)
    keys = {key for key, _ in every}
    read = Counter(change for change in made if change[1])
    if doubled := sorted(change for change, times in read.items() if times > every.get(change, 1)):
        yield f"{doubled[:NAMED_MAX]} took effect more than once"
    if strange := sorted(one for one in made if (one not in every if one[1] else one[0] not in keys)):
        yield f"{strange[:NAMED_MAX]} took effect and do not stand"
    if whole and (missed := sorted(every.keys() - read.keys())):
        yield f"{missed[:NAMED_MAX]} took no effect"
    for origin, changes in standing.items():
        order = [change for change in made if change in changes]
        if order != [change for change in changes if change in order]:
            yield f"those of {origin} took effect in another order"
