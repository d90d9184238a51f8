"""What `/_proa/status` says of a region."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proa.core.replicate.stamp import Versions


class RegionStatus(msgspec.Struct, frozen=True):
    """A region's figures. Lags are commit to durable application here, in milliseconds.

    `duplicates` counts the keys that two regions finished: `listed`, of these `handled`, those that are `waiting` for a
    handler in some region, and those whose handler is `failing` in this one.
    `streams` are the change streams with the origins that this region tells of, their position and how far they lag.
    Up to `floors` the journal is compacted; `joining`: the region needs a peer's snapshot, or merges it.
    `messages` are those of all queues that this region acts for and has not dealt with.
    `insync` are the peers that may confirm its commits; None where no route acknowledges by peer.
    """

    region: str
    origin: str
    role: str
    epoch: int
    lease_left_s: float
    ready: bool
    health: str
    failing: list[str]
    head: int
    cursors: Versions
    lag_ms: dict[str, float]
    backlog: dict[str, int]
    peers: dict[str, str]
    passed: dict[str, Versions]
    caught_up: bool
    taking_over: bool
    duplicates: dict[str, int]
    insync: list[str] | None
    streams: list[dict[str, str | int]]
    floors: Versions
    joining: bool
    messages: int


def percentile_ms(ordered: Sequence[float], fraction: float) -> float:
    """A percentile of sorted values in seconds, in milliseconds; 0 where there are none."""
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000, 3)
