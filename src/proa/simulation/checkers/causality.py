"""Nothing stands without what it was built on, in no region and at no time.

- A region applies a commit after those that it depends on. The order is still to be seen: a row's local version says
  when it was written there. Rows that several commits made, that were rebuilt or mended, and commits that have left the
  journal, which may have come with a snapshot, do not tell.
- What read a row of a commit that was set aside is set aside too.
- An epoch starts from its cut: whoever writes `active` rows in it has every commit up to there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from proa.core.replicate.journal import Commit, Dot
from proa.simulation.history import Final, StoreState, Violation

NAMED_MAX = 3
"""How many of the commits concerned a violation names."""
Written = Mapping[Dot, int]
"""When each commit was applied in a region, by the region's own count."""


def check(final: Final) -> list[Violation]:
    """Effects without causes."""
    found: list[str] = []
    for region in sorted(final.regions):
        state = final.regions[region]
        if not final.mended:
            found += _told(region, "before what it depends on", _early(state))
        found += _told(region, "though it read what was set aside", _orphans(state))
    commits = {dot: commit for state in final.regions.values() for dot, commit in state.journal.items()}
    found += _told("a region", "without all that its epoch starts from", _behind(commits, final))
    return [Violation("causality", detail) for detail in found]


def _told(region: str, how: str, dots: Iterator[Dot]) -> Iterator[str]:
    if named := [f"{origin}:{seq}" for origin, seq in dots]:
        yield f"{region} has {', '.join(named[:NAMED_MAX])} ({len(named)} in all) {how}"


def _early(state: StoreState) -> Iterator[Dot]:
    """Commits that were applied before one of those that they depend on."""
    if state.parked or state.gaps:
        return  # rows were rebuilt, or came, later than what had been built on them
    written = {row.dot: row.version for row in state.rows.values() if len(row.versions) <= 1}
    written = {dot: version for dot, version in written.items() if dot[1] > state.floors.get(dot[0], 0)}
    latest = _latest(state, written)
    for dot, version in written.items():
        commit = state.journal.get(dot)
        deps = commit.deps.items() if commit else ()
        if any(max(latest.get(origin, [])[:seq][-1:], default=0) > version for origin, seq in deps):
            yield dot


def _latest(state: StoreState, written: Written) -> dict[str, list[int]]:
    """Per origin and sequence, when the last of its commits so far was applied."""
    return {
        origin: list(accumulate((written.get((origin, seq), 0) for seq in range(1, cursor + 1)), max))
        for origin, cursor in state.cursors.items()
    }


def _orphans(state: StoreState) -> Iterator[Dot]:
    parked = {(commit.origin, commit.seq) for commit in state.parked}
    if parked:
        for dot, commit in state.journal.items():
            if dot not in parked and any(read in parked for read in commit.reads):
                yield dot


def _behind(commits: Mapping[Dot, Commit], final: Final) -> Iterator[Dot]:
    """Commits of `active` rows that lack something up to the cut of their epoch."""
    cuts: Sequence[tuple[int, str, int]] = [(cut.epoch, cut.origin, cut.seq) for cut in final.control.cuts]
    for dot, commit in commits.items():
        if any(write.mode == "active" for write in commit.writes) and any(
            epoch == commit.epoch and origin != commit.origin and commit.deps.get(origin, 0) < seq
            for epoch, origin, seq in cuts
        ):
            yield dot
