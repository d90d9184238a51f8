"""A plan: one fail-over (or fail-back, evacuation, restoration) as a row that steps forward by compare-and-set.

`step` names what has been done last. Which step may follow which is the literal table below; a controller that wakes
from a long pause and wants to take a step that was taken already finds another version of the row and does nothing.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Kind = Literal["failover", "failback", "evacuate", "restore"]
Step = Literal[
    "request", "gate", "approve", "fence", "catch_up", "promote", "shift", "verify", "done", "aborted", "failed"
]

TRANSITIONS: dict[Step, tuple[Step, ...]] = {
    "request": ("gate", "aborted"),
    "gate": ("gate", "approve", "aborted"),  # to itself where the region goes down while the plan waits
    "approve": ("fence", "gate", "aborted"),  # back to the gate where the approval expired
    "fence": ("catch_up", "aborted"),
    "catch_up": ("fence", "promote", "aborted"),  # back to the fence where the survivor that had most is lost too
    "promote": ("promote", "shift"),  # to itself while the weight of a restored region rises
    "shift": ("verify", "failed"),
    "verify": ("done",),
    "done": (),
    "aborted": (),
    "failed": (),
}
POLICY = "policy"
"""The approver where the declared policy, and no person, approved."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the gate's answer."""

    name: str
    ok: bool
    detail: str


class Loss(msgspec.Struct, frozen=True):
    """What the plan would lose: `known` commits at least, and, where `unknown`, whatever followed the last report.

    `exposure_s` is the time over which commits may be missing: from the last report that the survivors cover, past the
    last report, to when the next one would have come. None where the survivors cover no report.
    """

    known: int = 0
    unknown: bool = False
    exposure_s: float | None = 0.0


class Approval(msgspec.Struct, frozen=True):
    """One person's (or the policy's) word for one plan as it stood: the digest binds it, the store's clock ends it."""

    by: str
    digest: str
    expires_at_s: float


class Plan(msgspec.Struct, frozen=True):
    """One plan. `epoch` is the one it starts under; a plan whose epoch is not the present one any more is void.

    `lost` gives its role up and `target` takes one; either may be empty (a restoration has no lost region, an
    evacuation no target). `origins` are the lives of the lost region whose commits are cut at `cut`; `goal` is what the
    target must have before it is promoted. `dropped` are survivors that did not answer: they are cut off too. `unheard`
    are members of the lost region's in-sync set that did not answer, so that what only they have is missing.
    """

    id: str
    kind: Kind
    lost: str
    target: str
    epoch: int
    requested_by: str
    by_controller: bool = False
    graceful: bool = False
    reason: str = ""
    step: Step = "request"
    accept_lost: int | None = None
    approval: Approval | None = None
    findings: tuple[Finding, ...] = ()
    loss: Loss = Loss()
    known_good_at_s: float | None = None
    fenced_epoch: int = 0
    fenced_revision: int = 0
    origins: tuple[str, ...] = ()
    cut: dict[str, int] = {}
    goal: dict[str, int] = {}
    dropped: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    new_epoch: int = 0
    called_off_by: str = ""
    notes: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether any step may follow."""
        return bool(TRANSITIONS[self.step])

    @property
    def abortable(self) -> bool:
        """Whether it can still be called off, leaving one clear state."""
        return "aborted" in TRANSITIONS[self.step]


def moved(plan: Plan, step: Step, **changes: object) -> Plan:
    """The plan one step on; ValueError where the table has no such step."""
    if step not in TRANSITIONS[plan.step]:
        raise ValueError(f"a plan cannot go from {plan.step} to {step}")
    return msgspec.structs.replace(plan, step=step, **changes)


def digest(plan: Plan) -> str:
    """What an approval binds: this plan, its regions, the epoch it starts from, and the loss it accepts."""
    bound = (plan.id, plan.kind, plan.lost, plan.target, plan.epoch, plan.graceful, plan.accept_lost)
    return hashlib.sha256(msgspec.msgpack.encode(bound)).hexdigest()[:16]


def approval_holds(plan: Plan, now_s: float) -> bool:
    """Whether the plan carries an approval of itself as it is, in time. `now_s` is the global store's clock."""
    return plan.approval is not None and plan.approval.digest == digest(plan) and now_s < plan.approval.expires_at_s


def plan_id(number: int) -> str:
    """Plans are numbered; the next number can be taken by one controller only, so one plan is open at a time."""
    return f"{number:06d}"
