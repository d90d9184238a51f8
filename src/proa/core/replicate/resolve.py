"""What becomes of a row that two regions wrote: covered versions give way, concurrent ones meet the merge policy.

A policy must be commutative, associative and idempotent, so that replicas converge in any order. That of tables without
one is the last writer's, by (stamp, region, incarnation): stamps respect causality, so it never prefers a version that
the other had seen. The policies that authors choose are in `merge`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from proa.core.replicate.journal import NO_VERSIONS, Dot, Row
from proa.core.replicate.stamp import Origin, Versions, covers, join
from proa.core.time import wall_of

Rule = Literal["newer", "older", "concurrent"]


class Merge(Protocol):
    """A merge policy. `combine` gets two concurrent rows and returns the one that both replicas keep."""

    @property
    def name(self) -> str: ...
    def combine(self, ours: Row, theirs: Row) -> Row: ...


Stamping = Callable[[bytes, str, int, int], bytes]
"""A row's bytes with the dot of the commit that wrote them: (bytes, origin, sequence, stamp) -> bytes."""


@runtime_checkable
class Committing(Protocol):
    """A policy whose rows tell of the commit that wrote them."""

    def committed(self, value: bytes, origin: str, seq: int, stamp: int) -> bytes: ...


class Stamped(Protocol):
    """What has a place in the last-writer order."""

    @property
    def stamp(self) -> int: ...
    @property
    def origin(self) -> str: ...


def order(write: Stamped) -> tuple[int, str, int]:
    """The last-writer order of a row."""
    origin = Origin.parse(write.origin)
    return (write.stamp, origin.region, origin.incarnation)


class LastWriter(msgspec.Struct, frozen=True):
    """The row with the larger (stamp, region, incarnation) stays."""

    name: str = "last_writer"

    def combine(self, ours: Row, theirs: Row) -> Row:
        return max(ours, theirs, key=order)


def resolve(policy: Merge, ours: Row | None, theirs: Row, seen: Versions = NO_VERSIONS) -> tuple[Row, Rule]:
    """The row to keep, and how it was decided. `version` is left to the store.

    `seen` is all that the writer's region had applied. A row that it had dropped, as a tombstone or because it had
    expired, is not in `theirs.versions`, yet had been seen.
    """
    if ours is None or covers(theirs.versions, ours.versions):
        return theirs, "newer"
    if covers(ours.versions, theirs.versions):
        return ours, "older"
    if _gone(ours, theirs.stamp) and covers(seen, ours.versions):
        return theirs, "newer"
    kept = policy.combine(ours, theirs)
    return msgspec.structs.replace(kept, versions=join(ours.versions, theirs.versions)), "concurrent"


def _gone(row: Row, stamp: int) -> bool:
    """Whether a region that writes at `stamp` may have dropped the row."""
    return row.value is None or (row.expires_at is not None and row.expires_at <= wall_of(stamp))


def dots_of(row: Row) -> list[Dot]:
    """The commits whose writes a reader of this row sees."""
    if row.value is None or len(row.versions) == 1:
        return [row.dot]
    from proa.core.replicate.siblings import siblings_of  # a row that one region alone wrote never needs them

    try:
        return [(one.origin, one.seq) for one in siblings_of(row)]
    except ValueError:
        return [row.dot]  # a damaged row; whoever looks into it fails, and anti-entropy mends it


def verdict(policy: Merge, kept: Row) -> str:
    """What decided about concurrent rows, for the conflict log: the policy's name, or why it was another one."""
    if isinstance(policy, LastWriter):
        return policy.name
    from proa.core.replicate.siblings import raised  # a choice between whole rows never needs them

    failure = raised(kept)
    return f"last_writer, since {policy.name} raised {failure}" if failure else policy.name
