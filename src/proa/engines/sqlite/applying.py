"""Other regions' commits: applied whole and in order, completed where they came with gaps, set aside after a cut.

Their entries are kept as they came and served on, so that any survivor can help any region to catch up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from proa.core.replicate.compaction import cut_below
from proa.core.replicate.journal import Commit, Dot, Key, commit_of, missing, parks
from proa.core.replicate.stamp import Versions
from proa.core.residency import Gap, completed, gap, lacks
from proa.core.roles import Cut
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.inside import Inside
from proa.engines.sqlite.merging import Merging
from proa.engines.sqlite.rows import encode
from proa.engines.sqlite.snapshot import Joining
from proa.ports import Terms

_decode_commit = msgspec.msgpack.Decoder(Commit).decode


class Applying:
    """Applies commits to one store, inside its writer's transactions."""

    def __init__(self, inside: Inside, merging: Merging, joining: Joining) -> None:
        self._in = inside
        self._merging = merging
        self._joining = joining

    def apply(self, entries: Sequence[bytes], terms: Terms) -> None:
        """Merge, park or skip each commit whose dependencies and terms are met."""
        if self._joining.merging:
            return
        version = self._in.version()
        for entry in entries:
            commit = commit_of(entry)  # what follows a damaged one of its origin is not due
            if commit and self._due(commit, terms.limits) and not missing(commit, self._in.cursors):
                self._apply(commit, entry, terms.cuts, version)

    def _due(self, commit: Commit, limits: Versions) -> bool:
        """Whether it is the next of its origin (not this region's own), and within the limit if that is held."""
        origin, seq = commit.origin, commit.seq
        return (
            origin != self._in.origin and seq == self._in.cursors.get(origin, 0) + 1 and seq <= limits.get(origin, seq)
        )

    def _apply(self, commit: Commit, entry: bytes, cuts: Sequence[Cut], version: int) -> None:
        dot = (commit.origin, commit.seq)
        self._in.writer.execute(SQL["put_entry"], (*dot, entry))
        self._in.lives += commit.seq == 1
        self._in.cursors[commit.origin] = commit.seq
        self._in.stamps.observe(commit.stamp)
        if lacks(commit, self._in.region):
            self._in.writer.execute(SQL["put_gap"], dot)
        if cut := parks(commit, cuts, self._in.parked):
            self._park(commit, cut)  # and a snapshot may have brought its outcome
        else:
            self._merging.commit(commit, version)

    def _park(self, commit: Commit, cut: Cut) -> None:
        self._in.park((commit.origin, commit.seq), cut.epoch, self._in.clock.now())
        self._merging.forget_outcome(commit.outcome)

    # Commits that came incomplete, since only a region that may not hold all of them had them.

    def gaps(self, limit: int, after: Dot) -> list[Gap]:
        """What they lack, by dot."""
        found = self._in.reader.execute(SQL["gaps"], (*after, limit))
        return [gap(commit, self._in.region) for row in found if (commit := self._in.readable(*row))]

    def fill(self, entries: Sequence[bytes]) -> int:
        """Take what other copies of them have; how many had something."""
        return sum(self._fill(_decode_commit(entry)) for entry in entries)

    def _fill(self, theirs: Commit) -> bool:
        dot = (theirs.origin, theirs.seq)
        if not self._in.writer.execute(SQL["is_gap"], dot).fetchone():
            return False
        mine = self._in.entry(*dot, self._in.writer.execute(SQL["entry"], dot).fetchone()[0])
        commit = completed(mine, theirs)
        self._in.writer.execute(SQL["replace_entry"], (encode(commit), *dot))
        if not lacks(commit, self._in.region):
            self._in.writer.execute(SQL["fill_gap"], dot)
        if dot not in self._in.parked:
            self._merging.commit(commit, self._in.version())
        return commit != mine

    # Setting a suffix aside.

    def set_aside(self, cuts: Sequence[Cut]) -> int | Cut:
        """Park every applied commit that came too late for a cut, and rebuild the rows that it had touched.

        The rows become what the remaining journal makes of them, so this needs nobody else. How many commits were
        parked; or the cut that lies below a floor: out of the base nothing can be taken.
        """
        return cut_below(cuts, self._in.base.floors) or self._set_aside(cuts)

    def _set_aside(self, cuts: Sequence[Cut]) -> int:
        touched: set[Key] = set()
        late = [commit for cut in cuts for commit in self._applied_after(cut)]
        newly = 0
        for commit in sorted(late, key=lambda commit: (commit.stamp, commit.origin, commit.seq)):
            known = (commit.origin, commit.seq) in self._in.parked
            if not known and (cut := parks(commit, cuts, self._in.parked)):
                self._park(commit, cut)
                touched |= {(write.table, write.key) for write in commit.writes}
                newly += 1
        if touched:
            self._merging.rebuild(touched)
        return newly

    def _applied_after(self, cut: Cut) -> Iterator[Commit]:
        """The applied commits that came too late for `cut`. Epochs rise along an origin, so they are one run."""
        for seq, entry in self._in.writer.execute(SQL["entries_after"], (cut.origin, cut.seq, -1)):
            commit = self._in.entry(cut.origin, seq, entry)
            if commit.epoch >= cut.epoch:
                return
            yield commit
