"""No region's files have a byte of a row that the region may not hold, and a row that moves leaves where it was.

Keys and values of resident rows carry a mark that names the set of regions that may hold them. The marks are looked for
among the raw bytes of every store's files, so that it does not matter where they got to: rows, journal, answers, the
conflict log, what was freed. That the rows converge among those that may hold them is for `convergence` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from proa.core.replicate.journal import Commit, Key, Row
from proa.core.replicate.resolve import order
from proa.core.replicate.stamp import region_of
from proa.core.residency import may_hold, resident, table_of
from proa.simulation.history import Final, StoreState, Violation

NAMED_MAX = 3
_MARK = re.compile(rb"only-([a-z]+)-[kv][0-9]+")


def mark(where: str, kind: str, number: int) -> str:
    """What the key (`k`) or value (`v`) of a row bears that may be held in the set of regions called `where`."""
    return f"only-{where}-{kind}{number}"


def marks(content: bytes) -> frozenset[str]:
    """Every mark among some bytes."""
    return frozenset(found[0].decode() for found in _MARK.finditer(content))


def check(final: Final, sets: Mapping[str, Sequence[str]]) -> list[Violation]:
    """Marks in the files of regions that are not in the set named. `sets` are the regions by the name of the set."""
    leaks = [
        Violation("residency", f"{region} has {len(found)} marks that it may not, among them {found[:NAMED_MAX]}")
        for region in sorted(final.regions)
        if (found := _strange(region, final, sets))
    ]
    return leaks + [found for region in sorted(final.regions) for found in _left_behind(region, final.regions[region])]


def _left_behind(region: str, state: StoreState) -> Iterator[Violation]:
    """Rows that stand in two parts of their table although the later write's region had seen the earlier row."""
    living = sorted((row for row in state.rows.values() if row.value and resident(row.table)), key=order)
    latest: dict[Key, Row] = {}
    for row in living:
        before = latest.get((table_of(row.table), row.key))
        if before and before.table != row.table and _had_seen(state.journal.get(row.dot), before):
            yield Violation("residency", f"{region} has row {row.key} in {before.table} still, and in {row.table}")
        latest[table_of(row.table), row.key] = row


def _had_seen(commit: Commit | None, row: Row) -> bool:
    """Whether the unit of this commit could see a row when it wrote another one under its key."""
    if commit is None or not may_hold(region_of(commit.origin), row.table):
        return False
    return commit.seen.get(row.origin, 0) >= row.seq


def _strange(region: str, final: Final, sets: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(one for one in final.regions[region].residents if region not in sets[one.split("-")[1]])
