"""Homes: which one region may write a row of mode `home`, and from when on.

Each row belongs to a *place*: its key, or the region that a field of it names. The home that acts for a place is a pure
function of the place and of the regions that hold the right to write in the present epoch: the named region if it is
among them, else the one with the highest weight for the key. So homes move with an epoch, all at once and for every
region alike, and of a lost region's rows each goes to a survivor of its own; nothing is stored about a row.

A region that comes to act for a row must first know everything that older rights allowed others to write. Until it has
*taken over*, it may write on only those rows for which it acted in every epoch since it last had.

Weights: highest random weight (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from proa.core.replicate.stamp import Versions, join
from proa.core.roles import Assignment, Node

NOBODY: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True, array_like=True):
    """What decides a row's home: its key (of rows sorted under one, that one), and the region that it names, if any.

    The table is no part of it: rows of several tables under one key share a home, so that one unit may write them.
    `among` are the regions that may hold the row, empty where all may.
    """

    key: str
    region: str = ""
    among: tuple[str, ...] = ()


def acting(place: Place, holders: tuple[str, ...]) -> str | None:
    """The region that acts as home of `place` where `holders` have the right to write; None where nobody has."""
    if place.among:
        holders = tuple(region for region in holders if region in place.among)
    if place.region in holders:
        return place.region
    return max(holders, key=lambda region: _weight(place.key, region), default=None)


def _weight(key: str, region: str) -> tuple[bytes, str]:
    return blake2b(f"{region}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), region


def holders(assignment: Assignment) -> tuple[str, ...]:
    """The regions among which an epoch divides the homes.

    One whose right was withdrawn in this epoch is still among them: nobody may write its rows before the next one.
    """
    withdrawn = assignment.revoked
    return tuple(
        sorted(
            region
            for region, role in assignment.roles.items()
            if withdrawn.get(region) == assignment.epoch or (role == "active" and region not in withdrawn)
        )
    )


class Tenure(msgspec.Struct, frozen=True):
    """What a region knows of its own homes in `epoch`: the holders of each epoch since it last had taken over."""

    epoch: int
    lines: tuple[tuple[str, ...], ...]

    @property
    def complete(self) -> bool:
        """Whether it has taken over all that is its own in this epoch."""
        return len(self.lines) == 1

    def home_of(self, place: Place) -> str | None:
        """The region that acts as home of `place` in this epoch."""
        return acting(place, self.lines[-1])

    def holds(self, region: str, place: Place) -> bool:
        """Whether `region`, whose tenure this is, may write there: it acts now, and nobody else can have meanwhile."""
        if self.home_of(place) != region:
            return False
        return self.complete or all(acting(place, line) == region for line in self.lines[:-1])

    def taken_over(self) -> Tenure:
        """The same, after everything that older rights allowed is known here."""
        return Tenure(self.epoch, self.lines[-1:])


def following(before: Tenure | None, assignment: Assignment, *, newborn: bool) -> Tenure:
    """The tenure under a new assignment. An epoch that was missed may have given any row to anybody.

    `newborn`: this region's disk is its first; in the first epoch nobody but itself can have written its rows.
    """
    held = holders(assignment)
    if before is None:
        first = newborn and assignment.epoch == 1
        return Tenure(assignment.epoch, (held,) if first else (NOBODY, held))
    if assignment.epoch == before.epoch + 1:
        return Tenure(assignment.epoch, (*before.lines, held))
    return Tenure(assignment.epoch, (NOBODY, held))


def stopped(nodes: Mapping[str, Node], known: Mapping[str, Versions], epoch: int) -> dict[str, Versions]:
    """What those not in `known` had applied when they were heard to write under no epoch older than `epoch`."""
    return {name: node.cursors for name, node in nodes.items() if name not in known and node.stopped >= epoch}


def goal(assignment: Assignment, me: str, known: Mapping[str, Versions]) -> Versions | None:
    """What `me` must have applied to take over; None while another holder has not said that it stopped.

    That is everything up to the latest cut of each origin that was cut off, and all that the other holders had when
    they stopped. A region that is no holder had its right ended before the epoch began: what it left lies before a cut.
    """
    others = [region for region in holders(assignment) if region != me]
    if any(region not in known for region in others):
        return None
    wanted: Versions = {cut.origin: cut.seq for cut in assignment.cuts}
    for region in others:
        wanted = join(wanted, known[region])
    return wanted
