"""The beat: what renews, what only reports, and what ends a process."""

import asyncio

import msgspec
import pytest

from proa.control.desk import Asked
from proa.control.ends import swear_ended
from proa.control.ledger import batch_of
from proa.control.operators import Operator
from proa.core.failover import Change
from proa.core.lease import patience_s
from proa.core.roles import NODES, ROLES, ROLES_KEY, Node, Observation
from proa.errors import NotFound, OutcomeUnknown, RegionFenced, StoreFull
from proa.ports import Committed, Conflict
from support.control_town import EU, US, Town


def play(story, *args, **rules):
    async def main():
        await story(await Town(*args, **rules).start())

    asyncio.run(main())


def row_of(town, name):
    row = town.store.rows[NODES, name]
    return msgspec.msgpack.decode(row.value, type=Node)


async def revoke(town, region):
    """Withdraw the right to write behind the back of the region's own view."""
    after = msgspec.structs.replace(town.assignment, revision=9, revoked={region: 1})
    change = Change("fence", assignment=after)
    result = await town.store.commit(batch_of(town.situation, change, "test", f"revoke {region}"))
    assert isinstance(result, Committed)


def test_a_lease_is_counted_from_before_the_beat_was_sent():
    async def story(town):
        before = town.clock.at
        slow = town.store.commit

        async def commit(batch):
            town.clock.at += 0.3
            return await slow(batch)

        town.store.commit = commit
        assert await town.members[EU].beat()
        assert town.regions[EU].lease_until == before + town.rules.lease_s

    play(story)


def test_a_renewal_is_refused_once_the_right_is_revoked_even_if_the_region_does_not_know_it_yet():
    async def story(town):
        counter, lease_until = row_of(town, EU).counter, town.regions[EU].lease_until
        await revoke(town, EU)
        town.clock.at += 0.3
        assert await town.members[EU].beat()
        assert row_of(town, EU).counter == counter
        assert town.regions[EU].lease_until == lease_until

    play(story)


def test_a_revoked_region_drains_and_reports_its_final_head_with_a_counter_that_stands_still():
    async def story(town):
        await revoke(town, EU)
        await town.run(0.5)
        first = row_of(town, EU)
        await town.run(1.0)
        later = row_of(town, EU)
        assert (later.drained, later.head) == (1, town.regions[EU].applied[f"{EU}/1"])
        assert first.counter == later.counter
        assert not town.regions[EU].may_write()

    play(story)


def test_a_beat_that_says_nothing_new_is_routine():
    async def story(town):
        await town.members[EU].beat()
        town.regions[EU].write()
        await town.members[EU].beat()
        assert [batch.routine for batch in town.store.commits[-2:]] == [True, True]
        town.detected[US] = Observation(live=False)
        await town.members[EU].beat()
        assert not town.store.commits[-1].routine

    play(story)


def test_while_a_plan_is_under_way_it_is_news_how_far_a_region_has_come():
    async def story(town):
        await town.members[EU].beat()
        await town.desks[US].request(Operator("ann", "approver", "", ""), Asked(reason="rehearsal"))
        await town.views[EU].poll(0)
        await town.members[EU].beat()
        assert town.store.commits[-1].routine
        town.regions[EU].write()
        await town.members[EU].beat()
        assert not town.store.commits[-1].routine

    play(story)


def test_each_renewal_counts_on_also_before_the_view_has_heard_of_the_last():
    async def story(town):
        before = row_of(town, EU).counter
        await town.members[EU].beat()
        await town.members[EU].beat()
        assert row_of(town, EU).counter == before + 2

    play(story)


def test_a_beat_whose_outcome_is_unknown_renews_nothing_and_the_next_one_does():
    async def story(town):
        lease_until = town.regions[EU].lease_until
        whole = town.store.commit

        async def losing_the_reply(batch):
            await whole(batch)
            raise OutcomeUnknown("the reply was lost")

        town.store.commit = losing_the_reply
        town.clock.at += 0.3
        assert not await town.members[EU].beat()
        assert town.regions[EU].lease_until == lease_until
        town.store.commit = whole
        town.clock.at += 0.3
        assert await town.members[EU].beat()
        assert town.regions[EU].lease_until == town.clock.at + town.rules.lease_s

    play(story)


def test_a_store_without_room_stops_no_member():
    async def story(town):
        whole = town.store.commit

        async def full(batch):
            raise StoreFull("no room")

        town.store.commit = full
        assert not await town.members[EU].beat()
        town.store.commit = whole
        assert await town.members[EU].beat()

    play(story)


def test_a_process_whose_end_was_confirmed_must_end():
    async def story(town):
        await swear_ended(town.parts_of(US, "supervisor"), EU, row_of(town, EU).boot, "supervisor")
        with pytest.raises(RegionFenced, match="confirmed"):
            await town.members[EU].beat()

    play(story)


def test_a_process_whose_place_was_taken_must_end():
    async def story(town):
        old = town.members[EU]
        town.boot(EU)
        await town.members[EU].beat()
        with pytest.raises(RegionFenced, match="another process"):
            await old.beat()

    play(story)


def test_an_end_is_confirmed_for_one_boot_only():
    async def story(town):
        with pytest.raises(NotFound, match="no boot"):
            await swear_ended(town.parts_of(US, "supervisor"), EU, "an older boot", "supervisor")
        assert not row_of(town, EU).ended

    play(story)


def test_a_new_life_waits_for_the_lease_of_one_whose_end_nobody_confirmed():
    async def story(town):
        town.kill(EU)
        town.regions[EU].incarnation = 2  # its disk was lost
        began = town.clock.at
        town.boot(EU)
        assert await town.run(5.0, town.regions[EU].may_write)
        assert town.clock.at - began >= patience_s(town.rules.lease_s)

    play(story, hold_down_s=100.0)


def test_the_same_disk_booted_again_renews_at_once():
    async def story(town):
        town.kill(EU)
        town.boot(EU)
        assert await town.run(0.3, town.regions[EU].may_write)

    play(story)


def test_what_is_seen_goes_out_with_the_beat():
    async def story(town):
        town.detected[EU] = Observation(live=False)
        await town.members[US].beat()
        assert row_of(town, US).seen[EU] == Observation(live=False)

    play(story)


def test_a_change_rests_on_the_roles_and_the_plan_and_says_so_in_the_log():
    async def story(town):
        stale = town.situation
        await revoke(town, EU)
        change = Change("rejoin", assignment=stale.assignment)
        result = await town.store.commit(batch_of(stale, change, "late", "late"))
        assert result == Conflict((ROLES, ROLES_KEY))

    play(story)
