"""Fail-over: what a controller does next, decided from the situation alone.

Every region runs the same loop. `decide` returns the transactions that are due; each rests on the versions of the rows
it was decided from, so when two controllers act at once the second one's transaction is refused and it looks again.
Nothing here waits: a step that is not due yet returns no action, and the caller asks again when something changed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proa.core import gate
from proa.core.plan import POLICY, Approval, Kind, Plan, Step, approval_holds, digest, moved, plan_id
from proa.core.roles import Assignment, Cut, Role
from proa.core.situation import Known, Situation


class Change(msgspec.Struct, frozen=True):
    """One compare-and-set transaction: new rows, the versions they rest on, and what the audit log says of it.

    The versions of the plan's and the roles' rows are always part of it; `evidence` names nodes whose rows must not
    have changed either, `insured` the region whose in-sync set must not have.
    """

    action: str
    plan: Plan | None = None
    assignment: Assignment | None = None
    evidence: tuple[str, ...] = ()
    insured: str = ""
    detail: dict[str, str] = {}


def decide(s: Situation, me: str, now: float) -> list[Change]:
    """The transactions that `me` would make now. Waiting for one's turn is the caller's: see `turn_s`."""
    if s.assignment is None:
        return []
    if s.plan and s.plan.open:
        return _STEPS[s.plan.step](s, s.plan, s.assignment, now)
    return _readmit(s, s.assignment, now) or _open(s, s.assignment, me, now)


def idle(s: Situation, me: str, now: float) -> bool:
    """Whether no plan is under way and `me` sees no reason for anything."""
    return not (s.plan and s.plan.open) and not decide(s, me, now)


def turn_s(s: Situation, me: str, now: float) -> float:
    """How long `me` leaves a due action to others: the target's own controller first, the lost region's last."""
    lost, target = (s.plan.lost, s.plan.target) if s.plan and s.plan.open else ("", "")
    verdicts = s.verdicts(now)
    order = sorted(
        s.rules.regions,
        key=lambda name: (name == lost or verdicts[name] == "down", not s.fresh(name, now), name != target),
    )
    return order.index(me) * s.rules.turn_s if me in order else len(order) * s.rules.turn_s


def look_again_s(s: Situation, now: float) -> float:
    """When the situation may have changed by time alone."""
    if not (s.plan and s.plan.open):
        return s.rules.fresh_s
    lost = s.nodes.get(s.plan.lost)
    if s.plan.step == "fence" and lost:
        return min(max(lost.lease.remaining_s(now), 0.02), 0.25)
    return 0.25


# Opening a plan.


def propose(  # noqa: PLR0913 - a plan is what these say
    s: Situation,
    kind: Kind,
    lost: str,
    target: str,
    now: float,
    *,
    by: str,
    by_controller: bool = False,
    reason: str = "",
    accept_lost: int | None = None,
) -> Plan:
    """The plan as it would be opened now. It drains gracefully where the quorum does not see the region down."""
    known = s.nodes.get(lost)
    return Plan(
        id=plan_id(int(s.plan.id) + 1 if s.plan else 1),
        kind=kind,
        lost=lost,
        target=target,
        epoch=s.assignment.epoch if s.assignment else 0,
        requested_by=by,
        by_controller=by_controller,
        graceful=s.verdicts(now).get(lost) != "down",
        reason=reason,
        accept_lost=accept_lost,
        known_good_at_s=known.renewed_at_s if known and by_controller and lost else None,
    )


def opening(plan: Plan) -> Change:
    """The transaction that opens `plan`."""
    detail = {"kind": plan.kind, "lost": plan.lost, "target": plan.target, "reason": plan.reason}
    if plan.known_good_at_s is not None:
        detail["known_good_at_s"] = str(plan.known_good_at_s)
    return Change("request", plan, detail={name: value for name, value in detail.items() if value})


def best_target(s: Situation, lost: str, now: float) -> str | None:
    """The fit standby that has most of the lost region's commits; in declared order where they are equal."""
    assert s.assignment is not None
    known = s.nodes.get(lost)
    origin = known.node.origin if known else ""
    standbys = [name for name in s.rules.regions if s.assignment.roles.get(name) == "standby"]
    able = [name for name in standbys if name != lost and gate.fit(s, name, now)]
    return max(able, key=lambda name: s.nodes[name].node.cursors.get(origin, 0), default=None)


def _open(s: Situation, a: Assignment, me: str, now: float) -> list[Change]:
    verdicts = s.verdicts(now)
    for region in a.active():
        if verdicts[region] in ("down", "failing") and not _resting(s, region, now):
            kind: Kind = "failover" if a.topology == "active-passive" else "evacuate"
            target = best_target(s, region, now) if kind == "failover" else ""
            if target is None or (kind == "evacuate" and not _others_stand(s, a, region, now)):
                continue
            why = f"{region} is {verdicts[region]} by quorum"
            plan = propose(s, kind, region, target, now, by=me, by_controller=True, reason=why)
            if not gate.blocking(gate.gate(s, plan, now)[0]):
                return [opening(plan)]
    return _restore(s, a, me, now) if a.topology == "active-active" else []


def _others_stand(s: Situation, a: Assignment, region: str, now: float) -> bool:
    """Whether another active region is well: never all regions off."""
    return any(gate.fit(s, name, now) for name in a.active() if name != region)


def _resting(s: Situation, region: str, now: float) -> bool:
    """Whether a plan for this region was called off or failed so recently that asking again would only flap."""
    plan = s.plan
    if plan is None or region not in (plan.lost, plan.target) or now - s.plan_at >= s.rules.hold_down_s:
        return False
    return plan.step == "failed" or (plan.step == "aborted" and bool(plan.called_off_by or plan.new_epoch))


def _restore(s: Situation, a: Assignment, me: str, now: float) -> list[Change]:
    for region, role in a.roles.items():
        if role == "down" and _rejoined(s, a, region, now) and not _resting(s, region, now):
            why = f"{region} came back and caught up"
            plan = propose(s, "restore", "", region, now, by=me, by_controller=True, reason=why)
            if gate.passes(gate.gate(s, plan, now)[0]):
                return [opening(plan)]
    return []


def _readmit(s: Situation, a: Assignment, now: float) -> list[Change]:
    """Active-passive: a region that rejoined becomes a standby; it gains no right to write, so no plan is needed."""
    if a.topology != "active-passive":
        return []
    for region, role in a.roles.items():
        if role in ("fenced", "draining", "down") and _rejoined(s, a, region, now):
            again = _assigned(a, {region: "standby"}, released=(region,))
            return [Change("rejoin", assignment=again, evidence=(region,), detail={"region": region})]
    return []


def _rejoined(s: Situation, a: Assignment, region: str, now: float) -> bool:
    """Whether a region is back: well, and acting on the present roles, which it does only after it rejoined."""
    if not gate.fit(s, region, now):
        return False
    node = s.nodes[region].node
    return (node.epoch, node.revision) >= (a.epoch, a.revision)


# The steps, one function for each state of the plan.


def _after_request(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    if plan.epoch != a.epoch:
        return [_abort(plan, f"the epoch is {a.epoch} now")]
    findings, loss = gate.gate(s, plan, now)
    against = gate.blocking(findings)
    if not against:
        return [Change("gate", moved(plan, "gate", findings=findings, loss=loss), detail=_loss_detail(loss))]
    if _waited(s, now) > s.rules.gate_timeout_s or not plan.by_controller or _recovered(s, plan, now):
        return [_abort(plan, "; ".join(f"{finding.name}: {finding.detail}" for finding in against))]
    return []


def _after_gate(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    if why := _overtaken(s, plan, a, now):
        return [_abort(plan, why)]
    if plan.graceful and plan.lost and s.verdicts(now)[plan.lost] == "down":
        return [_regraded(s, plan, now)]
    findings, loss = gate.gate(s, plan, now)
    if not (policy_approves(s, plan) and gate.passes(findings)):
        return []
    approval = Approval(POLICY, digest(plan), s.now_s(now) + s.rules.approval_ttl_s)
    return [Change("approve", moved(plan, "approve", approval=approval, loss=loss), detail={"approver": POLICY})]


def _overtaken(s: Situation, plan: Plan, a: Assignment, now: float) -> str:
    """Why a plan is called off while it waits for its approval, empty where it is not."""
    if plan.epoch != a.epoch:
        return f"the epoch is {a.epoch} now"
    if _recovered(s, plan, now):
        return f"{plan.lost} recovered before anybody approved"
    if _waited(s, now) > s.rules.approval_ttl_s:
        return "nobody approved in time"
    if not policy_approves(s, plan) and (lost := _urgent(s, a, now)):
        return f"{lost} is lost, and nobody has approved this plan yet"
    return ""


def _urgent(s: Situation, a: Assignment, now: float) -> str:
    """The region that policy would fail over or evacuate now, if a plan that waits for a person were not in the way."""
    plans = [change.plan for change in _open(s, a, "", now) if change.plan and change.plan.lost]
    return next((one.lost for one in plans if policy_approves(s, one) and gate.passes(gate.gate(s, one, now)[0])), "")


def _regraded(s: Situation, plan: Plan, now: float) -> Change:
    """The region went down while the plan waited: it will not drain, so the loss is another one."""
    harder = msgspec.structs.replace(plan, graceful=False)
    findings, loss = gate.gate(s, harder, now)
    return Change("regrade", moved(harder, "gate", findings=findings, loss=loss), detail=_loss_detail(loss))


def policy_approves(s: Situation, plan: Plan) -> bool:
    """Whether the declared policy is enough: no active role moves, or the fail-over is declared automatic."""
    return plan.by_controller and (plan.kind in ("evacuate", "restore") or s.rules.failover == "automatic")


def _after_approve(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    """The gate runs once more: what was approved must still be what would happen."""
    if plan.epoch != a.epoch:
        return [_abort(plan, f"the epoch is {a.epoch} now")]
    if not approval_holds(plan, s.now_s(now)):
        return [Change("expire", moved(plan, "gate", approval=None), detail={"why": "the approval expired"})]
    findings, loss = gate.gate(s, plan, now)
    if not gate.passes(findings):
        against = "; ".join(f"{finding.name}: {finding.detail}" for finding in findings if not finding.ok)
        return [_abort(plan, against)]
    fenced = _fenced(a, plan) if plan.lost else a
    step = moved(
        plan,
        "fence",
        findings=findings,
        loss=loss,
        origins=_to_cut(s, plan, a),
        fenced_epoch=fenced.epoch,
        fenced_revision=fenced.revision,
    )
    return [Change("fence", step, fenced if plan.lost else None, detail={"revoked": plan.lost} if plan.lost else {})]


def _after_fence(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    if plan.lost and not _over(s, plan, now):
        if plan.graceful and _waited(s, now) > _drain_limit_s(s, plan, now):
            return [_called_off(a, plan, f"{plan.lost} neither drained nor stopped in time")]
        return []
    held = {name: s.nodes[name] for name in s.rules.regions if s.fresh(name, now) and _holds(s.nodes[name], plan)}
    missing = tuple(name for name in _survivors(s, a, plan) if name not in held)
    if missing and (plan.target in missing or _waited(s, now) < s.rules.hold_timeout_s):
        return _give_up(s, plan, a, now, "the target does not answer")
    unheard = _unheard(s, plan, held)
    if unheard and (plan.accept_lost is None or _waited(s, now) < s.rules.hold_timeout_s):
        return _give_up(s, plan, a, now, f"{', '.join(unheard)} may alone have acknowledged commits and do not answer")
    loss = gate.measured_loss(s, plan, now)
    if not gate.acceptable(s, plan, loss):
        return [_called_off(a, plan, f"it would lose more than approved: {loss.known} known, more unknown")]
    cut = _cut(s, plan, held)
    goal = cut if plan.lost else {known.node.origin: known.node.head for known in held.values() if known.node.origin}
    # Where every region is active, one that is silent has rights of its own, which end by a plan of its own.
    dropped = missing if a.topology == "active-passive" else ()
    step = moved(plan, "catch_up", cut=cut, goal=goal, dropped=dropped, unheard=unheard, loss=loss)
    evidence = (plan.lost,) if plan.lost else ()
    return [Change("catch_up", step, evidence=evidence, insured=plan.lost, detail=_cut_detail(cut, dropped))]


def _after_catch_up(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    if plan.target and not _reached(s.nodes.get(plan.target), plan):
        if _source_lost(s, plan, now):
            return [Change("recut", moved(plan, "fence"))]
        return _give_up(s, plan, a, now, f"{plan.target} did not catch up")
    promoted = _promoted(s, a, plan)
    step = moved(plan, "promote", new_epoch=promoted.epoch)
    evidence = tuple(name for name in (plan.lost, plan.target) if name)
    return [Change("promote", step, promoted, evidence, detail={"epoch": str(promoted.epoch)})]


def _after_promote(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    """Wait for the edges; a restored region's weight rises step by step, each after the edges took the one before."""
    edges = [s.nodes[name].node for name in s.rules.edges if name in s.nodes]
    took = len(edges) == len(s.rules.edges) and all((e.epoch, e.revision) >= (a.epoch, a.revision) for e in edges)
    if not took and _waited(s, now) <= s.rules.shift_timeout_s:
        return []
    if plan.kind == "restore" and (weight := _next_weight(s, a, plan)):
        raised = _assigned(a, {}, weights={plan.target: weight})
        step = Change("weight", moved(plan, "promote"), raised, detail={"weight": str(weight)})
        return [step] if _waited(s, now) >= s.rules.ramp_pause_s else []
    notes = plan.notes if took else (*plan.notes, "an edge did not confirm the new routing in time")
    return [Change("shift", moved(plan, "shift", notes=notes))]


def _after_shift(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    serving = [plan.target] if plan.target else list(a.active())
    if any(_serves(s, name, plan, now) for name in serving):
        return [Change("verify", moved(plan, "verify"))]
    given_up = (
        all(s.verdicts(now).get(name) == "down" for name in serving) or _waited(s, now) > s.rules.verify_timeout_s
    )
    return [Change("failed", moved(plan, "failed", reason="nobody serves under the new epoch"))] if given_up else []


def _after_verify(s: Situation, plan: Plan, a: Assignment, now: float) -> list[Change]:
    """Done when every region that can be reached acts on the new roles."""
    present = [s.nodes[name].node for name in s.rules.regions if s.fresh(name, now) and a.roles.get(name) == "active"]
    if all(node.epoch >= plan.new_epoch for node in present) or _waited(s, now) > s.rules.shift_timeout_s:
        return [Change("done", moved(plan, "done"))]
    return []


_STEPS: dict[Step, Callable[[Situation, Plan, Assignment, float], list[Change]]] = {
    "request": _after_request,
    "gate": _after_gate,
    "approve": _after_approve,
    "fence": _after_fence,
    "catch_up": _after_catch_up,
    "promote": _after_promote,
    "shift": _after_shift,
    "verify": _after_verify,
}


# Calling it off.


def abort(s: Situation, plan: Plan, why: str, by: str) -> Change:
    """The transaction with which a person calls an open, not yet promoted plan off."""
    assert s.assignment is not None
    plan = msgspec.structs.replace(plan, called_off_by=by)
    if plan.step in ("fence", "catch_up"):
        return _called_off(s.assignment, plan, why)
    return _abort(plan, why)


def _abort(plan: Plan, why: str) -> Change:
    return Change("aborted", moved(plan, "aborted", reason=why), detail={"why": why})


def _called_off(a: Assignment, plan: Plan, why: str) -> Change:
    """After the fence: the old region gets its role back, under a new epoch, for the old one is spent."""
    if not plan.lost:
        return _abort(plan, why)
    restored = _assigned(a, {plan.lost: "active"}, released=(plan.lost,), weights={plan.lost: 100}, new_epoch=True)
    return Change(
        "aborted",
        moved(plan, "aborted", reason=why, new_epoch=restored.epoch),
        restored,
        detail={"why": why, "epoch": str(restored.epoch)},
    )


def _give_up(s: Situation, plan: Plan, a: Assignment, now: float, why: str) -> list[Change]:
    gone = bool(plan.target) and s.verdicts(now).get(plan.target) == "down"
    return [_called_off(a, plan, why)] if gone or _waited(s, now) > s.rules.catch_up_timeout_s else []


# Leaves.


def _waited(s: Situation, now: float) -> float:
    return now - s.plan_at


def _recovered(s: Situation, plan: Plan, now: float) -> bool:
    return plan.by_controller and bool(plan.lost) and s.verdicts(now).get(plan.lost) == "healthy"


def _loss_detail(loss: object) -> dict[str, str]:
    return {"loss": str(msgspec.json.encode(loss), "utf-8")}


def _over(s: Situation, plan: Plan, now: float) -> bool:
    """Whether the fenced region certainly acts no more: it said so, its end was confirmed, or its lease ran out."""
    known = s.nodes.get(plan.lost)
    if known is None or known.node.ended or gate.drained(s, plan):
        return True
    patient = plan.graceful and s.verdicts(now)[plan.lost] != "down" and _waited(s, now) <= s.rules.drain_timeout_s
    return known.lease.run_out(now) and not patient


def _drain_limit_s(s: Situation, plan: Plan, now: float) -> float:
    known = s.nodes.get(plan.lost)
    return s.rules.drain_timeout_s + (max(0.0, known.lease.remaining_s(now)) if known else 0.0)


def _to_cut(s: Situation, plan: Plan, a: Assignment) -> tuple[str, ...]:
    """The origins that end here: those of the lost region, and earlier ones of which it had more than any survivor.

    A region that drained goes on in its origin after its cut, so what ended once may live still.
    """
    if not plan.lost:
        return ()
    ended, lost = {cut.origin: cut.seq for cut in a.cuts}, s.nodes.get(plan.lost)
    alive = lost.node.origin if lost else ""
    own = [origin for origin in gate.origins_of(s, plan.lost) if origin == alive or origin not in ended]
    left = [s.nodes[name] for name in _survivors(s, a, plan) if name in s.nodes]
    beyond = [origin for origin, seq in ended.items() if left and max(_has(node, origin) for node in left) < seq]
    return (*own, *(origin for origin in beyond if origin not in own))


def _survivors(s: Situation, a: Assignment, plan: Plan) -> list[str]:
    return [name for name in s.rules.regions if name != plan.lost and a.roles.get(name) in ("active", "standby")]


def _holds(known: Known, plan: Plan) -> bool:
    """Whether a region answered the fence: it acts on those roles, and applies no more of the lost origins."""
    node = known.node
    acted = (node.epoch, node.revision) >= (plan.fenced_epoch, plan.fenced_revision)
    return node.name != plan.lost and acted and not node.ended and node.held.keys() >= set(plan.origins)


def _unheard(s: Situation, plan: Plan, held: dict[str, Known]) -> tuple[str, ...]:
    """The members of the lost region's in-sync set whose hold was not heard."""
    return gate.unheard(s, plan, [known.node for known in held.values()])


def _cut(s: Situation, plan: Plan, held: dict[str, Known]) -> dict[str, int]:
    """Per origin: the confirmed final sequence, else the most that a survivor has."""
    cut = {origin: max((_has(known, origin) for known in held.values()), default=0) for origin in plan.origins}
    lost = s.nodes.get(plan.lost)
    if lost and gate.drained(s, plan):
        cut[lost.node.origin] = lost.node.head
    return cut


def _has(known: Known, origin: str) -> int:
    return max(known.node.held.get(origin, 0), known.node.cursors.get(origin, 0))


def _cut_detail(cut: dict[str, int], dropped: tuple[str, ...]) -> dict[str, str]:
    return {f"cut {origin}": str(seq) for origin, seq in cut.items()} | (
        {"dropped": ", ".join(dropped)} if dropped else {}
    )


def _source_lost(s: Situation, plan: Plan, now: float) -> bool:
    """Whether a survivor that had more than the target is gone, so that the cut cannot be reached any more."""
    others = [name for name in s.rules.regions if name not in (plan.lost, plan.target) and name not in plan.dropped]
    behind = [origin for origin, seq in plan.goal.items() if s.nodes[plan.target].node.cursors.get(origin, 0) < seq]
    gone = [s.nodes[name].node for name in others if name in s.nodes and not s.fresh(name, now)]
    return any(node.held.get(origin, 0) >= plan.goal[origin] for node in gone for origin in behind)


def _reached(target: Known | None, plan: Plan) -> bool:
    return target is not None and all(target.node.cursors.get(origin, 0) >= seq for origin, seq in plan.goal.items())


def _serves(s: Situation, region: str, plan: Plan, now: float) -> bool:
    known = s.nodes.get(region)
    return known is not None and gate.fit(s, region, now) and known.node.epoch >= plan.new_epoch


def _next_weight(s: Situation, a: Assignment, plan: Plan) -> int | None:
    now_at = a.weights.get(plan.target, 100)
    return next((weight for weight in s.rules.ramp if weight > now_at), None)


# New assignments.


def _fenced(a: Assignment, plan: Plan) -> Assignment:
    role: Role = "draining" if plan.graceful else "fenced"
    fenced = _assigned(a, {plan.lost: role}, weights={plan.lost: 0})
    return msgspec.structs.replace(fenced, revoked={**a.revoked, plan.lost: a.epoch})


def _promoted(s: Situation, a: Assignment, plan: Plan) -> Assignment:
    """The new epoch: who serves in it, and from which sequence of each cut-off origin it starts.

    A region that a person took out of an active-active system stays `draining` until a person gives it its role back;
    one that the policy took out is `down` and restored by policy.
    """
    out: Role = "fenced" if a.topology == "active-passive" else "down" if plan.by_controller else "draining"
    roles: dict[str, Role] = dict.fromkeys((name for name in (plan.lost, *plan.dropped) if name), out)
    weights = dict.fromkeys(roles, 0)
    if plan.target:
        roles[plan.target] = "active"
        weights[plan.target] = s.rules.ramp[0] if plan.kind == "restore" else 100
    after = _assigned(a, roles, released=(plan.target,), weights=weights, new_epoch=True)
    target = s.nodes.get(plan.target)
    kept = {origin: max(seq, _has(target, origin) if target else 0) for origin, seq in plan.cut.items()}
    cuts = tuple(Cut(after.epoch, origin, seq) for origin, seq in kept.items())
    revoked = after.revoked | dict.fromkeys(plan.dropped, a.epoch)
    return msgspec.structs.replace(after, cuts=a.cuts + cuts, revoked=revoked)


def _assigned(
    a: Assignment,
    roles: dict[str, Role],
    *,
    released: tuple[str, ...] = (),
    weights: dict[str, int] | None = None,
    new_epoch: bool = False,
) -> Assignment:
    return msgspec.structs.replace(
        a,
        epoch=a.epoch + 1 if new_epoch else a.epoch,
        revision=0 if new_epoch else a.revision + 1,
        roles={**a.roles, **roles},
        weights={**a.weights, **(weights or {})},
        revoked={name: epoch for name, epoch in a.revoked.items() if name not in released},
    )
