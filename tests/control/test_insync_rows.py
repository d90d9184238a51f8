"""In-sync sets as rows of the global store: who reads them, and what rests on them."""

import asyncio

import msgspec

from proa.control.ledger import batch_of, strong
from proa.core.failover import Change
from proa.core.insync import InSync
from proa.core.plan import Plan
from proa.core.roles import INSYNC
from proa.ports import Batch, Committed, Conflict
from support.control_town import EU, US, Town

PLAN = Plan("000001", "failover", EU, US, 1, US)


async def write(town, *members):
    version = town.situation.insync[EU].version if EU in town.situation.insync else 0
    row = strong(INSYNC, EU, InSync("eu/1", members, "boot"))
    result = await town.store.commit(Batch(f"write {members}", {(INSYNC, EU): version}, [row]))
    assert isinstance(result, Committed)


def test_every_node_learns_of_a_changed_set():
    async def scenario():
        town = await Town().start()
        await write(town, "us/1")
        await town.run(1.0)
        assert town.situation.insync[EU].row.members == ("us/1",)
        await write(town, "ap/1", "us/1")
        await town.run(1.0)
        assert town.situation.insync[EU].row.members == ("ap/1", "us/1")

    asyncio.run(scenario())


def test_a_cut_that_was_decided_from_an_older_set_is_refused():
    async def scenario():
        town = await Town().start()
        await write(town, "us/1")
        await town.run(1.0)
        cut = batch_of(town.situation, Change("catch_up", PLAN, insured=EU), US, "cut")
        await write(town, "ap/1", "us/1")
        assert await town.store.commit(cut) == Conflict((INSYNC, EU))

    asyncio.run(scenario())


def test_a_set_that_nobody_has_written_yet_is_part_of_what_a_cut_rests_on():
    async def scenario():
        town = await Town().start()
        change = Change("catch_up", PLAN, insured=EU)
        assert batch_of(town.situation, change, US, "cut").reads[INSYNC, EU] == 0
        assert (INSYNC, EU) not in batch_of(town.situation, msgspec.structs.replace(change, insured=""), US, "x").reads

    asyncio.run(scenario())
