"""Versions of a row: what a writer had seen, so that concurrent writes are detected and not guessed.

A version vector maps an origin (`region/incarnation`) to the sequence of its last commit that the row includes. Vector
a *covers* b when a has seen all of b; two vectors of which neither covers the other are concurrent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Versions = dict[str, int]


class Origin(NamedTuple):
    """One life of one region's disk. Written `region/incarnation`."""

    region: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.region}/{self.incarnation}"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read `region/incarnation`; ValueError where it is not one."""
        region, _, incarnation = text.rpartition("/")
        if not region:
            raise ValueError(f"not an origin: {text!r}")
        return cls(region, int(incarnation))


def region_of(origin: str) -> str:
    """The region of an origin in its written form."""
    return origin.rpartition("/")[0]


def continues(origin: str, whole_since: int, earlier: str) -> bool:
    """Whether a disk that lives as `origin` has all that it had as `earlier`.

    It lost nothing since its life `whole_since`; 0: since the present one began.
    """
    life, before = Origin.parse(origin), Origin.parse(earlier)
    return life.region == before.region and (whole_since or life.incarnation) <= before.incarnation <= life.incarnation


def covers(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    """Whether `a` has seen everything that `b` has."""
    for origin, seq in b.items():  # noqa: SIM110 - asked twice of each row that is merged: a generator would be felt
        if a.get(origin, 0) < seq:
            return False
    return True


def join(first: Mapping[str, int], *others: Mapping[str, int]) -> Versions:
    """The least vector that covers all of these."""
    joined = dict(first)
    for other in others:
        for origin, seq in other.items():
            if seq > joined.get(origin, 0):
                joined[origin] = seq
    return joined
