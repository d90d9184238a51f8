"""What the control plane tells: each event once, for logs, metrics and the dashboard to pick up."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proa.ports import Severity


class VerdictChanged(msgspec.Struct, frozen=True):
    """The quorum thinks otherwise of a region now."""

    region: str
    verdict: str
    before: str


class PlanMoved(msgspec.Struct, frozen=True):
    """This node took a plan one step further (or changed roles without a plan)."""

    plan: str
    action: str
    epoch: int
    detail: dict[str, str]


class PlanRaced(msgspec.Struct, frozen=True):
    """Another controller was first; nothing was changed."""

    action: str
    key: str


class ControlPlaneLost(msgspec.Struct, frozen=True):
    """The global store does not answer this part of the node; it goes on with what it knows."""

    part: str
    error: str


class ControlPlaneBack(msgspec.Struct, frozen=True):
    """The global store answers again."""

    part: str


class RegionRejoined(msgspec.Struct, frozen=True):
    """A region set its late commits aside and lives as another origin."""

    region: str
    origin: str
    epoch: int


class InSyncChanged(msgspec.Struct, frozen=True):
    """The in-sync set of an origin: who may confirm its commits from now on."""

    origin: str
    members: tuple[str, ...]
    joined: tuple[str, ...]
    left: tuple[str, ...]


class DutyFailed(msgspec.Struct, frozen=True):
    """A region could not do what the roles ask of it; it tries again."""

    region: str
    duty: str
    error: str


class LifeSuperseded(msgspec.Struct, frozen=True):
    """This process must not act any more: its end was confirmed, or another process took its place."""

    node: str
    why: str


class SchemaDiffers(msgspec.Struct, frozen=True):
    """A region declares other tables or routes than this one, as during a deployment.

    Rows replicate all the same. A field that one side does not know is not read there, and is gone from a row that this
    side writes again. The region is no target of a fail-over meanwhile.
    """

    severity: ClassVar[Severity] = "warning"
    region: str
    version: str
    theirs: str
    ours: str


class SchemaShared(msgspec.Struct, frozen=True):
    """A region declares the same tables and routes as this one again."""

    region: str
