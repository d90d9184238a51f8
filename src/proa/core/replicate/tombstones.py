"""When a tombstone may go: when no region can send a write any more that had not seen the delete.

A peer names the cursors that it has applied whenever it asks for more. If they cover the row's version vector, whatever
the peer commits from then on has seen the delete; and once this region has applied everything that the report names,
the peer's own commits included, nothing that the peer made before is on its way here. A tombstone of which both is true
for every peer can be forgotten. A peer that was never heard of, or is gone, keeps all tombstones where they are.

A row that has expired goes by the same rule, without a delete: what must have been seen is the write that made it. The
end is part of that write, so every region knows of it, and a later write that replaces the row is stamped after it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proa.core.replicate.stamp import Versions, covers


class Passed(msgspec.Struct, frozen=True):
    """What one peer has passed: `reported` and not yet caught up with here, and `settled`. None: never heard of."""

    reported: Versions | None = None
    settled: Versions | None = None


def heard(known: Passed, report: Versions, own: Versions) -> Passed:
    """What is known after the peer's latest `report`, when `own` is applied here.

    A report waits until it is settled, whatever comes meanwhile; else a busy peer would never be caught up with. One
    that falls behind an earlier one comes from a disk that was lost or put back: what that disk had passed is void.
    """
    if known.reported is None or not covers(report, known.reported):
        return Passed(report)
    if covers(own, known.reported):
        return Passed(report, known.reported)
    return known


def passed_by_all(versions: Versions, peers: Iterable[Passed]) -> bool:
    """Whether every peer has passed a row with this version vector."""
    return all(peer.settled is not None and covers(peer.settled, versions) for peer in peers)
