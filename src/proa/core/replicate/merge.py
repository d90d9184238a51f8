"""What becomes of a row that two regions wrote: covered versions give way, concurrent ones meet the merge policy.

A policy must be commutative, associative and idempotent, so that replicas converge in any order. `last_writer` orders
by (stamp, region, incarnation): stamps respect causality, so it never prefers a version that the other had seen.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from proa.core.replicate.journal import Row
from proa.core.replicate.stamp import Origin, covers, join

Rule = Literal["newer", "older", "concurrent"]


class Merge(Protocol):
    """A merge policy. `combine` gets two concurrent rows and returns the one that both replicas keep."""

    @property
    def name(self) -> str: ...
    def combine(self, ours: Row, theirs: Row) -> Row: ...


def order(row: Row) -> tuple[int, str, int]:
    """The last-writer order of a row."""
    origin = Origin.parse(row.origin)
    return (row.stamp, origin.region, origin.incarnation)


class LastWriter(msgspec.Struct, frozen=True):
    """The row with the larger (stamp, region, incarnation) stays."""

    name: str = "last_writer"

    def combine(self, ours: Row, theirs: Row) -> Row:
        return max(ours, theirs, key=order)


def last_writer() -> LastWriter:
    """The policy of tables in which the latest write may replace a concurrent one (both go to the conflict log)."""
    return LastWriter()


def resolve(policy: Merge, ours: Row | None, theirs: Row) -> tuple[Row, Rule]:
    """The row to keep, and how it was decided. `version` is left to the store."""
    if ours is None or covers(theirs.versions, ours.versions):
        return theirs, "newer"
    if covers(ours.versions, theirs.versions):
        return ours, "older"
    kept = policy.combine(ours, theirs)
    return msgspec.structs.replace(kept, versions=join(ours.versions, theirs.versions)), "concurrent"
