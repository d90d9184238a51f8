"""Reads at a level, in regions on real files: what each shows, waits for, and refuses."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, bounded, local, strong
from proa.core.replicate.journal import Write
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.ports import Batch
from support.inproc import system

REGIONS = ["eu", "us", "ap"]
LEVELS = {"strong": strong, "local": local, "none": None}


@dataclass
class Item:
    id: str
    left: int = 0
    kind: str = "k"


def level_of(name):
    return LEVELS[name] if name in LEVELS else bounded(float(name))


def shop(topology="active-active", **options):
    app = App("shop", regions=REGIONS, topology=topology, **options)
    tables = {"any": app.table("items", Item, key="id", mode="any", indexes={"by_kind": "kind"})}
    tables["strong"] = app.table("stock", Item, key="id", mode="strong", indexes={"by_kind": "kind"})
    if topology == "active-passive":
        tables["active"] = app.table("jobs", Item, key="id", mode="active")

    for mode, table in tables.items():
        _routes(app, mode, table)
    return app


def _routes(app, mode, table):
    @app.get(f"/{mode}/{{id}}/{{level}}", timeout_s=1)
    async def get(id: str, level: str) -> Item:
        return await table.get(id, Item(id, -1), level=level_of(level))

    @app.get(f"/{mode}-many/{{level}}", timeout_s=1)
    async def many(level: str) -> list[int]:
        return [row.left if row else -1 for row in await table.get_many(["a", "b"], level=level_of(level))]

    @app.put(f"/{mode}", unit="global" if mode == "strong" else "regional", timeout_s=1)
    async def put(item: Item) -> None:
        await table.put(item)

    @app.delete(f"/{mode}/{{id}}", unit="global" if mode == "strong" else "regional", timeout_s=1)
    async def remove(id: str) -> None:
        await table.delete(id)

    @app.post(f"/{mode}/{{id}}/take/{{level}}", unit="global" if mode == "strong" else "regional", timeout_s=1)
    async def take(id: str, level: str) -> Item:
        """Read at a level, then write what follows from it."""
        item = await table.get(id, level=level_of(level))
        item.left -= 1
        await table.put(item)
        return item

    if mode != "active":

        @app.get(f"/{mode}-query/{{level}}", timeout_s=1)
        async def query(level: str) -> list[str]:
            page = await table.by("by_kind").query("k", level=level_of(level))
            return [row.id for row in page.rows]


def value(answer):
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body)


def code(answer):
    return answer.status, msgspec.json.decode(answer.body)["code"]


def run(tmp_path, scenario, app=None):
    async def main():
        async with system(app or shop(), tmp_path) as running:
            await scenario(running)

    asyncio.run(main())


def witness_away(running, *regions):
    running.links.cut |= {(region, "witness") for region in regions or REGIONS}


def apart(running, one, other):
    running.links.cut |= {(one, other), (other, one)}


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


def test_levels_that_a_mode_cannot_give_are_refused_with_what_to_use_instead(tmp_path):
    async def scenario(running):
        for path, advice in (("/any/a/strong", "bounded(seconds)"), ("/strong/a/local", "bounded(seconds)")):
            refused = await running.request("eu", "GET", path)
            assert code(refused) == (500, "PROA-D001")
            assert advice in msgspec.json.decode(refused.body)["detail"]

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


def without(region, epoch=2):
    """A plan went on without this region."""
    roles = {name: "down" if name == region else "active" for name in REGIONS}
    return Assignment(epoch, "active-active", roles, revoked={region: epoch - 1})


async def assign(running, assignment):
    write = Write(ROLES, ROLES_KEY, msgspec.msgpack.encode(assignment), "strong")
    await running.store.commit(Batch("roles", {}, [write]))


def test_a_region_that_a_plan_went_on_without_does_not_count_once_the_global_store_says_so(tmp_path):
    async def scenario(running):
        running.links.cut |= {(one, other) for one in REGIONS for other in REGIONS if "us" in (one, other)}
        assert code(await running.request("eu", "GET", "/any/a/0")) == (503, "PROA-Q001")
        assignment = without("us")
        running["eu"].authority.assume(assignment, float("inf"))
        assert code(await running.request("eu", "GET", "/any/a/0")) == (503, "PROA-Q001")  # it may be back in a later one
        await assign(running, assignment)
        assert value(await running.request("eu", "GET", "/any/a/0"))["left"] == -1
        witness_away(running)
        assert code(await running.request("eu", "GET", "/any/a/0")) == (503, "PROA-Q001")

    run(tmp_path, scenario)


def leading(region, epoch=1):
    roles = {name: "active" if name == region else "standby" for name in REGIONS}
    return Assignment(epoch, "active-passive", roles)


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


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_bound_is_a_number_of_seconds(seconds):
    with pytest.raises(Exception, match="bounded\\(\\) takes seconds from 0 on"):
        bounded(seconds)
