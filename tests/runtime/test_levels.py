"""Reads at a level, in regions on real files: what each shows, waits for, and refuses."""

import msgspec
import pytest

from proa import bounded
from proa.core.roles import Assignment
from proa.errors import DeclarationError
from support.leveled import REGIONS, Item, apart, assign, code, leading, run, shop, value, without, witness_away

# Strong tables.


def test_a_bounded_read_of_a_strong_table_asks_the_global_store_once_within_its_bound(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/strong", Item("a", 1))
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 1
        await running.request("eu", "PUT", "/strong", Item("a", 2))
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 1
        assert value(await running.request("us", "GET", "/strong/a/0"))["left"] == 2
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 2
        assert value(await running.request("us", "GET", "/strong/a/strong"))["left"] == 2

    run(tmp_path, scenario)


def test_a_bounded_read_goes_on_while_the_global_store_is_away_and_refuses_once_it_is_too_old(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/strong", Item("a", 1))
        await running.request("us", "GET", "/strong/a/60")
        witness_away(running)
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 1
        refused = await running.request("us", "GET", "/strong/a/0")
        assert code(refused) == (503, "PROA-Q001")
        assert ("proa-not-started", "true") in refused.headers
        assert "s old here; the read allows 0 s" in msgspec.json.decode(refused.body)["detail"]
        never_read = await running.request("us", "GET", "/strong/b/60")
        assert "stock 'b' is not kept here" in msgspec.json.decode(never_read.body)["detail"]
        assert code(await running.request("us", "GET", "/strong/a/none")) == (503, "PROA-R004")

    run(tmp_path, scenario)


def test_a_bounded_query_and_several_rows_are_kept_too(tmp_path):
    async def scenario(running):
        for item in (Item("a", 1), Item("b", 2)):
            await running.request("eu", "PUT", "/strong", item)
        assert value(await running.request("us", "GET", "/strong-query/60")) == ["a", "b"]
        assert value(await running.request("us", "GET", "/strong-many/60")) == [1, 2]
        witness_away(running)
        assert value(await running.request("us", "GET", "/strong-query/60")) == ["a", "b"]
        assert value(await running.request("us", "GET", "/strong-many/60")) == [1, 2]
        assert code(await running.request("us", "GET", "/strong-query/0")) == (503, "PROA-Q001")

    run(tmp_path, scenario)


def test_a_write_of_a_row_that_was_read_bounded_is_validated_and_then_read_strongly(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/strong", Item("a", 10))
        await running.request("us", "GET", "/strong/a/60")
        await running.request("eu", "PUT", "/strong", Item("a", 5))
        assert value(await running.request("us", "POST", "/strong/a/take/60"))["left"] == 4
        assert value(await running.request("eu", "GET", "/strong/a/strong"))["left"] == 4

    run(tmp_path, scenario)


def test_a_strong_read_of_a_table_that_every_region_writes_is_refused_with_what_to_use_instead(tmp_path):
    async def scenario(running):
        refused = await running.request("eu", "GET", "/any/a/strong")
        assert code(refused) == (500, "PROA-D001")
        assert "use bounded(seconds), a session" in msgspec.json.decode(refused.body)["detail"]

    run(tmp_path, scenario)


# Regional tables.


def test_a_bounded_read_of_a_regional_table_shows_what_any_peer_had_committed_before_it_began(tmp_path):
    async def scenario(running):
        for number in range(20):
            writer, reader = REGIONS[number % 3], REGIONS[(number + 1) % 3]
            await running.request(writer, "PUT", "/any", Item("a", number))
            assert value(await running.request(reader, "GET", "/any/a/0"))["left"] == number
            assert "a" in value(await running.request(reader, "GET", "/any-query/0"))

    run(tmp_path, scenario)


def test_a_peer_that_is_cut_off_makes_bounded_reads_refuse_once_it_is_too_long_ago(tmp_path):
    async def scenario(running):
        await running.request("us", "PUT", "/any", Item("a", 1))
        assert value(await running.request("eu", "GET", "/any/a/0"))["left"] == 1
        apart(running, "eu", "us")
        assert value(await running.request("eu", "GET", "/any/a/60"))["left"] == 1
        refused = await running.request("eu", "GET", "/any/a/0")
        assert code(refused) == (503, "PROA-Q001")
        assert "eu has of us; the read allows 0 s" in msgspec.json.decode(refused.body)["detail"]
        assert value(await running.request("eu", "GET", "/any/a/none"))["left"] == 1
        assert value(await running.request("ap", "GET", "/any/a/0"))["left"] == 1

    run(tmp_path, scenario)


def test_a_region_that_a_plan_went_on_without_does_not_count_once_the_global_store_says_so(tmp_path):
    async def scenario(running):
        running.links.cut |= {(one, other) for one in REGIONS for other in REGIONS if "us" in (one, other)}
        assert code(await running.request("eu", "GET", "/any/a/0")) == (503, "PROA-Q001")
        assignment = without("us")
        running["eu"].authority.assume(assignment, float("inf"))
        assert code(await running.request("eu", "GET", "/any/a/0")) == (
            503,
            "PROA-Q001",
        )  # it may be back in a later one
        await assign(running, assignment)
        assert value(await running.request("eu", "GET", "/any/a/0"))["left"] == -1
        witness_away(running)
        assert code(await running.request("eu", "GET", "/any/a/0")) == (503, "PROA-Q001")

    run(tmp_path, scenario)


def test_a_strong_read_of_an_active_table_is_answered_by_the_active_region_while_its_lease_lasts(tmp_path):
    async def scenario(running):
        for region in running.regions.values():
            region.authority.assume(leading("eu"), float("inf"))
        await running.request("eu", "PUT", "/active", Item("a", 1))
        assert value(await running.request("eu", "GET", "/active/a/strong"))["left"] == 1
        assert code(await running.request("us", "GET", "/active/a/strong")) == (503, "PROA-R001")
        running["eu"].authority.assume(leading("eu"), running.clock.monotonic())
        assert code(await running.request("eu", "GET", "/active/a/strong")) == (503, "PROA-R001")

    run(tmp_path, scenario, shop("active-passive"))


def test_a_bounded_read_of_an_active_table_needs_the_active_region_alone(tmp_path):
    async def scenario(running):
        for region in running.regions.values():
            region.authority.assume(leading("eu"), float("inf"))
        await assign(running, leading("eu"))
        await running.request("eu", "PUT", "/active", Item("a", 1))
        apart(running, "us", "ap")
        apart(running, "eu", "ap")
        assert value(await running.request("eu", "GET", "/active/a/0"))["left"] == 1
        assert value(await running.request("us", "GET", "/active/a/0"))["left"] == 1
        assert code(await running.request("us", "GET", "/any/a/0")) == (503, "PROA-Q001")
        assert code(await running.request("ap", "GET", "/active/a/0")) == (503, "PROA-Q001")

    run(tmp_path, scenario, shop("active-passive"))


async def everywhere(running):
    assignment = Assignment(1, "active-active", dict.fromkeys(REGIONS, "active"))
    for region in running.regions.values():
        region.assume(assignment, float("inf"))
    return assignment


def test_a_strong_read_of_a_home_row_shows_every_write_whichever_region_is_asked(tmp_path):
    async def scenario(running):
        await everywhere(running)
        for number in range(20):
            writer, reader = REGIONS[number % 3], REGIONS[(number + 1) % 3]
            await running.request(writer, "PUT", "/home", Item("a", number))
            assert value(await running.request(reader, "GET", "/home/a/strong"))["left"] == number

    run(tmp_path, scenario)


def test_a_strong_read_of_a_home_row_is_answered_at_its_home_alone_and_while_its_lease_lasts(tmp_path):
    async def scenario(running):
        assignment = await everywhere(running)
        answers = {name: await running.request(name, "GET", "/home/a/strong") for name in REGIONS}
        homes = {dict(answer.headers).get("proa-home") for answer in answers.values()} - {None}
        assert len(homes) == 1
        for region in running.regions.values():
            region.assume(assignment, running.clock.monotonic())
        refused = {name: code(await running.request(name, "GET", "/home/a/strong")) for name in REGIONS}
        assert refused == dict.fromkeys(REGIONS, (503, "PROA-R008"))

    run(tmp_path, scenario)


def test_a_session_goes_with_a_strong_read_to_the_home(tmp_path):
    async def scenario(running):
        await everywhere(running)
        written = await running.request("eu", "PUT", "/home", Item("a", 1), session="")
        for region in REGIONS:
            session = dict(written.headers)["proa-session"]
            assert value(await running.request(region, "GET", "/home/a/strong", session=session))["left"] == 1

    run(tmp_path, scenario)
    run(tmp_path, scenario)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_bound_is_a_number_of_seconds(seconds):
    with pytest.raises(DeclarationError, match=r"bounded\(\) takes seconds from 0 on"):
        bounded(seconds)
