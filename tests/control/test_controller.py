"""Whole fail-overs on a manual clock, with controllers that die, pause and wake at every step."""

import asyncio
from itertools import pairwise

import pytest

from proa.control.audit import broken_at, read_log, timeline
from proa.control.desk import Asked, Word
from proa.control.ends import swear_ended
from proa.control.operators import Operator
from proa.errors import ApprovalRefused, PlanRefused, UnsafePlan
from support.control_town import AP, EDGE, EU, US, Town

STEPS = ["request", "gate", "approve", "fence", "catch_up", "promote", "shift", "verify"]
ANN, BEN = (Operator(name, "approver", "", "") for name in ("ann", "ben"))


def play(story, *args, **rules):
    async def main():
        town = await Town(*args, **rules).start()
        town.watchers.append(lambda: never_two_writers(town))
        await story(town)
        never_overlapping(town)
        entries, head = await read_log(town.store)
        assert broken_at([dated.entry for dated in entries], head) is None

    asyncio.run(main())


def never_two_writers(town):
    if town.rules.topology == "active-passive":
        assert sum(region.may_write() for region in town.regions.values() if region.name not in town.dead) <= 1


def never_overlapping(town):
    """Acknowledgements of different epochs never overlap in time, and epochs only rise."""
    if town.rules.topology == "active-passive":
        epochs = [epoch for epoch, _, _ in sorted(town.acknowledged, key=lambda ack: ack[2])]
        assert epochs == sorted(epochs)


def at(town, step):
    return lambda: town.plan is not None and town.plan.step == step


def done(town):
    return at(town, "done")


def test_a_killed_active_region_is_replaced_by_policy_within_the_lease_and_a_little():
    async def story(town):
        town.kill(EU)
        killed_at = town.clock.at
        assert await town.run(5.0, done(town))
        assert town.assignment.roles == {EU: "fenced", US: "active"}
        assert town.assignment.epoch == 2
        first = min(at for epoch, _, at in town.acknowledged if epoch == 2)
        assert first - killed_at < 3.0

    play(story, failover="automatic")


@pytest.mark.parametrize("how", ["paused", "cut"])
def test_a_paused_or_cut_off_region_stops_by_its_lease_before_the_new_one_starts_and_returns_as_standby(how):
    async def story(town):
        getattr(town, how).add(EU)
        assert await town.run(6.0, done(town))
        assert town.assignment.active() == (US,)
        getattr(town, how).discard(EU)
        assert await town.run(6.0, lambda: town.assignment.roles[EU] == "standby")
        assert town.regions[EU].rejoins == [2]
        assert town.assignment.epoch == 2
        assert EU not in town.assignment.revoked

    play(story, failover="automatic")


def test_a_region_that_wakes_with_late_commits_takes_a_new_incarnation():
    async def story(town):
        town.replicating = False
        await town.run(0.2)
        town.paused.add(EU)
        assert await town.run(6.0, at(town, "gate"))
        desk = town.desks[US]
        with pytest.raises(UnsafePlan):
            await desk.approve(ANN, town.plan.id, Word())
        known = town.plan.loss.known
        await desk.approve(ANN, town.plan.id, Word(accept_lost=known))
        assert await town.run(6.0, done(town))
        assert town.plan.cut == {f"{EU}/1": town.plan.goal[f"{EU}/1"]}
        town.paused.discard(EU)
        town.replicating = True
        assert await town.run(6.0, lambda: town.assignment.roles[EU] == "standby")
        assert town.regions[EU].origin == f"{EU}/2"

    play(story)


def test_a_confirmed_end_is_not_waited_for():
    async def story(town):
        town.kill(EU)
        killed_at = town.clock.at
        node = town.situation.nodes[EU].node
        desk_parts = town.parts_of(US, "desk")
        await swear_ended(desk_parts, EU, node.boot, "ann")
        assert await town.run(5.0, done(town))
        first = min(at for epoch, _, at in town.acknowledged if epoch == 2)
        assert first - killed_at < 2.0  # detection alone takes 1.2 s, the lease would take more than 2

    play(story, failover="automatic")


@pytest.mark.parametrize("step", STEPS)
def test_a_controller_that_dies_at_any_step_is_resumed_by_another(step):
    async def story(town):
        town.freeze = (US, step)
        town.kill(EU)
        assert await town.run(15.0, done(town))
        assert US in town.dumb
        assert town.assignment.active() == (US,)
        assert town.assignment.epoch == 2

    play(story, (EU, US, AP), failover="automatic")


@pytest.mark.parametrize("step", STEPS)
def test_a_controller_that_pauses_at_any_step_and_wakes_later_changes_nothing(step):
    async def story(town):
        town.freeze = (US, step)
        town.kill(EU)
        assert await town.run(15.0, done(town))
        rows = dict(town.store.rows)
        controller, view = town.controllers[US]
        assert view.situation.revision < town.store.revision
        assert view.situation.plan.step != "done"
        town.clock.at += 60.0
        await controller.step()  # with the view it had when it was paused
        changed = {key for key, row in town.store.rows.items() if rows.get(key) != row}
        assert changed == set()

    play(story, (EU, US, AP), failover="automatic")


def test_two_controllers_that_act_at_the_same_moment_open_one_plan():
    async def story(town):
        town.kill(EU)
        await town.run(10.0, done(town))
        assert [plan.id for plan in await town.desks[US].plans()] == ["000001"]

    play(story, (EU, US, AP), failover="automatic", turn_s=0.0)


def test_a_healthy_region_is_handed_over_gracefully_and_back_without_any_loss():
    async def story(town):
        desk = town.desks[US]
        plan = await desk.request(ANN, Asked(reason="rehearsal"))
        assert (plan.lost, plan.target, plan.graceful) == (EU, US, True)
        assert await town.run(2.0, at(town, "gate"))
        with pytest.raises(ApprovalRefused):
            await desk.approve(ANN, plan.id, Word())
        await desk.approve(BEN, plan.id, Word())
        assert await town.run(5.0, done(town))
        assert town.plan.cut[f"{EU}/1"] == town.regions[EU].applied[f"{EU}/1"]
        assert await town.run(5.0, lambda: town.assignment.roles[EU] == "standby")
        assert town.regions[EU].origin == f"{EU}/1"
        await town.run(4.0)
        back = await desk.failback(BEN, Asked())
        assert await town.run(2.0, at(town, "gate"))
        await desk.approve(ANN, back.id, Word())
        assert await town.run(5.0, done(town))
        assert town.assignment.active() == (EU,)
        assert town.assignment.epoch == 3

    play(story)


def test_fail_back_is_refused_before_the_hold_down_has_passed():
    async def story(town):
        town.kill(EU)
        assert await town.run(6.0, done(town))
        town.boot(EU)
        assert await town.run(6.0, lambda: town.assignment.roles[EU] == "standby")
        with pytest.raises(PlanRefused, match="hold-down"):
            await town.desks[US].failback(ANN, Asked())

    play(story, failover="automatic", hold_down_s=30.0)


def test_an_abort_after_the_fence_gives_the_role_back_under_a_new_epoch():
    async def story(town):
        desk = town.desks[US]
        plan = await desk.request(ANN, Asked())
        await town.run(2.0, at(town, "gate"))
        await desk.approve(BEN, plan.id, Word())
        town.dumb |= set(town.rules.regions)
        town.dumb.discard(EU)
        assert await town.run(3.0, at(town, "fence"))
        town.dumb.add(EU)
        await desk.abort(ANN, plan.id, "changed our minds")
        await town.run(1.0)
        assert town.assignment.roles == {EU: "active", US: "standby"}
        assert (town.assignment.epoch, town.assignment.revoked) == (2, {})
        assert town.regions[EU].may_write()
        assert town.regions[US].limits == {}

    play(story)


def test_after_the_promotion_nobody_aborts():
    async def story(town):
        town.watchers.append(lambda: town.plan and town.plan.step == "promote" and town.dumb.update(town.rules.regions))
        town.kill(EU)
        assert await town.run(6.0, at(town, "promote"))
        with pytest.raises(PlanRefused, match="fail back"):
            await town.desks[US].abort(ANN, town.plan.id, "no")

    play(story, failover="automatic")


def test_an_active_active_region_that_is_lost_is_evacuated_and_restored_with_rising_weight():
    async def story(town):
        town.kill(AP)
        assert await town.run(8.0, done(town))
        assert town.assignment.roles[AP] == "down"
        assert (town.plan.kind, town.plan.approval.by) == ("evacuate", "policy")
        town.boot(AP)
        weights = []
        town.watchers.append(lambda: weights.append(town.assignment.weights[AP]))
        assert await town.run(20.0, lambda: town.plan.kind == "restore" and town.plan.step == "done")
        assert sorted(set(weights)) == [0, 10, 50, 100]
        assert town.assignment.active() == (EU, US, AP)
        assert town.assignment.epoch == 3

    play(story, (EU, US, AP), "active-active")


def test_a_region_that_a_person_took_out_stays_out_until_a_person_restores_it():
    async def story(town):
        desk = town.desks[EU]
        plan = await desk.request(ANN, Asked(lost=AP, reason="maintenance"))
        assert await town.run(2.0, at(town, "gate"))
        await desk.approve(BEN, plan.id, Word())
        assert await town.run(6.0, done(town))
        await town.run(8.0)
        assert town.assignment.roles[AP] == "draining"
        back = await desk.failback(ANN, Asked())
        assert (back.kind, back.target) == ("restore", AP)
        assert await town.run(2.0, at(town, "gate"))
        await desk.approve(BEN, back.id, Word())
        assert await town.run(15.0, done(town))
        assert town.assignment.active() == (EU, US, AP)

    play(story, (EU, US, AP), "active-active")


def test_a_survivor_that_had_most_and_is_lost_too_is_cut_off_with_the_first():
    async def story(town):
        town.split = [{US, EU}, {US, AP}]
        await town.run(1.0)
        town.kill(EU)
        assert await town.run(5.0, at(town, "gate"))
        desk = town.desks[US]
        await desk.abort(ANN, town.plan.id, "we want another target")
        plan = await desk.request(ANN, Asked(target=US, accept_lost=100))
        await town.run(0.1)
        assert await town.run(2.0, at(town, "gate"))
        await desk.approve(BEN, plan.id, Word())
        assert await town.run(5.0, at(town, "catch_up"))
        most = town.plan.cut[f"{EU}/1"]
        await town.run(1.0)
        assert town.plan.step == "catch_up"  # only the third region has what the cut names, and it is out of reach
        town.kill(AP)
        assert await town.run(20.0, done(town))
        assert town.plan.dropped == (AP,)
        assert town.plan.cut[f"{EU}/1"] < most
        assert town.assignment.roles == {EU: "fenced", US: "active", AP: "fenced"}
        town.split = []
        town.boot(AP)
        assert await town.run(6.0, lambda: town.assignment.roles[AP] == "standby")
        assert town.regions[AP].rejoins == [2]

    play(story, (EU, US, AP))


def test_a_check_that_fails_in_every_region_moves_nothing():
    async def story(town):
        town.unwell |= {EU, US, AP}
        await town.run(5.0)
        assert town.plan is None
        assert set(town.situation.verdicts(town.clock.at).values()) == {"healthy"}

    play(story, (EU, US, AP), "active-active")


def test_the_last_active_region_is_never_taken_out():
    async def story(town):
        town.kill(US)
        assert await town.run(8.0, done(town))
        town.unwell.add(EU)
        await town.run(5.0)
        assert town.assignment.active() == (EU,)

    play(story, (EU, US), "active-active")


def test_without_the_global_store_nothing_moves_and_the_view_stays():
    async def story(town):
        before = town.assignment
        town.cut |= {EU, US, EDGE, "witness"}
        await town.run(5.0)
        assert town.assignment == before
        assert not town.regions[EU].may_write()
        town.cut.clear()
        await town.run(3.0)
        assert town.regions[EU].may_write()

    play(story, failover="automatic")


def test_the_timeline_of_a_fail_over_has_every_phase_in_order_on_the_stores_clock():
    async def story(town):
        killed_at_s = town.clock.now()
        town.kill(EU)
        assert await town.run(6.0, done(town))
        entries, _ = await read_log(town.store)
        phases = timeline(entries, town.plan.id)
        assert [phase.phase for phase in phases] == ["detect", "decide", "fence", "promote", "propagate", "verify"]
        assert killed_at_s - 0.6 <= phases[0].at_s <= killed_at_s
        assert all(abs(a.at_s + a.took_s - b.at_s) < 0.01 for a, b in pairwise(phases))

    play(story, failover="automatic")


def test_the_target_dying_after_the_promotion_leads_to_the_next_standby():
    async def story(town):
        town.watchers.append(lambda: town.plan and town.plan.step == "promote" and town.kill(US))
        town.kill(EU)
        assert await town.run(30.0, lambda: town.plan is not None and town.plan.id == "000002" and done(town)())
        assert town.assignment.active() == (AP,)
        assert town.assignment.epoch == 3

    play(story, (EU, US, AP), failover="automatic", hold_down_s=1.0)
