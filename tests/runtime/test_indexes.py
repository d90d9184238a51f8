"""Tables found by other fields than their key, inside units; and what a changed declaration does to rows."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from proa import App, Unprocessable, merge
from proa.errors import DeclarationError, SchemaIncompatible
from proa.ports import Conflict
from support.ends import ManualClock
from support.inproc import system
from support.units import units


@dataclass
class Order:
    id: str
    sku: str | None
    day: str = "mon"
    at: float = 0.0


class Customer(BaseModel):
    id: str
    town: str


class Note(msgspec.Struct):
    id: int
    topic: str


INDEXES = {"by_sku": "sku", "by_day": ("day", "at")}


def run(scenario, mode="any"):
    async def main():
        shop = App("shop", regions=["eu", "us"])
        orders = shop.table("orders", Order, key="id", indexes=INDEXES, mode=mode)
        async with units(shop) as made:
            await scenario(made, orders)

    asyncio.run(main())


def ids(page):
    return [row.id for row in page.rows]


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_an_index_finds_rows_by_a_field_and_sorts_them_by_another_or_by_key(mode):
    async def scenario(made, orders):
        rows = [Order("c", "boat"), Order("a", "boat", at=2.5), Order("b", None, at=-1.0), Order("d", "oar", "tue")]
        await made.put(orders, *rows)
        with made():
            assert ids(await orders.by("by_sku").query("boat")) == ["a", "c"]
            assert ids(await orders.by("by_day").query("mon")) == ["b", "c", "a"]
            assert ids(await orders.by("by_day").query("mon", after=-1, before=2.5)) == ["c"]
            assert ids(await orders.by("by_sku").query("boat", reverse=True, limit=1)) == ["c"]
            assert ids(await orders.by("by_sku").query("sail")) == []

    run(scenario, mode)


def test_a_unit_sees_its_own_writes_in_an_index_and_commits_only_over_the_rows_it_saw():
    async def scenario(made, orders):
        await made.put(orders, Order("a", "boat"), Order("b", "boat"), Order("c", "oar"))
        with made() as unit:
            await orders.put(Order("b", "oar"))
            await orders.put(Order("z", "boat"))
            await orders.delete("c")
            assert ids(await orders.by("by_sku").query("boat")) == ["a", "z"]
            assert ids(await orders.by("by_sku").query("oar")) == ["b"]
        await made.put(orders, Order("a", "sail"))
        assert await made.commit(unit) == Conflict(("orders", "a"))

    run(scenario)


def test_structs_and_pydantic_models_are_indexed_too():
    async def main():
        shop = App("shop", regions=["eu"])
        notes = shop.table("notes", Note, key="id", indexes={"by_topic": "topic"})
        customers = shop.table("customers", Customer, key="id", indexes={"by_town": "town"})
        async with units(shop) as made:
            await made.put(notes, Note(1, "sea"), Note(12, "sea"))
            await made.put(customers, Customer(id="a", town="Oslo"))
            with made():
                assert ids(await notes.by("by_topic").query("sea")) == [1, 12]
                assert ids(await customers.by("by_town").query("Oslo")) == ["a"]

    asyncio.run(main())


def test_a_sorted_table_has_indexes_across_its_keys():
    async def main():
        shop = App("shop", regions=["eu"])
        log = shop.table("log", Order, key="day", sort="at", indexes={"by_sku": ("sku", "at")})
        async with units(shop) as made:
            await made.put(log, Order("1", "boat", "mon", 2.0), Order("2", "boat", "tue", 1.0))
            with made():
                assert ids(await log.by("by_sku").query("boat")) == ["2", "1"]
                assert ids(await log.query("mon")) == ["1"]

    asyncio.run(main())


def test_an_index_finds_what_a_merge_made_of_concurrent_writes_in_both_regions():
    def larger(ours: Order, theirs: Order) -> Order:
        return Order(ours.id, max(ours.sku, theirs.sku), min(ours.day, theirs.day), max(ours.at, theirs.at))

    async def main():
        shop, clock = App("shop", regions=["eu", "us"]), ManualClock()
        orders = shop.table("orders", Order, key="id", indexes=INDEXES, merge=merge.function(larger))
        async with units(shop, "eu", clock) as eu, units(shop, "us", clock) as us:
            await eu.put(orders, Order("a", "boat", "tue", 5.0))
            await us.put(orders, Order("a", "oar", "mon", 3.0))
            await eu.pull(us)
            await us.pull(eu)
            for region in (eu, us):
                with region():
                    assert (await orders.by("by_sku").query("oar")).rows == [Order("a", "oar", "mon", 5.0)]
                    assert ids(await orders.by("by_day").query("mon", after=4.0)) == ["a"]
                    assert ids(await orders.by("by_sku").query("boat")) == []
                    assert ids(await orders.by("by_day").query("tue")) == []

    asyncio.run(main())


def test_what_no_index_can_hold_or_find_is_refused():
    async def scenario(made, orders):
        with made():
            with pytest.raises(Unprocessable, match="orders: expected a number, not nan"):
                await orders.put(Order("a", "boat", at=float("nan")))
            with pytest.raises(Unprocessable, match="cannot hold U\\+001F"):
                await orders.put(Order("a", "bo\x1fat"))
            with pytest.raises(Unprocessable, match="no sort value to be before or after"):
                await orders.by("by_sku").query("boat", after="a")
            with pytest.raises(KeyError, match="orders has no index 'by_at'; declared are by_sku, by_day"):
                orders.by("by_at")

    run(scenario)


@pytest.mark.parametrize(
    ("indexes", "message"),
    [
        ({"by_x": "x"}, "'x' is no field of Order"),
        ({"by sku": "sku"}, "index 'by sku' of sku cannot be kept"),
        ({"by_all": ("sku", "day", "at")}, "one or two fields"),
        ({"by_none": ()}, "one or two fields"),
    ],
)
def test_an_index_that_cannot_be_kept_is_refused_where_it_is_declared(indexes, message):
    with pytest.raises(DeclarationError, match=message):
        App("shop", regions=["eu"]).table("orders", Order, key="id", indexes=indexes)


ROWS = st.lists(
    st.builds(Order, st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", None]), st.just("mon"), st.floats(-9, 9)),
    max_size=12,
)


@given(ROWS, ROWS, st.booleans(), st.integers(1, 4))
def test_the_pages_of_an_index_are_the_matching_rows_in_order(committed, written, reverse, limit):
    async def scenario(made, orders):
        for row in committed:
            await made.put(orders, row)
        model = {row.id: row for row in committed + written}
        with made():
            for row in written:
                await orders.put(row)
            assert [row async for row in _all(orders.by("by_sku"), "x", limit=limit, reverse=reverse)] == sorted(
                (row for row in model.values() if row.sku == "x"), key=lambda row: row.id, reverse=reverse
            )
            assert [row async for row in _all(orders.by("by_day"), "mon", limit=limit, reverse=reverse)] == sorted(
                model.values(), key=lambda row: (row.at, row.id), reverse=reverse
            )

    run(scenario)


async def _all(index, value, **query):
    page = await index.query(value, **query)
    for row in page.rows:
        yield row
    while page.next:
        page = await index.query(value, start=page.next, **query)
        for row in page.rows:
            yield row


# Declarations that change.


@dataclass
class Longer:
    id: str
    sku: str | None
    day: str = "mon"
    at: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass
class Stricter:
    id: str
    sku: str | None
    weight: float
    day: str = "mon"
    at: float = 0.0


async def written(folder, mode):
    shop = App("shop", regions=["eu"])
    orders = shop.table("orders", Order, key="id", mode=mode)

    @shop.post("/orders")
    async def create(order: Order) -> None:
        await orders.put(order)

    async with system(shop, folder) as running:
        for name in ("a", "b"):
            assert (await running.request("eu", "POST", "/orders", {"id": name, "sku": "boat"})).status == 204


async def reopened(folder, mode, kind, **options):
    """What the table `orders`, declared anew, holds under `a`; and by its index, if it has one."""
    shop = App("shop", regions=["eu"])
    orders = shop.table("orders", kind, mode=mode, **{"key": "id", **options})

    @shop.get("/a")
    async def read() -> list[kind]:
        found = await orders.by("by_sku").query("boat") if "indexes" in options else None
        return found.rows if found else [await orders.get("a")]

    async with system(shop, folder) as running:
        return msgspec.json.decode((await running.request("eu", "GET", "/a")).body, type=list[kind])


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_an_added_field_with_a_default_and_an_added_index_read_old_rows(tmp_path, mode):
    async def main():
        await written(tmp_path, mode)
        assert await reopened(tmp_path, mode, Longer) == [Longer("a", "boat")]
        assert await reopened(tmp_path, mode, Order, indexes=INDEXES) == [Order("a", "boat"), Order("b", "boat")]

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["any", "strong"])
@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (Stricter, {}, "missing required field `weight`"),
        (Order, {"key": "sku"}, "its key would be 'boat'"),
        (Order, {"sort": "day"}, "its key would be 'a\\\\x1fmon'"),
    ],
)
def test_a_declaration_that_does_not_fit_the_rows_is_refused_at_the_start(tmp_path, mode, kind, options, reason):
    async def main():
        await written(tmp_path, mode)
        with pytest.raises(
            SchemaIncompatible, match=f"2 rows of table orders cannot be read, among them 'a': .*{reason}"
        ):
            await reopened(tmp_path, mode, kind, **options)
        assert await reopened(tmp_path, mode, Order) == [Order("a", "boat")]

    asyncio.run(main())
