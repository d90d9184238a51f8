"""The gate: whether a plan may go on, as findings a person can read, and what it would cost in lost writes.

It runs when the plan is requested, when somebody approves it, and again right before the fence, each time on the
situation as it is then. Only one finding can be overruled, the loss, and only by accepting a number. What is unknown
counts as loss: a region that cannot be asked may have acknowledged writes after its last report.
"""

from __future__ import annotations

from collections.abc import Sequence

from proa.core.health import rank
from proa.core.plan import Finding, Loss, Plan
from proa.core.replicate.stamp import region_of
from proa.core.roles import Node
from proa.core.situation import Known, Situation

LOSS = "loss"
NO_LOSS = Loss()


def gate(s: Situation, plan: Plan, now: float) -> tuple[tuple[Finding, ...], Loss]:
    """Every finding on the plan in this situation, and the loss it would mean."""
    loss = expected_loss(s, plan, now)
    findings = [_remaining(s, plan), _verdict(s, plan, now)]
    if plan.target:
        findings += [_target(s, plan, now), _parity(s, plan)]
    if plan.graceful and plan.target:
        findings.append(_lag(s, plan))
    if plan.kind in ("failback", "restore"):
        findings.append(_hold_down(s, plan, now))
    findings.append(_loss(s, plan, loss, now))
    return tuple(findings), loss


def blocking(findings: tuple[Finding, ...]) -> list[Finding]:
    """The findings that nobody can overrule."""
    return [finding for finding in findings if not finding.ok and finding.name != LOSS]


def passes(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing at all speaks against the plan."""
    return all(finding.ok for finding in findings)


# The loss.


def expected_loss(s: Situation, plan: Plan, now: float) -> Loss:
    """Before the fence: none where the lost region is alive and will drain, else what the survivors lack."""
    if not plan.lost or plan.graceful:
        return NO_LOSS
    return measured_loss(s, plan, now)


def measured_loss(s: Situation, plan: Plan, now: float) -> Loss:
    """What the survivors lack of the lost region, as far as it reported."""
    if not plan.lost or drained(s, plan):
        return NO_LOSS
    known = s.nodes.get(plan.lost)
    if known is None or not known.node.origin:
        return Loss(unknown=True, exposure_s=None)
    best = best_cursor(s, plan.lost, known.node.origin, now)
    behind = max(0, known.node.head - best)
    if absent(s, plan, now):
        return Loss(behind, unknown=True, exposure_s=None)
    if s.rules.peer_acknowledged:
        return NO_LOSS  # what no member has was not acknowledged
    return Loss(behind, unknown=True, exposure_s=exposure_s(s, known, best))


def members(s: Situation, plan: Plan) -> tuple[str, ...]:
    """The lives of peers that may be the only ones to have what the lost region acknowledged by peer.

    None where nothing can be cut off: then late commits are late, and not lost.
    """
    insured = s.insync.get(plan.lost)
    return insured.row.members if insured and s.rules.fenced_rows else ()


def absent(s: Situation, plan: Plan, now: float) -> tuple[str, ...]:
    """The members that do not report now."""
    present = [s.nodes[name].node for name in s.rules.regions if name != plan.lost and s.fresh(name, now)]
    return unheard(s, plan, present)


def unheard(s: Situation, plan: Plan, heard: Sequence[Node]) -> tuple[str, ...]:
    """The members whose disks are none of these nodes'."""
    return tuple(member for member in members(s, plan) if not any(node.continues(member) for node in heard))


def drained(s: Situation, plan: Plan) -> bool:
    """Whether the fenced region confirmed that it stopped and flushed for this plan's epoch."""
    known = s.nodes.get(plan.lost)
    return known is not None and known.node.drained is not None and known.node.drained >= plan.epoch


def best_cursor(s: Situation, lost: str, origin: str, now: float) -> int:
    """The furthest that any other region that is present has durably applied `origin`."""
    others = (s.nodes[name].node for name in s.rules.regions if name != lost and s.fresh(name, now))
    return max((max(node.cursors.get(origin, 0), node.held.get(origin, 0)) for node in others), default=0)


def exposure_s(s: Situation, known: Known, cursor: int) -> float | None:
    """The time whose commits may be missing beyond `cursor`; None where no report is covered."""
    mine = [report for report in known.reports if report.origin == known.node.origin]
    covered = [report.at for report in mine if report.head <= cursor]
    return round(mine[-1].at - covered[-1] + s.rules.beat_s, 3) if covered else None


def acceptable(s: Situation, plan: Plan, loss: Loss) -> bool:
    """Whether this loss is none, accepted by a person, or within the objective of an automatic fail-over."""
    if loss == NO_LOSS or plan.kind in ("evacuate", "restore"):
        return True  # in an active-active system the commits are late, not lost: they merge when the region returns
    if plan.accept_lost is not None:
        return loss.known <= plan.accept_lost
    automatic = plan.by_controller and s.rules.failover == "automatic"
    return automatic and loss.exposure_s is not None and loss.exposure_s <= s.rules.rpo_s


def _loss(s: Situation, plan: Plan, loss: Loss, now: float) -> Finding:
    if loss == NO_LOSS:
        kept = s.rules.peer_acknowledged and not plan.graceful
        return Finding(LOSS, ok=True, detail=f"none: {'a second region has all' if kept else 'nothing is cut off'}")
    missing = absent(s, plan, now)
    if missing:
        accepted = "nothing accepted" if plan.accept_lost is None else f"{plan.accept_lost} accepted"
        who = f"{', '.join(missing)} of the in-sync set of {plan.lost}"
        return Finding(
            LOSS,
            acceptable(s, plan, loss),
            f"{who} may alone have what it acknowledged, and do not answer ({accepted})",
        )
    exposure = "no report is covered" if loss.exposure_s is None else f"exposed for {loss.exposure_s:g} s"
    accepted = "nothing accepted" if plan.accept_lost is None else f"{plan.accept_lost} accepted"
    detail = (
        f"known at least {loss.known}, plus what followed the last report ({exposure}, "
        f"objective {s.rules.rpo_s:g} s, {accepted})"
    )
    return Finding(LOSS, acceptable(s, plan, loss), detail)


# The other findings.


def _remaining(s: Situation, plan: Plan) -> Finding:
    active = set(s.assignment.active() if s.assignment else ()) - {plan.lost} | ({plan.target} - {""})
    detail = f"afterwards active: {', '.join(sorted(active)) or 'none; all regions would be off'}"
    return Finding("regions", bool(active), detail)


def _verdict(s: Situation, plan: Plan, now: float) -> Finding:
    """The controller acts on what the quorum says; a person may move a healthy region."""
    if not plan.lost:
        return Finding("verdict", ok=True, detail="no region gives up its role")
    verdict = s.verdicts(now).get(plan.lost, "unknown")
    ok = not plan.by_controller or verdict in ("down", "failing")
    return Finding("verdict", ok, f"{plan.lost} is {verdict} by quorum")


def _target(s: Situation, plan: Plan, now: float) -> Finding:
    role = s.assignment.roles.get(plan.target, "unknown") if s.assignment else "unknown"
    problems = [] if fit(s, plan.target, now) else [*_unfit(s, plan.target, now)]
    if plan.kind != "restore" and role != "standby":
        problems.append(f"its role is {role}, not standby")
    return Finding("target", not problems, f"{plan.target}: {'; '.join(problems) or 'alive and ready'}")


def fit(s: Situation, region: str, now: float) -> bool:
    """Whether a region is alive, ready and healthy by quorum."""
    return not _unfit(s, region, now)


def _unfit(s: Situation, region: str, now: float) -> list[str]:
    known, verdict = s.nodes.get(region), s.verdicts(now).get(region, "unknown")
    if known is None:
        return ["it never reported"]
    problems = [] if s.fresh(region, now) else ["its last beat is old"]
    problems += [] if known.node.ready else ["it is not ready"]
    well = verdict == "healthy" or (verdict == "unknown" and _well_as_far_as_seen(s, region, now))
    return problems + ([] if well else [f"it is {verdict} by quorum"])


def _well_as_far_as_seen(s: Situation, region: str, now: float) -> bool:
    """Where too many observers are lost for a verdict: whoever is left sees it well."""
    left = [s.nodes[name].node.seen for name in s.rules.observers(region) if s.fresh(name, now)]
    opinions = [seen[region] for seen in left if region in seen]
    return bool(opinions) and all(rank(opinion) == 0 for opinion in opinions)


def _parity(s: Situation, plan: Plan) -> Finding:
    """The target runs the same version and schema as the region it stands in for (any active one, in a restoration)."""
    like = plan.lost or next((name for name in (s.assignment.active() if s.assignment else ())), "")
    a, b = s.nodes.get(like), s.nodes.get(plan.target)
    if a is None or b is None:
        return Finding("parity", ok=b is not None, detail="there is nothing to compare with")
    same = (a.node.version, a.node.schema) == (b.node.version, b.node.schema)
    detail = f"{like} runs {a.node.version} {a.node.schema}, {plan.target} {b.node.version} {b.node.schema}"
    return Finding("parity", same, "same version and schema" if same else detail)


def _lag(s: Situation, plan: Plan) -> Finding:
    """How far the target is behind the active regions; catch-up is proved before anything is moved."""
    target = s.nodes.get(plan.target)
    sources = [s.nodes[name] for name in (s.assignment.active() if s.assignment else ()) if name in s.nodes]
    behind: dict[str, float] = {}
    for source in sources:
        cursor = target.node.cursors.get(source.node.origin, 0) if target else 0
        if source.node.head > cursor:
            exposed = exposure_s(s, source, cursor)
            behind[source.node.name] = float("inf") if exposed is None else exposed
    allowed_s = max(s.rules.rpo_s, s.rules.fresh_s)
    worst = max(behind.values(), default=0.0)
    return Finding("lag", worst <= allowed_s, f"{plan.target} is behind by {worst:g} s, {allowed_s:g} s allowed")


def _hold_down(s: Situation, plan: Plan, now: float) -> Finding:
    """Not before the target has been well, and the roles unchanged, for a while: nothing flaps."""
    standing = s.standing.get(plan.target)
    since = max(s.epoch_at, standing.since if standing else now)
    left_s = since + s.rules.hold_down_s - now
    return Finding("hold-down", left_s <= 0, "passed" if left_s <= 0 else f"{left_s:.1f} s to go")


def origins_of(s: Situation, region: str) -> tuple[str, ...]:
    """Every life of a region that anybody reports."""
    named = {known.node.origin for known in s.nodes.values() if known.node.origin}
    named |= {origin for known in s.nodes.values() for origin in known.node.cursors}
    return tuple(sorted(origin for origin in named if region_of(origin) == region))
