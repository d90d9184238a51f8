"""What a drill tells while it runs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proa.chaos.faults import How


class Prepared(msgspec.Struct, frozen=True):
    """The system runs, and the workload is set up."""

    app: str
    regions: tuple[str, ...]
    edge_url: str


class LoadStarted(msgspec.Struct, frozen=True):
    """The first request is due."""

    rate: float
    seed: int


class FaultInjected(msgspec.Struct, frozen=True):
    """The region is gone."""

    region: str
    how: How


class ApprovalGiven(msgspec.Struct, frozen=True):
    """A person approved a plan; `accept_lost` is the loss that was accepted with it."""

    plan: str
    kind: str
    by: str
    accept_lost: int | None


class PlanStepped(msgspec.Struct, frozen=True):
    """A plan took a step."""

    plan: str
    kind: str
    step: str


class RegionReturned(msgspec.Struct, frozen=True):
    """The region is back, has caught up, and has set aside what came too late."""

    region: str
    role: str


class FailBackRequested(msgspec.Struct, frozen=True):
    """A person asked to go back to the preferred region."""

    plan: str
    by: str


class LoadEnded(msgspec.Struct, frozen=True):
    """The last request is over. `cpu_ms` is what one request cost the load process."""

    records: int
    cpu_ms: float


class ReadBack(msgspec.Struct, frozen=True):
    """Every acknowledged write was asked for in a survivor."""

    region: str
    asked: int
    absent: int


Progress = Callable[[msgspec.Struct], None]
