"""Roles move by plans alone, each step after the one before, and no plan goes on without a word given for that plan.

The audit log is the witness: its chain holds, epochs in it never fall, and the entries of each plan are a walk through
the table of transitions. A plan that fenced carries an approval of itself as it is, by somebody who did not ask for it
(or by the policy, where the plan is the controller's own). And a plan that says that it lost nothing, because the old
region had drained or another one had all that was acknowledged, set aside nothing that a client had been promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from proa.core.audit import Entry, broken_at
from proa.core.plan import POLICY, TRANSITIONS, Loss, Plan, Step, digest
from proa.core.replicate.journal import Commit
from proa.simulation.checkers.evidence import numbers, parked
from proa.simulation.history import Final, Operation, Violation

STEP_OF: Mapping[str, Step] = {"regrade": "gate", "expire": "gate", "recut": "fence", "weight": "promote"}
"""The step that an entry took its plan to, where it has another name."""
FENCED: Sequence[Step] = ("fence", "catch_up", "promote", "shift", "verify", "done", "failed")


def check(history: Sequence[Operation], final: Final) -> list[Violation]:
    """What the control plane did that it may not do."""
    entries = final.control.entries
    found = [
        *_chain(final),
        *_epochs(entries),
        *_unapproved(final),
        *_out_of_turn(entries),
        *_unheard(final),
        *_broken(history, final),
    ]
    return [Violation("control", detail) if isinstance(detail, str) else detail for detail in found]


def _chain(final: Final) -> Iterator[str]:
    if number := broken_at(final.control.entries, final.control.head):
        yield f"the audit log's chain is broken at entry {number}"


def _epochs(entries: Sequence[Entry]) -> Iterator[str]:
    for before, after in pairwise(entries):
        if after.epoch < before.epoch:
            yield f"entry {after.number} ({after.action}) went back from epoch {before.epoch} to {after.epoch}"


def _out_of_turn(entries: Sequence[Entry]) -> Iterator[str]:
    """Steps of a plan that do not follow on the one before."""
    at: dict[str, Step] = {}
    for entry in entries:
        step = STEP_OF.get(entry.action, entry.action)
        if not entry.plan or step not in TRANSITIONS:
            continue
        if entry.plan in at and step not in TRANSITIONS[at[entry.plan]]:
            yield f"plan {entry.plan} went from {at[entry.plan]} to {step}"
        at[entry.plan] = step


def _unapproved(final: Final) -> Iterator[str]:
    words = {entry.plan for entry in final.control.entries if entry.action == "approve"}
    for plan in final.control.plans.values():
        if plan.step in FENCED and (why := _objection(plan, words)):
            yield f"plan {plan.id} went on to {plan.step}, but {why}"


def _objection(plan: Plan, words: set[str]) -> str:
    approval = plan.approval
    if approval is None or plan.id not in words:
        return "nobody had approved it"
    if approval.digest != digest(plan):
        return f"what {approval.by} approved was not this"
    if approval.by == plan.requested_by or (approval.by == POLICY and not plan.by_controller):
        return f"{approval.by} may not approve it"
    return ""


def _unheard(final: Final) -> Iterator[str]:
    """Plans that went on without a member of the lost region's in-sync set, and nobody had said that they may."""
    for plan in final.control.plans.values():
        if plan.unheard and plan.accept_lost is None:
            yield f"plan {plan.id} left out {', '.join(plan.unheard)}, which nobody had accepted"


def _broken(history: Sequence[Operation], final: Final) -> Iterator[Violation]:
    """Acknowledged writes that were set aside by a plan which says that it lost none."""
    promised = [plan for plan in final.control.plans.values() if plan.new_epoch and plan.cut and plan.loss == Loss()]
    if not promised:
        return
    fallen = {commit.outcome.key: commit for commit in parked(final) if commit.outcome and commit.fenced_rows}
    for plan in promised:
        lost = [one for one in history if 0 < one.epoch <= plan.epoch and _past(fallen.get(one.idempotency_key), plan)]
        if lost:
            detail = f"plan {plan.id} says that it lost nothing, but {len(lost)} acknowledged writes were set aside"
            yield Violation("control", detail, numbers(lost))


def _past(commit: Commit | None, plan: Plan) -> bool:
    return commit is not None and commit.epoch == plan.epoch and commit.seq > plan.cut.get(commit.origin, commit.seq)
