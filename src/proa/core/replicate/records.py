"""What a region keeps because something did not go plainly: conflicts between rows, and commits set aside.

Both are for people. A conflict is history: the merge has decided, and the record says what it decided between. A parked
commit is a question: what became of an acknowledged write that a new epoch started without (`lost` answers it).
"""

from __future__ import annotations

import msgspec

from proa.core.replicate.journal import Commit, Dot, Row
from proa.core.trace import own_trace


class ConflictRecord(msgspec.Struct, frozen=True):
    """Two concurrent versions of a row and the rule that decided, at a time of the region's wall clock."""

    at: float
    rule: str
    ours: Row
    theirs: Row


class Parked(msgspec.Struct, frozen=True):
    """A commit that came too late for its epoch, set aside whole."""

    epoch: int
    at: float
    commit: Commit

    @property
    def dot(self) -> Dot:
        """The commit's."""
        return (self.commit.origin, self.commit.seq)


class ConflictsWanted(msgspec.Struct, frozen=True):
    """Which records of the conflict log: the newest `limit`, of a table and a key where given, not older than `since`.

    A key is taken as stores hold it, or with its parts divided by `/` as people write it.
    """

    table: str = ""
    key: str = ""
    since: float = 0.0
    limit: int = 100


def trace_of(commit: Commit) -> str:
    """The W3C trace of the unit that committed it; one that began its own trace has its unit's id for it."""
    return commit.trace or own_trace(commit.unit)
