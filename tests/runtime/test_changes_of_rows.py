"""Conditions, updates by field and reads of many rows, inside units."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from proa import AlreadyExists, App, ConditionFailed, NotFound, Unprocessable, add, append, assign, remove
from proa.declare.updates import changed
from proa.ports import Committed, Conflict
from support.units import units


@dataclass
class Item:
    sku: str
    left: int = 0
    tags: list[str] = field(default_factory=list)
    note: str | None = None


class Plain(msgspec.Struct, frozen=True):
    sku: str
    left: int = 0
    tags: tuple[str, ...] = ()
    note: str | None = None


class Model(BaseModel):
    sku: str
    left: int = 0
    tags: set[str] = set()
    note: str | None = None


def run(scenario, mode="any", **options):
    async def main():
        shop = App("shop", regions=["eu"])
        items = shop.table("items", Item, key="sku", mode=mode, **options)
        async with units(shop) as made:
            await scenario(made, items)

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_insert_wants_no_row_and_replace_wants_one(mode):
    store = "global" if mode == "strong" else "regional"

    async def scenario(made, items):
        with made(store):
            await items.insert(Item("a", 1))
            with pytest.raises(AlreadyExists, match="items has a row 'a'"):
                await items.insert(Item("a", 2))
            await items.replace(Item("a", 3))
            with pytest.raises(NotFound, match="items has no row 'b'"):
                await items.replace(Item("b"))
            assert await items.get("a") == Item("a", 3)

    run(scenario, mode)


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_of_two_units_that_insert_one_row_one_commits(mode):
    async def scenario(made, items):
        inserts = []
        for left in (1, 2):
            with made("global" if mode == "strong" else "regional") as unit:
                await items.insert(Item("a", left))
            inserts.append(unit)
        assert isinstance(await made.commit(inserts[0]), Committed)
        assert await made.commit(inserts[1]) == Conflict(("items", "a"))

    run(scenario, mode)


def test_a_condition_is_asked_of_the_row_as_it_is_and_holds_until_the_commit():
    async def scenario(made, items):
        with made():
            await items.put(Item("a", 1), only_if=lambda old: old is None)
            with pytest.raises(ConditionFailed, match="items keeps the row 'a' as it is"):
                await items.put(Item("a", 2), only_if=lambda old: old is None)
            await items.put(Item("a", 2), only_if=lambda old: old is not None and old.left == 1)
            with pytest.raises(ConditionFailed):
                await items.delete("a", only_if=lambda old: old.left == 1)
            with pytest.raises(ConditionFailed):
                await items.update("a", add(left=-3), only_if=lambda old: old.left >= 3)
            assert await items.get("a") == Item("a", 2)
            await items.delete("a", only_if=lambda old: old.left == 2)
            with pytest.raises(NotFound):
                await items.delete("a", only_if=lambda old: old.left == 2)
            await items.delete("a")
        with made() as unit:
            await items.put(Item("b", 1), only_if=lambda old: old is None)
        await made.put(items, Item("b", 9))
        assert await made.commit(unit) == Conflict(("items", "b"))

    run(scenario)


def test_an_update_changes_fields_of_the_row_and_returns_it():
    async def scenario(made, items):
        await made.put(items, Item("a", 5, ["old"], "fragile"))
        with made():
            expected = Item("a", 3, ["old", "new"])
            assert await items.update("a", add(left=-2), append(tags="new"), remove("note")) == expected
            assert await items.get("a") == expected
            with pytest.raises(NotFound, match="items has no row 'b'"):
                await items.update("b", add(left=1))
            with pytest.raises(TypeError, match="would make another row of 'a'"):
                await items.update("a", assign(sku="b"))

    run(scenario)


def test_sorted_rows_are_inserted_updated_and_deleted_by_both_their_keys():
    async def scenario(made, items):
        with made():
            for left in (1, 2):
                await items.insert(Item("a", left))
            assert await items.update("a", 2, append(tags="x"), only_if=lambda old: not old.tags) == Item("a", 2, ["x"])
            await items.delete("a", 1, only_if=lambda old: old.tags == [])
            assert await items.get_many([("a", 2), ("a", 1)]) == [Item("a", 2, ["x"]), None]
            with pytest.raises(NotFound, match="items has no row \\('a', 1\\)"):
                await items.update("a", 1, remove("note"))

    run(scenario, sort="left")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Item("a", 1, ["x"], "n"), Item("a", 3, ["x", "y"])),
        (Plain("a", 1, ("x",), "n"), Plain("a", 3, ("x", "y"))),
        (Model(sku="a", left=1, tags={"x"}, note="n"), Model(sku="a", left=3, tags={"x", "y"})),
    ],
)
def test_every_kind_of_model_can_be_changed_and_the_old_value_stays_as_it_is(row, expected):
    before = repr(row)
    assert changed(row, (add(left=1), add(left=1), append(tags="y"), remove("note"))) == expected
    assert changed(expected, (remove("tags", "left"),)) == type(row)(sku="a")
    assert repr(row) == before


@pytest.mark.parametrize("row", [Item("a"), Plain("a"), Model(sku="a")])
def test_fields_that_are_not_there_or_have_no_default_are_refused(row):
    with pytest.raises(TypeError, match="no field"):
        changed(row, (remove("colour"),))
    with pytest.raises(TypeError, match="sku with a default to go back to"):
        changed(row, (remove("sku"),))
    with pytest.raises(TypeError, match="colour"):
        changed(row, (assign(colour="red"),))


def test_defaults_made_by_a_factory_are_not_shared():
    one, other = (changed(Item("a", 0, ["x"]), (remove("tags"),)) for _ in range(2))
    one.tags.append("y")
    assert other.tags == []


def test_a_pydantic_model_checks_its_new_values():
    with pytest.raises(ValueError, match="valid integer"):
        changed(Model(sku="a"), (assign(left="many"),))


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_many_rows_are_read_in_one_call_with_the_units_own_among_them(mode):
    store = "global" if mode == "strong" else "regional"

    async def scenario(made, items):
        await made.put(items, Item("a", 1), Item("b", 2), Item("c", 3))
        with made(store) as unit:
            await items.put(Item("b", 20))
            await items.get("c")
            calls = _counted(made.strong if mode == "strong" else made.store)
            wanted = ["c", "x", "b", "a", "a"]
            expected = [Item("c", 3), None, Item("b", 20), Item("a", 1), Item("a", 1)]
            assert await items.get_many(wanted) == expected
            assert await items.get_many(wanted) == expected
            assert calls == [[("items", "x"), ("items", "a"), ("items", "a")]]
            assert await items.get_many([]) == []
        await made.put(items, Item("x"))
        assert await made.commit(unit) == Conflict(("items", "x"))

    run(scenario, mode)


def _counted(store):
    calls, read = [], store.read

    async def counted(keys):
        calls.append(list(keys))
        return await read(keys)

    store.read = counted
    return calls


def test_a_key_that_none_can_be_is_refused_among_many():
    async def scenario(made, items):
        with made(), pytest.raises(Unprocessable, match="items: a key is"):
            await items.get_many(["a", ""])

    run(scenario)


@given(st.lists(st.integers(-5, 5), max_size=6))
def test_updates_add_up_however_often_their_units_lost_a_race(amounts):
    async def scenario(made, items):
        await made.put(items, Item("a"))
        waiting = list(amounts)
        while waiting:
            attempts = []
            for amount in waiting:
                with made() as unit:
                    await items.update("a", add(left=amount))
                attempts.append((amount, unit))
            results = [(amount, await made.commit(unit)) for amount, unit in attempts]
            waiting = [amount for amount, result in results if isinstance(result, Conflict)]
            assert len(waiting) == len(results) - 1
        with made():
            assert (await items.get("a")).left == sum(amounts)

    run(scenario)
