"""Siblings: the writes of a row that had not seen each other, kept whole beside the value that was made of them.

A value made of two writes cannot tell later which part a third write had seen. So a merge that is not a choice between
whole rows keeps the writes: a row is the *set* of its writes that no other write had seen (a dotted version vector set,
Almeida et al. 2014), and its value a function of that set. Replicas that applied the same writes have the same set,
whatever the order and however often, so they have the same value. The next write, which has seen them all, ends them.

A delete is a write that leaves nothing. It removes what it had seen; a write that had not seen it stands whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from proa.core.replicate.crdt import MARK, read_fields, write_fields
from proa.core.replicate.journal import Row
from proa.core.replicate.resolve import order
from proa.core.replicate.stamp import Versions, join


class Sibling(msgspec.Struct, frozen=True, array_like=True):
    """One write, as its unit made it."""

    origin: str
    seq: int
    stamp: int
    versions: Versions
    value: bytes
    expires_at: float | None = None


class Beside(msgspec.Struct, frozen=True, array_like=True):
    """What a row keeps beside its fields. `raised` names the exception that kept an author's function from merging."""

    siblings: list[Sibling]
    raised: str | None = None


class _Marked(msgspec.Struct, frozen=True):
    beside: Beside | None = msgspec.field(name=MARK, default=None)


_decode_marked = msgspec.msgpack.Decoder(_Marked).decode
Project = Callable[[Sequence[Sibling]], tuple[bytes, str | None]]
"""Makes the value of several siblings, the latest last; and names the exception that an author's function raised."""


def siblings_of(row: Row) -> list[Sibling]:
    """The writes that a row is made of; none where it is deleted."""
    if row.value is None:
        return []
    beside = _decode_marked(row.value).beside
    if beside:
        return beside.siblings
    versions = dict(sorted(row.versions.items()))  # in one order, so that replicas keep the same bytes
    return [Sibling(row.origin, row.seq, row.stamp, versions, row.value, row.expires_at)]


def raised(row: Row) -> str | None:
    """The name of the exception that an author's function raised when this row was merged."""
    beside = _decode_marked(row.value).beside if row.value is not None else None
    return beside.raised if beside else None


def combined(ours: Row, theirs: Row, project: Project) -> Row:
    """The row that two concurrent ones make together. Its dot is that of the latest write ever, deletes included."""
    latest = max(ours, theirs, key=order)
    versions = join(ours.versions, theirs.versions)
    kept = sorted(_together(ours, theirs), key=order)
    if not kept:
        return msgspec.structs.replace(latest, value=None, versions=versions, expires_at=None)
    last = kept[-1]
    value = last.value if _alone(kept, latest, versions) else _marked(kept, project)
    return msgspec.structs.replace(latest, value=value, versions=versions, expires_at=last.expires_at)


def _together(ours: Row, theirs: Row) -> list[Sibling]:
    """The writes of both, without those that the other side had seen and does not have any more."""
    mine, yours = siblings_of(ours), siblings_of(theirs)
    both = {(one.origin, one.seq) for one in mine} & {(one.origin, one.seq) for one in yours}
    kept = [one for one in mine if (one.origin, one.seq) in both or not _seen(theirs, one)]
    return kept + [one for one in yours if (one.origin, one.seq) not in both and not _seen(ours, one)]


def _seen(row: Row, one: Sibling) -> bool:
    return row.versions.get(one.origin, 0) >= one.seq


def _alone(kept: list[Sibling], latest: Row, versions: Versions) -> bool:
    """Whether the row says of itself all that there is to say of its only write."""
    only = kept[-1]
    return len(kept) == 1 and (only.origin, only.seq) == latest.dot and only.versions == versions


def _marked(kept: list[Sibling], project: Project) -> bytes:
    value, error = (kept[0].value, None) if len(kept) == 1 else project(kept)
    return write_fields({**read_fields(value), MARK: Beside([_in_order(one) for one in kept], error)})


def _in_order(one: Sibling) -> Sibling:
    """The same write with its versions sorted: replicas that learned of it in different orders keep the same bytes."""
    return msgspec.structs.replace(one, versions=dict(sorted(one.versions.items())))
