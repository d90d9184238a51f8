"""What became of a lost write: an acknowledged commit that a new epoch started without, and that was set aside.

Each row that it wrote is compared with what stands under that key now. Written since by a commit that stands: nothing
is missing, somebody decided anew. Equal all the same: nothing is missing either. Otherwise a person must look, because
nobody else can know whether the write still makes sense. Read it before `--reapply`: the epoch that went on without the
commit may have told clients something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from proa.core.replicate.crdt import read_fields, write_fields
from proa.core.replicate.journal import Commit, Dot, Row, Write
from proa.core.replicate.records import Parked
from proa.core.replicate.resolve import LastWriter, Merge, resolve
from proa.core.replicate.stamp import join

Fate = Literal["superseded", "same", "merged", "needs a person"]
FATES: tuple[Fate, ...] = ("needs a person", "same", "superseded", "merged")
"""The worst first: a commit's fate is the worst of its writes."""
_RANK = {one: rank for rank, one in enumerate(FATES)}
Epochs = Callable[[Dot], int]
"""The epoch of the commit with a dot; 0 where the journal does not have it any more."""


def fate(write: Write, parked: Parked, stands: Row | None, epochs: Epochs) -> Fate:
    """What became of one row that a parked commit wrote, given the row that `stands` under its key."""
    if (stands.value if stands else None) == write.value:
        return "same"
    if stands and (stands.stamp > parked.commit.stamp or epochs(stands.dot) >= parked.epoch):
        return "superseded"
    return "needs a person"


def worst(fates: Iterable[Fate]) -> Fate:
    """The fate of a commit whose writes met these; one that wrote no row left nothing to look at."""
    return FATES[min((_RANK[one] for one in fates), default=_RANK["same"])]


def settled_fate(one: Fate, other: Fate) -> Fate:
    """What two regions' answers say together: a commit that stands may have reached only one of them so far."""
    return max(one, other, key=_RANK.__getitem__)


def again(policy: Merge | None, commit: Commit, write: Write, stands: Row | None) -> Write:
    """The write of a new unit that brings a parked row back.

    A whole row replaces what stands. One that merges is merged with what stands, as if it had come in time, so that
    nothing which was counted or added since is taken back.
    """
    fresh = msgspec.structs.replace(write, versions={})
    if policy is None or isinstance(policy, LastWriter) or stands is None or stands.value is None:
        return fresh
    versions = join(write.versions, {commit.origin: commit.seq})
    theirs = Row(write.table, write.key, write.value, commit.stamp, commit.origin, commit.seq, versions, 0)
    kept, _ = resolve(policy, stands, theirs)
    # Without the writes kept beside the fields: what a unit that read the row would write.
    value = None if kept.value is None else write_fields(read_fields(kept.value))
    return msgspec.structs.replace(fresh, value=value, expires_at=kept.expires_at)
