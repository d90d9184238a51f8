"""The options of a drill, stated once: the command line, the demo and the tests use these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Literal

from proa.app import App
from proa.chaos.faults import How
from proa.chaos.system import System
from proa.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DrillOptions:
    """How to drill."""

    lose: str = ""
    """The region to take away; the app's active (or first) region unless given."""
    how: How = "kill"
    """kill: the process ends; pause: it stands still; blackout: it lives, but its bytes are swallowed."""
    rate: float = 500.0
    """Requests per second, sent at fixed due times."""
    duration_s: float = 15.0
    """How long requests are sent."""
    fault_after_s: float = 4.0
    """When the region is taken away, counted from the first request."""
    unconfirmed: bool = False
    """Nobody confirms the end of a killed region: everybody waits for its lease."""
    approve_after_s: float = 1.0
    """How long the approver takes, counted from the moment at which a plan waits for approval."""
    seed: int = 1
    """Repeats the same requests and the same repeated keys."""
    rtt_ms: float = 0.0
    """The round trip between regions."""
    lease_s: float | None = None
    """Overrules the app's lease."""
    failover: Literal["approval", "automatic"] | None = None
    """Overrules who decides on a fail-over."""
    hold_down_s: float = 2.0
    """How long a region that has returned must have been well before it is given its role back."""
    fail_back: bool = False
    """Bring the region back while requests go on, and fail back to it (active-passive)."""
    slow_ms: float = 1000.0
    """A request that takes longer counts as not served, when the recovery time is measured."""

    def __post_init__(self) -> None:
        for name in ("rate", "duration_s", "fault_after_s", "approve_after_s", "rtt_ms"):
            value = getattr(self, name)
            if value < 0 or (name in ("rate", "duration_s") and value == 0):
                raise UsageError(f"{name} must be positive, got {value:g}")
        if self.fault_after_s >= self.duration_s:
            raise UsageError(f"the fault comes after {self.fault_after_s:g} s of {self.duration_s:g} s; drill longer")

    def on(self, app: App) -> DrillOptions:
        """These options for one app, with nothing left open."""
        lose = self.lose or app.active
        if lose not in app.regions:
            raise UsageError(f"{app.name} has no region {lose!r}; it has {', '.join(app.regions)}")
        if len(app.regions) < 2:
            raise UsageError(f"{app.name} has one region; losing it leaves nothing to measure")
        if self.unconfirmed and self.how != "kill":
            raise UsageError("--unconfirmed is about a killed region; a paused or cut-off one has not ended")
        if self.fail_back and app.topology != "active-passive":
            raise UsageError(f"{app.name} is {app.topology}: a region that returns is restored, not failed back to")
        return replace(self, lose=lose, lease_s=self.lease_s or app.lease_s, failover=self.failover or app.failover)

    @property
    def needs_relay(self) -> bool:
        """Whether bytes must pass a relay, for distance or for a blackout."""
        return self.how == "blackout" or self.rtt_ms > 0


Launch = Callable[[DrillOptions], AbstractAsyncContextManager[System]]
"""Starts a system that suits the options (distance, relay, lease, confirmation) and stops it at the end."""
