"""Laws of the control plane under any sequence of faults: stories drawn by Hypothesis, played on a manual clock."""

import asyncio
from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.control.audit import broken_at, read_log
from proa.core.roles import ROLES, Assignment
from support.control_town import AP, EDGE, EU, US, WITNESS, Town

FAULTS = ("kill", "pause", "cut", "unwell", "mute")
EVENTS = st.lists(
    st.tuples(st.sampled_from(FAULTS), st.integers(0, 4), st.floats(0.1, 6.0), st.floats(0.0, 3.0)), max_size=6
)
SETTLED_S = 60.0


def strike(town, fault, node):
    match fault:
        case "kill" if node != WITNESS:
            town.kill(node)
        case "pause":
            town.paused.add(node)
        case "cut":
            town.cut.add(node)
        case "unwell" if node in town.regions:
            town.unwell.add(node)
        case "mute" if node in town.regions:
            town.dumb.add(node)
        case _:
            pass


def heal(town):
    for broken in (town.paused, town.cut, town.unwell, town.dumb):
        broken.clear()
    for node in sorted(town.dead):
        town.boot(node)


def check_now(town):
    """At every moment: one writer at most (active-passive), never all regions off (active-active)."""
    if town.rules.topology == "active-passive":
        assert sum(region.may_write() for region in town.regions.values() if region.name not in town.dead) <= 1
    elif town.assignment:
        assert town.assignment.active()


def check_history(town, entries):
    """Epochs never come again, acknowledgements of two never overlap, and an approval fences once."""
    written = [
        msgspec.msgpack.decode(write.value, type=Assignment)
        for batch in town.store.commits
        for write in batch.writes
        if write.table == ROLES
    ]
    numbers = [(assignment.epoch, assignment.revision) for assignment in written]
    assert numbers == sorted(set(numbers))
    if town.rules.topology == "active-passive":
        assert [epoch for epoch, _, _ in town.acknowledged] == sorted(epoch for epoch, _, _ in town.acknowledged)
    acts = Counter((dated.entry.plan, dated.entry.action) for dated in entries)
    for (plan, action), times in acts.items():
        if action == "fence":
            assert times <= acts[plan, "approve"]
            assert times == 1


async def play(town, events):
    await town.start()
    town.watchers.append(lambda: check_now(town))
    nodes = (*town.rules.regions, WITNESS, EDGE)
    for fault, index, lasts_s, then_s in events:
        strike(town, fault, nodes[index % len(nodes)])
        await town.run(lasts_s)
        if then_s > 1.0:
            heal(town)
            await town.run(then_s)
    heal(town)
    rested = {"active", "standby"} if town.rules.topology == "active-passive" else {"active"}
    settled = await town.run(
        SETTLED_S,
        lambda: set(town.assignment.roles.values()) <= rested and not (town.plan and town.plan.open),
    )
    entries, head = await read_log(town.store)
    check_history(town, entries)
    assert broken_at([dated.entry for dated in entries], head) is None
    assert settled, (town.plan, town.assignment)


@settings(max_examples=15, deadline=None)
@given(EVENTS, st.integers(0, 1000), st.sampled_from([(EU, US), (EU, US, AP)]))
def test_active_passive_keeps_one_writer_and_settles_when_all_is_healed(events, seed, regions):
    asyncio.run(play(Town(regions, seed=seed, failover="automatic"), events))


@settings(max_examples=15, deadline=None)
@given(EVENTS, st.integers(0, 1000))
def test_active_active_never_has_all_regions_off_and_settles_when_all_is_healed(events, seed):
    asyncio.run(play(Town((EU, US, AP), "active-active", seed=seed), events))
