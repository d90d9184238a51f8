"""Leases: how long a region may act, and when everybody else may be sure that it no longer does.

Two clocks that are never compared. The *holder* counts from the moment before it sent its renewal, so its lease ends
no later than the store could think. The *challenger* starts to count when it first sees a renewal's counter, which is
later than the holder's start, and waits for the lease's length stretched by the clocks' declared drift, plus a margin.
In between lies the time in which nobody acts; that gap is what keeps two epochs from overlapping.
"""

from __future__ import annotations

from functools import cache

import msgspec

from proa.core.roles import Node

DRIFT = 0.01
"""How much faster than another a clock may run. A larger drift breaks the lease; it is declared, and alarmed on."""
MARGIN_S = 0.1
"""What a challenger waits beyond that: scheduling and timer granularity on both sides."""


def holder_until(sent_at: float, lease_s: float) -> float:
    """Until when the holder may act after a renewal that it sent at `sent_at`, both on its own monotonic clock."""
    return sent_at + lease_s


def patience_s(lease_s: float) -> float:
    """How long a challenger must see a counter unchanged before the lease is certainly over."""
    return lease_s * (1 + DRIFT) + MARGIN_S


def written_at(heard_at: float, kept_s: float) -> float:
    """When a row was surely written that is heard of only now because the store kept it back for `kept_s`.

    On the reader's monotonic clock, and not too early even if the store's runs faster than it by the declared drift.
    """
    return heard_at - kept_s / (1 + DRIFT) if kept_s else heard_at


def listen_s(beat_s: float) -> float:
    """How long a watcher waits for news at most: less than the time between two beats, so that it misses none."""
    return beat_s * 0.75


@cache
def beat_s(lease_s: float, rpo_s: float = 0.0, max_s: float = 1.0) -> float:
    """The time between two beats: four in a lease, more than two in an RPO, since each reports the region's head."""
    wanted = min(lease_s / 4, max_s, rpo_s / 2.5 if rpo_s > 0 else max_s)
    return max(wanted, 0.1)


class LeaseWatch(msgspec.Struct, frozen=True):
    """A challenger's memory of one holder: the renewal it last saw, and since when (its own monotonic clock)."""

    boot: str
    counter: int
    lease_s: float
    since: float

    def run_out(self, now: float) -> bool:
        """Whether the lease is certainly over, provided that the counter is still this one."""
        return self.remaining_s(now) <= 0

    def remaining_s(self, now: float) -> float:
        """How much longer the challenger must wait."""
        return self.since + patience_s(self.lease_s) - now


def watch(before: LeaseWatch | None, node: Node, now: float) -> LeaseWatch:
    """What the challenger knows after reading `node` at `now`; any sign of life starts the count anew."""
    if before and (before.boot, before.counter, before.lease_s) == (node.boot, node.counter, node.lease_s):
        return before
    return LeaseWatch(node.boot, node.counter, node.lease_s, now)
