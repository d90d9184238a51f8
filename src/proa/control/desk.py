"""The desk: what a person may ask of the control plane, as functions that either change the rows or say why not.

A request, an approval and an abort are the same kind of transaction as a controller's step: they rest on the plan's
version, so two people cannot approve two different things. The gate runs at the desk, where a person reads its answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.control import audit
from proa.control.ledger import batch_of
from proa.control.operators import Operator
from proa.control.parts import Parts
from proa.core import gate
from proa.core.audit import timeline
from proa.core.failover import Change, abort, best_target, opening, propose
from proa.core.plan import Approval, Finding, Kind, Plan, digest, moved
from proa.core.situation import Known, Situation
from proa.errors import ApprovalRefused, Contended, NotFound, PlanRefused, Unprocessable, UnsafePlan
from proa.ports import Committed

RACES_MAX = 5


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's request. Without `lost` the active region gives up its role; without `target` the fittest takes it."""

    lost: str = ""
    target: str = ""
    reason: str = ""
    accept_lost: int | None = None

    def __post_init__(self) -> None:
        if self.accept_lost is not None and self.accept_lost < 0:
            raise ValueError("accept_lost must not be negative")


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An approver's word. `digest` is that of the plan as it was shown; `accept_lost` accepts that many lost writes."""

    digest: str = ""
    accept_lost: int | None = None

    def __post_init__(self) -> None:
        if self.accept_lost is not None and self.accept_lost < 0:
            raise ValueError("accept_lost must not be negative")


class Desk:
    """Serves people. Every method reads the newest rows first, and answers with what is so after it."""

    def __init__(self, me: str, parts: Parts) -> None:
        self._me = me
        self._parts = parts

    # Asking.

    async def request(self, who: Operator, asked: Asked) -> Plan:
        """Open a fail-over (active-passive) or an evacuation (active-active).

        Raises:
            PlanRefused: another plan is open, or the gate forbids it.
        """
        for _ in range(RACES_MAX):
            s, now = await self._fresh()
            kind: Kind = "failover" if s.rules.topology == "active-passive" else "evacuate"
            lost = asked.lost or _only_active(s)
            target = (asked.target or best_target(s, lost, now) or "") if kind == "failover" else ""
            if kind == "failover" and not target:
                raise PlanRefused("no standby region is alive, ready and healthy")
            plan = self._proposal(s, kind, lost, target, who, asked, now)
            if await self._commit(s, opening(plan), who.name):
                return plan
        raise Contended("the plan was not opened: the control tables kept changing")

    async def failback(self, who: Operator, asked: Asked) -> Plan:
        """Open the plan that gives a region its role back: the preferred one, or one that was taken out by a person.

        Raises:
            PlanRefused: it has the role already, or the gate (catch-up, hold-down) forbids it.
        """
        for _ in range(RACES_MAX):
            s, now = await self._fresh()
            if s.rules.topology == "active-passive":
                kind, lost, target = "failback", _only_active(s), asked.target or s.rules.preferred
            else:
                kind, lost, target = "restore", "", asked.target or _only_out(s)
            plan = self._proposal(s, kind, lost, target, who, asked, now)
            if await self._commit(s, opening(plan), who.name):
                return plan
        raise Contended("the plan was not opened: the control tables kept changing")

    async def approve(self, who: Operator, plan_id: str, word: Word) -> Plan:
        """Approve the open plan as it stands.

        Raises:
            ApprovalRefused: the approver asked for the plan, or it is not the plan that was shown.
            UnsafePlan: it would lose more than anybody accepted.
        """
        for _ in range(RACES_MAX):
            s, now = await self._fresh()
            plan = approvable(_open_plan(s, plan_id), who.name, word.digest)
            if word.accept_lost is not None:
                plan = msgspec.structs.replace(plan, accept_lost=word.accept_lost)
            findings, loss = gate.gate(s, plan, now)
            refuse(findings)
            approval = Approval(who.name, digest(plan), s.now_s(now) + s.rules.approval_ttl_s)
            step = moved(plan, "approve", approval=approval, findings=findings, loss=loss)
            detail = {"approver": who.name, "digest": approval.digest, "accept_lost": str(plan.accept_lost or 0)}
            if await self._commit(s, Change("approve", step, detail=detail), who.name):
                return step
        raise Contended("the approval was not recorded: the plan kept changing; look at it again")

    async def abort(self, who: Operator, plan_id: str, why: str) -> Plan:
        """Call the open plan off.

        Raises:
            PlanRefused: it was promoted already; the way back is a fail-back.
        """
        for _ in range(RACES_MAX):
            s, _ = await self._fresh()
            plan = _open_plan(s, plan_id)
            if not plan.abortable:
                raise PlanRefused(f"plan {plan.id} has promoted {plan.target or 'the survivors'}; fail back instead")
            change = abort(s, plan, why or f"called off by {who.name}", who.name)
            if await self._commit(s, change, who.name):
                assert change.plan is not None
                return change.plan
        raise Contended("the plan was not called off: it kept moving; look at it again")

    # Looking.

    async def status(self) -> dict[str, Any]:
        """Roles, nodes, verdicts, and the latest plan with its findings and timeline."""
        s, now = self._parts.view.situation, self._parts.clock.monotonic()
        shown: dict[str, Any] = {
            "me": self._me,
            "stale": self._parts.view.stale,
            "failover": s.rules.failover,
            "preferred": s.rules.preferred,
            "assignment": s.assignment,
            "verdicts": dict(s.verdicts(now)),
            "nodes": {name: _node(s, known, now) for name, known in sorted(s.nodes.items())},
            "plan": None,
        }
        if s.plan:
            shown["plan"] = self.show(s, s.plan, now)
        return shown

    def show(self, s: Situation, plan: Plan, now: float) -> dict[str, Any]:
        """A plan as people see it: with the digest to approve, the gate's answer as it is now, and its timeline."""
        findings, loss = (plan.findings, plan.loss)
        if plan.step in ("request", "gate"):
            findings, loss = gate.gate(s, plan, now)
        return {
            **msgspec.to_builtins(plan),
            "open": plan.open,
            "awaiting": "approval" if plan.step == "gate" else None,
            "digest": digest(plan),
            "findings": findings,
            "loss": loss,
            "timeline": timeline(s.trail, plan.id),
        }

    async def plans(self) -> list[Plan]:
        """Every plan there ever was, the latest first."""
        rows = await self._parts.store.scan("~plans")
        found = [msgspec.msgpack.decode(row.value, type=Plan) for row in rows if row.value]
        return sorted(found, key=lambda plan: plan.id, reverse=True)

    async def log(self) -> dict[str, Any]:
        """The audit log and whether its chain holds."""
        entries, head = await audit.read_log(self._parts.store)
        broken = audit.broken_at([dated.entry for dated in entries], head)
        shown = [{**msgspec.to_builtins(dated.entry), "at_s": dated.at_s} for dated in entries]
        return {"entries": shown, "head": head, "intact": broken is None, "broken_at": broken}

    # Leaves.

    def _proposal(
        self, s: Situation, kind: Kind, lost: str, target: str, who: Operator, asked: Asked, now: float
    ) -> Plan:
        for region in (lost, target):
            if region and region not in s.rules.regions:
                raise Unprocessable(f"there is no region {region!r}; there are {', '.join(s.rules.regions)}")
        if s.plan and s.plan.open:
            raise PlanRefused(f"plan {s.plan.id} is open ({s.plan.step}); one plan at a time")
        roles = s.assignment.roles if s.assignment else {}
        if lost and roles.get(lost) != "active":
            raise PlanRefused(f"{lost} is not active, so it has no role to give up")
        if target and roles.get(target) == "active":
            raise PlanRefused(f"{target} is active already")
        plan = propose(s, kind, lost, target, now, by=who.name, reason=asked.reason, accept_lost=asked.accept_lost)
        refuse(tuple(gate.blocking(gate.gate(s, plan, now)[0])))
        return plan

    async def _fresh(self) -> tuple[Situation, float]:
        return await self._parts.view.newest(), self._parts.clock.monotonic()

    async def _commit(self, s: Situation, change: Change, by: str) -> bool:
        result = await self._parts.store.commit(batch_of(s, change, by, self._parts.entropy.token()))
        if not isinstance(result, Committed):
            return False
        await self._parts.view.poll(0)
        return True


def approvable(plan: Plan, by: str, shown: str) -> Plan:
    """The plan, if `by` may approve it as it was `shown`.

    Raises:
        ApprovalRefused: it cannot be, and why.
    """
    if plan.step == "request":
        raise ApprovalRefused(f"plan {plan.id} has not passed its gate yet")
    if plan.step != "gate":
        raise ApprovalRefused(f"plan {plan.id} is not waiting for approval: it is at {plan.step}")
    if plan.requested_by == by:
        raise ApprovalRefused(f"{by} requested plan {plan.id}; a second person must approve it")
    if shown and shown != digest(plan):
        raise ApprovalRefused(f"plan {plan.id} is not what was shown any more; look at it again")
    return plan


def refuse(findings: tuple[Finding, ...]) -> None:
    """Raise what the findings forbid, the loss last: it is the one that a person can accept."""
    against = [finding for finding in findings if not finding.ok]
    if hard := gate.blocking(findings):
        raise PlanRefused("; ".join(f"{finding.name}: {finding.detail}" for finding in hard))
    if against:
        raise UnsafePlan("; ".join(f"{finding.name}: {finding.detail}" for finding in against))


def _open_plan(s: Situation, plan_id: str) -> Plan:
    if s.plan is None or s.plan.id != plan_id:
        raise NotFound(f"there is no open plan {plan_id!r}" + (f"; the latest is {s.plan.id}" if s.plan else ""))
    if not s.plan.open:
        raise PlanRefused(f"plan {plan_id} is over: {s.plan.step}")
    return s.plan


def _only_active(s: Situation) -> str:
    active = s.assignment.active() if s.assignment else ()
    if len(active) != 1:
        raise Unprocessable(f"name the region to take out: {', '.join(active) or 'none'} are active")
    return active[0]


def _only_out(s: Situation) -> str:
    out = [region for region, role in (s.assignment.roles if s.assignment else {}).items() if role != "active"]
    if len(out) != 1:
        raise Unprocessable(f"name the region to restore: {', '.join(out) or 'none'} are out")
    return out[0]


def _node(s: Situation, known: Known, now: float) -> dict[str, Any]:
    node = known.node
    return {
        "kind": node.kind,
        "boot": node.boot,
        "origin": node.origin,
        "epoch": node.epoch,
        "revision": node.revision,
        "head": node.head,
        "cursors": node.cursors,
        "ready": node.ready,
        "ended": node.ended,
        "fresh": s.fresh(node.name, now),
        "version": node.version,
        "schema": node.schema,
        "seen": node.seen,
    }
