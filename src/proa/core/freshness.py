"""Freshness: since when a region has applied everything that a peer had committed.

A peer that is asked answers with its cursors. Whatever it had committed or applied when the question left is within
them; so once this region's own cursors cover them, it vouches: everything that the peer had by the moment at which the
question left is here. That moment is on this region's monotonic clock, so no clocks are compared. What the peer had of
others counts too: it may be the last to have what a lost disk had committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from proa.core.replicate.stamp import Versions, covers, region_of
from proa.core.roles import Assignment

NEVER = float("-inf")


class Mark(msgspec.Struct, frozen=True):
    """A question that was answered: when it left, and the peer's cursors, as told by the answer."""

    asked_at: float
    cursors: Versions


class Vouch(msgspec.Struct, frozen=True):
    """What is known of one peer: all that it had by `since` is here; of `marks` some is still missing."""

    since: float = NEVER
    marks: tuple[Mark, ...] = ()


def settled(vouch: Vouch, own: Mapping[str, int]) -> Vouch:
    """What follows when `own` is applied here."""
    here = [each.asked_at for each in vouch.marks if covers(own, each.cursors)]
    if not here:
        return vouch
    return Vouch(max(vouch.since, *here), tuple(each for each in vouch.marks if not covers(own, each.cursors)))


def heard(vouch: Vouch, answer: Mark, own: Mapping[str, int]) -> Vouch:
    """What is known after one more answer.

    Of those still waiting the oldest is kept beside the newest: else a peer that never rests would never be caught up
    with.
    """
    vouch = settled(vouch, own)
    return Vouch(vouch.since, (*vouch.marks[:1], answer))


def counting(regions: Sequence[str], own: str, mode: str, assignment: Assignment | None) -> tuple[str, ...]:
    """The peers whose commits to tables of `mode` count for a read in region `own`, where `assignment` is in force.

    A region that a plan went on without does not count any more. `active` rows come from regions that hold the right to
    write them, or held it in this epoch. Where the assignment in force is not known (None), every peer counts.
    """
    peers = tuple(region for region in regions if region != own)
    if assignment is None:
        return peers
    if mode == "active":
        return tuple(p for p in peers if assignment.may_write(p) or assignment.revoked.get(p) == assignment.epoch)
    return tuple(p for p in peers if assignment.revoked.get(p, assignment.epoch) == assignment.epoch)


def owed(counted: Sequence[str], assignment: Assignment | None) -> Versions:
    """Up to where the origins of regions that do not count any more were cut: so much of them still counts."""
    cuts = assignment.cuts if assignment else ()
    return {cut.origin: cut.seq for cut in cuts if region_of(cut.origin) not in counted}
