"""Compaction: how much of the journal may be dropped, once the base holds what the dropped entries had made.

The *floor* of an origin is the last sequence of it that the base holds. A floor rises over an entry when nobody needs
the entry itself any more: it is old, every peer has it durably, no cut can name it. Past a longest age it rises in any
case, and a peer that still lacked the entry joins by a snapshot of the base. Ages are those of the entries' own stamps.

Floors rise in causal order: an entry waits until the base holds all that it depends on. So the base is always a state
that some region could have been in, and merging the rest of the journal into it gives what the whole journal gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from proa.core.replicate.journal import Commit
from proa.core.replicate.stamp import Versions, region_of
from proa.core.roles import Cut
from proa.core.time import stamp_of, wall_of


class Floor(msgspec.Struct, frozen=True, array_like=True):
    """Up to where the base holds an origin: a sequence, and the stamp of that commit.

    `fenced` is the last commit among them that only the holder of a role could make, and `epoch` that under which it
    was made: a cut below it cannot be obeyed any more.
    """

    seq: int = 0
    stamp: int = 0
    fenced: int = 0
    epoch: int = 0

    def raised(self, commit: Commit, *, parked: bool) -> Floor:
        """The floor above the origin's next commit. One that is parked is no part of the base."""
        if commit.fenced_rows and not parked:
            return Floor(commit.seq, commit.stamp, commit.seq, commit.epoch)
        return Floor(commit.seq, commit.stamp, self.fenced, self.epoch)


Floors = dict[str, Floor]


class Retention(msgspec.Struct, frozen=True):
    """What may be dropped at one moment.

    Entries stamped up to `old` go where they are `passed` by every peer, those up to `oldest` in any case; but one that
    only the holder of a role could make stays until it is `copied`: somebody beside its own region has it, and so a cut
    is not below it. Of `held` origins nothing goes, for a cut may be about to name them; of those in `needed` nothing
    past the sequence given, unless it is older than `oldest`.
    """

    old: int
    oldest: int
    passed: Versions = {}
    copied: Versions = {}
    held: tuple[str, ...] = ()
    needed: Versions = {}

    def drops(self, commit: Commit) -> bool:
        """Whether the floor of its origin may rise over a commit."""
        origin, seq = commit.origin, commit.seq
        if origin in self.held:
            return False
        if commit.stamp <= self.oldest:
            return not commit.fenced_rows or seq <= self.copied.get(origin, 0)
        wanted = seq > self.needed.get(origin, seq)
        return commit.stamp <= self.old and seq <= self.passed.get(origin, 0) and not wanted


def horizon(age_s: float, now: float, latest: int) -> int:
    """The stamp of what is `age_s` old: by the clock or by the latest stamp seen, whichever is further back.

    A clock that jumped ahead makes nothing older than the journal says itself.
    """
    return stamp_of(max(0.0, min(now, wall_of(latest)) - age_s))


def passed_by(own: Mapping[str, int], peers: Iterable[Mapping[str, int]]) -> Versions:
    """How far everybody has every origin of `own`; a peer that was not heard of yet has nothing."""
    passed = dict(own)
    for cursors in peers:
        passed = {origin: min(seq, cursors.get(origin, 0)) for origin, seq in passed.items()}
    return passed


def copied_by(own: Mapping[str, int], peers: Mapping[str, Mapping[str, int]]) -> Versions:
    """How far anybody beside an origin's own region, and this one, has each origin of `own`. `peers` are by region."""
    return {
        origin: max((has.get(origin, 0) for peer, has in peers.items() if peer != region_of(origin)), default=0)
        for origin in own
    }


def lacking(after: Mapping[str, int], floors: Mapping[str, int]) -> Versions:
    """The floors above a reader of the journal who is at `after`; empty where the journal has all that it needs."""
    return {origin: seq for origin, seq in floors.items() if origin in after and seq > after[origin]}


def cut_below(cuts: Sequence[Cut], floors: Mapping[str, Floor]) -> Cut | None:
    """A cut that names commits which the base holds for good, if there is one."""
    nothing = Floor()
    return next(
        (
            cut
            for cut in cuts
            if (floor := floors.get(cut.origin, nothing)).fenced > cut.seq and floor.epoch < cut.epoch
        ),
        None,
    )
