"""What `/_proa/status` says of a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from proa.core.replicate.stamp import Versions, covers

if TYPE_CHECKING:
    from proa.runtime.region import Region


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


def status(region: Region) -> RegionStatus:
    """The figures of a region at this moment."""
    store, authority, replicator, health = region.store, region.authority, region.replicator, region.health()
    peers, lags = replicator.peers.items(), sorted(replicator.lags_s)
    return RegionStatus(
        region=region.name,
        origin=store.origin,
        role=authority.role,
        epoch=authority.epoch,
        lease_left_s=round(authority.lease_left_s(), 3),
        ready=health.ready,
        health=health.status,
        failing=list(health.failing),
        head=store.head,
        cursors=store.cursors(),
        lag_ms={"p50": percentile_ms(lags, 0.5), "p99": percentile_ms(lags, 0.99)},
        backlog=replicator.backlog(),
        peers={name: "up" if peer.reachable else "down" for name, peer in peers},
        passed={name: peer.passed for name, peer in peers},
        taking_over=bool(authority.tenure and not authority.tenure.complete),
        caught_up=covers(store.cursors(), region.readiness.known_elsewhere()),
        duplicates=doubled(region),
        streams=[msgspec.to_builtins(one) for one in region.streams.status()] if region.streams else [],
        floors=store.floors(),
        joining=replicator.joiner.needed,
        messages=region.messages.depth_of_all() if region.messages else 0,
        insync=list(region.confirmations.group.counted) if region.confirmations else None,
    )


def doubled(region: Region) -> dict[str, int]:
    """How many keys two regions finished, and what became of them (see `RegionStatus`)."""
    listed, handled = region.store.duplicates_counted()
    handlers = region.duplicates
    waiting, failing = (handlers.waiting, handlers.failing) if handlers else (0, 0)
    return {"listed": listed, "handled": handled, "waiting": waiting, "failing": failing}


def percentile_ms(ordered: Sequence[float], fraction: float) -> float:
    """A percentile of sorted values in seconds, in milliseconds; 0 where there are none."""
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000, 3)
