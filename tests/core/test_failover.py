"""Decisions of the controller, each a situation in and a transaction out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core import gate
from proa.core.duty import CatchUp, Drain, Hold, Rejoin, StopBefore, duties
from proa.core.failover import decide, propose, turn_s
from proa.core.insync import InSync
from proa.core.lease import LeaseWatch
from proa.core.plan import TRANSITIONS, Approval, Loss, Plan, approval_holds, digest, moved
from proa.core.roles import Assignment, Cut, Node, Observation
from proa.core.situation import Insured, Known, Report, Rules, Situation, Standing

EU, US = "eu", "us"
NOW = 100.0
WELL, DEAD = Observation(True, "pass"), Observation(live=False)


def known(name, *, seen=None, heard_at=NOW - 0.2, since=NOW - 0.2, reports=(), **node):
    kind = "region" if name in (EU, US) else name
    value = Node(name, kind, "boot", 7, 2.0, seen=seen or {}, **{"ready": True, "epoch": 1} | node)
    return Known(value, 3, LeaseWatch("boot", 7, 2.0, since), heard_at, 0.0, 1_000.0, reports)


def situation(*, eu=WELL, us=WELL, nodes=(), plan=None, plan_at=NOW - 1, roles=None, revoked=None, **rules):
    opinions = {EU: eu, US: us}
    declared = Rules((EU, US), "witness", ("edge",), "active-passive", EU, lease_s=2.0, **{"hold_down_s": 5.0} | rules)
    every = {
        EU: known(EU, seen={US: us}, origin="eu/1", head=10, cursors={"eu/1": 10}),
        US: known(US, seen={EU: eu}, origin="us/1", cursors={"eu/1": 10}),
        "witness": known("witness", seen=opinions),
        "edge": known("edge", seen=opinions),
    } | {node.node.name: node for node in nodes}
    return Situation(
        declared,
        revision=9,
        assignment=Assignment(1, "active-passive", roles or {EU: "active", US: "standby"}, revoked=revoked or {}),
        roles_version=2,
        nodes=every,
        plan=plan,
        plan_version=5,
        plan_at=plan_at,
        standing={EU: Standing("healthy", 0.0), US: Standing("healthy", 0.0)},
        store_s=2_000.0,
        store_at=NOW,
    )


def plan(step="request", **changes):
    made = Plan("000001", "failover", EU, US, 1, "us", by_controller=True)
    return msgspec.structs.replace(made, step=step, **changes)


def dead_eu(**node):
    reports = (Report("eu/1", 10, NOW - 3.0),)
    values = {"origin": "eu/1", "head": 10, "cursors": {"eu/1": 10}, "seen": {US: WELL}} | node
    return known(EU, heard_at=NOW - 3, since=NOW - 3, reports=reports, **values)


def actions(s, me=US):
    return [change.action for change in decide(s, me, NOW)]


# What is opened, and when.


def test_when_all_is_well_nothing_is_done():
    assert decide(situation(), US, NOW) == []


def test_a_region_that_is_down_by_quorum_gets_a_plan_with_the_fit_standby_as_its_target():
    [change] = decide(situation(eu=DEAD, nodes=[dead_eu()]), US, NOW)
    assert change.action == "request"
    assert (change.plan.lost, change.plan.target, change.plan.graceful) == (EU, US, False)
    assert change.plan.known_good_at_s == 1_000.0


def test_without_a_fit_target_nothing_is_opened():
    assert actions(situation(eu=DEAD, nodes=[dead_eu(), known(US, ready=False, origin="us/1")])) == []


def test_a_target_of_another_version_is_refused_at_the_gate():
    s = situation(nodes=[known(US, version="2", origin="us/1", cursors={"eu/1": 10})])
    findings, _ = gate.gate(s, plan(by_controller=False, graceful=True), NOW)
    assert [finding.name for finding in gate.blocking(findings)] == ["parity"]


def test_a_plan_that_was_called_off_is_not_asked_for_again_at_once():
    off = plan("aborted", called_off_by="ann")
    s = situation(eu=DEAD, nodes=[dead_eu()], plan=off)
    assert actions(s) == []
    assert actions(msgspec.structs.replace(s, plan_at=NOW - 6)) == ["request"]


# The gate and the loss.


def test_unknown_loss_waits_for_a_person_in_approval_mode_and_passes_within_the_rpo_in_automatic_mode():
    waiting = plan("gate")
    assert actions(situation(eu=DEAD, nodes=[dead_eu()], plan=waiting)) == []
    assert actions(situation(eu=DEAD, nodes=[dead_eu()], plan=waiting, failover="automatic", rpo_s=1.0)) == ["approve"]


def test_an_automatic_fail_over_beyond_the_rpo_waits_for_a_person():
    late = [Report("eu/1", 4, NOW - 6.0), Report("eu/1", 10, NOW - 3.0)]
    behind = known(US, origin="us/1", cursors={"eu/1": 4}, seen={EU: DEAD})
    lost = known(EU, heard_at=NOW - 3, since=NOW - 3, reports=tuple(late), origin="eu/1", head=10)
    s = situation(eu=DEAD, nodes=[lost, behind], plan=plan("gate"), failover="automatic", rpo_s=1.0)
    assert gate.measured_loss(s, s.plan, NOW) == Loss(6, unknown=True, exposure_s=3.4)
    assert actions(s) == []


def test_the_loss_of_a_region_that_drained_is_none():
    s = situation(nodes=[dead_eu(drained=1)], plan=plan("fence"))
    assert gate.measured_loss(s, s.plan, NOW) == Loss()


def test_accepting_fewer_writes_than_are_known_to_be_lost_is_not_enough():
    s = situation(eu=DEAD, nodes=[dead_eu(head=15)])
    assert not gate.acceptable(s, plan(accept_lost=4), Loss(5, unknown=True))
    assert gate.acceptable(s, plan(accept_lost=5), Loss(5, unknown=True))


# The approval.


def test_an_approval_binds_the_plan_as_it_was_and_expires():
    shown = plan("gate", accept_lost=3)
    approved = moved(shown, "approve", approval=Approval("ann", digest(shown), 500.0))
    assert approval_holds(approved, 499.0)
    assert not approval_holds(approved, 500.0)
    for other in ({"target": "ap"}, {"epoch": 2}, {"accept_lost": 4}, {"id": "000002"}, {"graceful": True}):
        assert not approval_holds(msgspec.structs.replace(approved, **other), 0.0)


def test_an_expired_approval_goes_back_to_the_gate_and_fences_nobody():
    shown = plan("gate", accept_lost=0)
    approved = moved(shown, "approve", approval=Approval("ann", digest(shown), 1_999.0))
    [change] = decide(situation(eu=DEAD, nodes=[dead_eu()], plan=approved), US, NOW)
    assert (change.action, change.plan.step, change.plan.approval, change.assignment) == ("expire", "gate", None, None)


def test_the_gate_runs_again_after_the_approval():
    shown = plan("gate", accept_lost=0)
    approved = moved(shown, "approve", approval=Approval("ann", digest(shown), 9_999.0))
    recovered = situation(plan=approved)
    [change] = decide(recovered, US, NOW)
    assert (change.action, change.assignment) == ("aborted", None)


# Fence, catch-up, promotion.


def fenced(**changes):
    return plan("fence", **{"origins": ("eu/1",), "fenced_epoch": 1, "fenced_revision": 1, "accept_lost": 0} | changes)


def holding(seq=10, revision=1, **node):
    values = {"origin": "us/1", "held": {"eu/1": seq}, "cursors": {"eu/1": seq}, "revision": revision} | node
    return known(US, seen={EU: DEAD}, **values)


def test_after_the_fence_the_lease_must_run_out_and_the_survivors_must_hold():
    alive = known(EU, since=NOW - 1.0, origin="eu/1", head=10)
    assert actions(situation(eu=DEAD, nodes=[alive, holding()], plan=fenced())) == []
    assert actions(situation(eu=DEAD, nodes=[dead_eu(), holding(revision=0)], plan=fenced())) == []
    [change] = decide(situation(eu=DEAD, nodes=[dead_eu(), holding()], plan=fenced()), US, NOW)
    assert (change.action, change.plan.cut, change.evidence) == ("catch_up", {"eu/1": 10}, (EU,))


def test_a_confirmed_end_or_a_drained_region_is_not_waited_for():
    ended = known(EU, since=NOW, origin="eu/1", head=10, ended=True)
    assert actions(situation(eu=DEAD, nodes=[ended, holding()], plan=fenced())) == ["catch_up"]
    drained = known(EU, since=NOW, origin="eu/1", head=12, drained=1)
    [change] = decide(situation(nodes=[drained, holding()], plan=fenced(graceful=True)), US, NOW)
    assert change.plan.goal == {"eu/1": 12}


def test_a_loss_beyond_what_was_approved_calls_the_plan_off_under_a_new_epoch():
    s = situation(eu=DEAD, nodes=[dead_eu(head=13), holding()], plan=fenced(), revoked={EU: 1})
    [change] = decide(s, US, NOW)
    assert (change.action, change.assignment.epoch, change.assignment.revoked) == ("aborted", 2, {})
    assert change.assignment.roles == {EU: "active", US: "standby"}


def test_the_target_is_promoted_when_it_covers_the_cut_and_not_before():
    caught = plan("catch_up", cut={"eu/1": 10}, goal={"eu/1": 10}, origins=("eu/1",))
    assert actions(situation(eu=DEAD, nodes=[dead_eu(), holding(9)], plan=caught)) == []
    [change] = decide(situation(eu=DEAD, nodes=[dead_eu(), holding(10)], plan=caught, revoked={EU: 1}), US, NOW)
    after = change.assignment
    assert (after.epoch, after.roles, after.revoked) == (2, {EU: "fenced", US: "active"}, {EU: 1})
    assert [(cut.epoch, cut.origin, cut.seq) for cut in after.cuts] == [(2, "eu/1", 10)]


def approved(s, **changes):
    """The plan that follows on an approval of this one."""
    shown = plan("gate", accept_lost=0, **changes)
    shown = moved(shown, "approve", approval=Approval("ann", digest(shown), 9_999.0))
    return decide(msgspec.structs.replace(s, plan=shown), US, NOW)


def under(s, **changes):
    return msgspec.structs.replace(s, assignment=msgspec.structs.replace(s.assignment, **changes))


def test_an_origin_that_lives_on_after_a_cut_is_cut_again():
    """It drained, was given its role back, and is lost now with commits that nobody has."""
    s = under(situation(eu=DEAD, nodes=[dead_eu()]), cuts=(Cut(1, "eu/1", 7),))
    [change] = approved(s)
    assert (change.action, change.plan.origins) == ("fence", ("eu/1",))


def test_an_earlier_life_of_a_lost_region_is_not_cut_twice():
    lives = dead_eu(origin="eu/2", cursors={"eu/1": 10, "eu/2": 3}, head=3)
    caught_up = known(US, origin="us/1", cursors={"eu/1": 10, "eu/2": 3}, seen={EU: DEAD})
    reports = (Report("eu/2", 3, NOW - 3.0),)
    s = under(
        situation(eu=DEAD, nodes=[msgspec.structs.replace(lives, reports=reports), caught_up]),
        cuts=(Cut(1, "eu/1", 10),),
    )
    [change] = approved(s)
    assert change.plan.origins == ("eu/2",)


def test_what_only_the_lost_region_had_of_an_origin_that_ended_before_is_cut_with_it():
    """A third region was lost first, and its last commits had reached this one alone."""
    lost = dead_eu(cursors={"eu/1": 10, "ap/1": 30})
    left = known(US, origin="us/1", cursors={"eu/1": 10, "ap/1": 28}, seen={EU: DEAD})
    [change] = approved(under(situation(eu=DEAD, nodes=[lost, left]), cuts=(Cut(1, "ap/1", 30),)))
    assert change.plan.origins == ("eu/1", "ap/1")


def test_where_every_region_is_active_a_silent_one_is_not_cut_off_with_another():
    """It has rights of its own, which end by a plan of its own."""
    both = fenced(target="", kind="evacuate")
    silent = known(US, heard_at=NOW - 60.0, origin="us/1")
    s = situation(eu=DEAD, nodes=[dead_eu(), silent], plan=both, roles={EU: "fenced", US: "active"}, revoked={EU: 1})
    [change] = decide(under(s, topology="active-active"), US, NOW + 5.0)
    assert (change.action, change.plan.dropped) == ("catch_up", ())
    [change] = decide(s, US, NOW + 5.0)
    assert change.plan.dropped == (US,)


def test_an_edge_that_does_not_confirm_is_noted_and_not_waited_for_for_ever():
    promoted = plan("promote", new_epoch=2)
    s = situation(eu=DEAD, nodes=[dead_eu()], plan=promoted)
    s = msgspec.structs.replace(s, assignment=msgspec.structs.replace(s.assignment, epoch=2))
    assert actions(s) == []
    [change] = decide(msgspec.structs.replace(s, plan_at=NOW - 6), US, NOW)
    assert change.plan.notes == ("an edge did not confirm the new routing in time",)


def test_a_plan_that_waits_for_a_person_makes_way_for_one_that_policy_approves():
    asked = plan("gate", by_controller=False, requested_by="ada", graceful=True)
    lost = situation(eu=DEAD, nodes=[dead_eu()], plan=asked, failover="automatic", rpo_s=60.0)
    [change] = decide(lost, US, NOW)
    assert (change.action, change.plan.reason) == ("aborted", "eu is lost, and nobody has approved this plan yet")
    assert actions(situation(eu=DEAD, nodes=[dead_eu()], plan=asked, failover="approval")) == ["regrade"]
    assert actions(situation(plan=asked, failover="automatic")) == []


# The in-sync set of the lost region.


def insured(*members, **more):
    s = situation(eu=DEAD, **{"plan": fenced(accept_lost=None), "failover": "automatic", "rpo_s": 0.0} | more)
    held = Insured(InSync("eu/1", members, "boot"), 8)
    rules = msgspec.structs.replace(s.rules, peer_acknowledged=True, catch_up_timeout_s=60.0)
    return msgspec.structs.replace(s, rules=rules, insync={EU: held})


def test_a_region_that_acknowledged_by_peer_loses_nothing_where_every_member_of_its_set_reports():
    waiting = insured("us/1", nodes=[dead_eu(head=15)], plan=plan("gate"))
    assert gate.measured_loss(waiting, waiting.plan, NOW) == Loss()
    assert actions(waiting) == ["approve"]


def test_a_member_that_does_not_report_makes_the_loss_unknown_and_only_a_person_may_accept_it():
    waiting = insured("ap/1", "us/1", nodes=[dead_eu()], plan=plan("gate"))
    assert gate.measured_loss(waiting, waiting.plan, NOW) == Loss(0, unknown=True, exposure_s=None)
    assert actions(waiting) == []
    [finding] = [finding for finding in gate.gate(waiting, waiting.plan, NOW)[0] if not finding.ok]
    assert finding.detail.startswith("ap/1 of the in-sync set of eu may alone have what it acknowledged")
    assert gate.passes(gate.gate(waiting, plan("gate", accept_lost=0), NOW)[0])


def test_past_the_fence_the_hold_of_every_member_is_waited_for():
    s = insured("ap/1", "us/1", nodes=[dead_eu(), holding()])
    assert actions(s) == []
    late = msgspec.structs.replace(s, plan_at=NOW - 61)
    [change] = decide(late, US, NOW)
    assert (change.action, change.plan.reason) == (
        "aborted",
        "ap/1 may alone have acknowledged commits and do not answer",
    )


def test_the_next_life_of_a_member_is_that_member_only_where_its_disk_has_lost_nothing():
    assert actions(insured("us/1", nodes=[dead_eu(), holding(origin="us/2")])) == []
    assert actions(insured("us/1", nodes=[dead_eu(), holding(origin="us/2", whole_since=1)])) == ["catch_up"]


def test_the_cut_rests_on_the_set_that_was_heard():
    [change] = decide(insured("us/1", nodes=[dead_eu(), holding(12)]), US, NOW)
    assert (change.action, change.insured, change.plan.cut, change.plan.unheard) == ("catch_up", EU, {"eu/1": 12}, ())


def test_a_person_who_accepted_the_loss_is_not_made_to_wait_for_a_member_for_ever():
    accepted = insured("ap/1", "us/1", nodes=[dead_eu(), holding()], plan=fenced(accept_lost=0))
    assert actions(accepted) == []
    [change] = decide(msgspec.structs.replace(accepted, plan_at=NOW - 3), US, NOW)
    assert (change.action, change.plan.unheard) == ("catch_up", ("ap/1",))


def test_where_a_cut_parks_nothing_members_are_not_waited_for():
    s = insured("ap/1", "us/1", nodes=[dead_eu(), holding()])
    merging = msgspec.structs.replace(s, rules=msgspec.structs.replace(s.rules, fenced_rows=False))
    assert actions(merging) == ["catch_up"]


# Turns and duties.


def test_the_targets_controller_is_first_and_the_lost_regions_last():
    s = situation(eu=DEAD, nodes=[dead_eu()], plan=plan())
    assert (turn_s(s, US, NOW), turn_s(s, EU, NOW)) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("me", "step", "revoked", "epoch", "asked"),
    [
        (US, "approve", {}, 1, [Hold(frozenset())]),
        (US, "fence", {EU: 1}, 1, [Hold(frozenset({"eu/1"}))]),
        (US, "catch_up", {EU: 1}, 1, [Hold(frozenset({"eu/1"})), CatchUp("000001", {"eu/1": 10})]),
        (EU, "fence", {EU: 1}, 1, [Hold(frozenset()), Drain(1)]),
        (EU, "promote", {EU: 1}, 2, [Hold(frozenset()), Rejoin(2)]),
    ],
)
def test_what_a_plan_asks_of_a_region(me, step, revoked, epoch, asked):
    s = situation(plan=plan(step, origins=("eu/1",), goal={"eu/1": 10}), revoked=revoked)
    s = msgspec.structs.replace(s, assignment=msgspec.structs.replace(s.assignment, epoch=epoch))
    assert duties(s, me, rejoined=0, stopped=2) == asked


def test_a_region_says_for_each_epoch_that_it_stopped_under_older_ones():
    assert duties(situation(), US, rejoined=0, stopped=0) == [Hold(frozenset()), StopBefore(1)]
    assert duties(situation(), US, rejoined=0, stopped=1) == [Hold(frozenset())]


def test_a_region_that_rejoined_for_this_epoch_is_not_asked_again():
    s = situation(revoked={EU: 1})
    s = msgspec.structs.replace(s, assignment=msgspec.structs.replace(s.assignment, epoch=2))
    assert duties(s, EU, rejoined=2, stopped=2) == [Hold(frozenset())]


# The table.


@given(st.lists(st.sampled_from(list(TRANSITIONS)), max_size=12))
def test_a_plan_moves_only_along_the_table_and_never_out_of_an_end(steps):
    at = plan()
    for step in steps:
        if step in TRANSITIONS[at.step]:
            at = moved(at, step)
        else:
            with pytest.raises(ValueError, match="cannot go"):
                moved(at, step)
    assert at.open == bool(TRANSITIONS[at.step])


def test_a_plan_can_be_called_off_until_it_promotes():
    abortable = [step for step in TRANSITIONS if plan(step).abortable]
    assert abortable == ["request", "gate", "approve", "fence", "catch_up"]


def test_a_request_of_a_person_for_a_healthy_region_is_graceful():
    made = propose(situation(), "failover", EU, US, NOW, by="ann")
    assert (made.graceful, made.by_controller, made.known_good_at_s) == (True, False, None)
