"""Incarnations: whether a region's disk is still the life that the global store knows, or a new one.

Sequences and idempotency records are only worth something while they continue one history. A disk that is missing,
was restored from a backup or forked by a copy does not continue it; it gets the next number, and its commits a new
origin, so that peers never drop them as duplicates of other commits under the same sequence.
"""

from __future__ import annotations

import msgspec

from proa.core.roles import Incarnation


class Disk(msgspec.Struct, frozen=True):
    """What a region finds on its disk at boot: the number and nonce it was given, and its own last sequence."""

    number: int
    nonce: str
    head: int


def number_for(issued: Incarnation | None, disk: Disk | None, head_reported: int) -> int:
    """The incarnation under which the region may serve.

    `head_reported` is the highest head that this incarnation ever reported; a disk that has less was restored.
    """
    latest = max(issued.number if issued else 0, disk.number if disk else 0)
    return latest if continues(issued, disk, head_reported) else latest + 1


def continues(issued: Incarnation | None, disk: Disk | None, head_reported: int) -> bool:
    """Whether `disk` is the very life whose last boot was given `issued`."""
    if issued is None or disk is None:
        return False
    return (disk.number, disk.nonce) == (issued.number, issued.nonce) and disk.head >= head_reported
