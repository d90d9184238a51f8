"""Queries inside units: what they return, what the commit checks of it, and pages that survive other writers."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa import App, Page, Unprocessable
from proa.errors import DeclarationError
from proa.ports import Committed, Conflict
from support.ends import ManualClock
from support.units import units


@dataclass
class Event:
    device: str
    at: int
    text: str = ""


def app():
    return App("log", regions=["eu", "us"])


def run(scenario, mode="any"):
    async def main():
        shop = app()
        events = shop.table("events", Event, key="device", sort="at", mode=mode)
        async with units(shop) as made:
            await scenario(made, events)

    asyncio.run(main())


def ats(page):
    return [row.at for row in page.rows]


async def walked(events, start, way, **query):
    """The rows of this page and of those that follow it."""
    pages = [await events.query("a", start=start, **query)]
    while cursor := getattr(pages[-1], way):
        pages.append(await events.query("a", start=cursor, **query))
    return [ats(page) for page in pages]


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_rows_under_one_key_come_in_the_order_of_their_sort_value(mode):
    async def scenario(made, events):
        await made.put(events, *(Event("a", at) for at in (10, 2, -5, 33)), Event("b", 7), Event("a ", 8))
        with made():
            assert ats(await events.query("a")) == [-5, 2, 10, 33]
            assert ats(await events.query("a", reverse=True)) == [33, 10, 2, -5]
            assert ats(await events.query("a", after=-5, before=33)) == [2, 10]
            assert await events.query("c") == Page([])
            assert await events.get("a", 2) == Event("a", 2)
            assert await events.get("a", 3, None) is None

    run(scenario, mode)


def test_a_unit_sees_its_own_writes_in_its_queries():
    async def scenario(made, events):
        await made.put(events, *(Event("a", at) for at in range(5)))
        with made():
            await events.put(Event("a", 2, "new"))
            await events.put(Event("a", 9))
            await events.put(Event("b", 1))
            await events.delete("a", 0)
            await events.delete("a", 3)
            assert (await events.query("a", limit=2)).rows == [Event("a", 1), Event("a", 2, "new")]
            assert ats(await events.query("a", limit=4)) == [1, 2, 4, 9]

    run(scenario)


def test_every_row_that_a_query_returned_is_checked_at_commit():
    async def scenario(made, events):
        await made.put(events, *(Event("a", at) for at in range(3)))
        with made() as unit:
            await events.query("a", limit=2)
            await events.put(Event("sum", 0))
        await made.put(events, Event("a", 1, "changed"))
        assert await made.commit(unit) == Conflict(("events", events.key_of("a", 1)))

    run(scenario)


def test_rows_beyond_the_page_and_rows_that_appear_in_its_range_are_not_checked():
    async def scenario(made, events):
        await made.put(events, *(Event("a", at) for at in (1, 3, 5)))
        with made() as unit:
            await events.query("a", limit=2)
            await events.put(Event("sum", 0))
        await made.put(events, Event("a", 2, "a phantom"), Event("a", 5, "changed"))
        assert isinstance(await made.commit(unit), Committed)

    run(scenario)


def test_phantoms_are_noticed_by_units_that_read_a_row_which_the_writers_write():
    async def scenario(made, events):
        async def append(at):
            with made() as unit:
                count = await events.get("count", 0, Event("count", 0, "0"))
                assert len((await events.query("a")).rows) == int(count.text)
                await events.put(Event("count", 0, str(int(count.text) + 1)))
                await events.put(Event("a", at))
            return unit

        first, second = await append(1), await append(2)
        assert isinstance(await made.commit(first), Committed)
        assert await made.commit(second) == Conflict(("events", events.key_of("count", 0)))

    run(scenario)


def test_pages_go_on_where_the_last_one_ended_whatever_was_written_in_between():
    async def scenario(made, events):
        await made.put(events, *(Event("a", at) for at in range(0, 60, 10)))
        with made():
            first = await events.query("a", limit=3)
        assert (ats(first), first.previous) == ([0, 10, 20], None)
        await made.put(events, Event("a", 5), Event("a", 25))
        await made.delete(events, "a", 20)
        with made():
            second = await events.query("a", limit=3, start=first.next)
            assert ats(second) == [25, 30, 40]
            assert await walked(events, second.next, "next", limit=3) == [[50]]
            assert await walked(events, second.previous, "previous", limit=3) == [[0, 5, 10]]
            last = await events.query("a", limit=3, start=second.next)
            assert await walked(events, last.previous, "previous", limit=3) == [[25, 30, 40], [0, 5, 10]]

    run(scenario)


def test_a_page_whose_rows_are_gone_leads_back():
    async def scenario(made, events):
        await made.put(events, Event("a", 1), Event("a", 2))
        with made():
            first = await events.query("a", limit=1)
        await made.delete(events, "a", 2)
        with made():
            gone = await events.query("a", limit=1, start=first.next)
            assert (gone.rows, gone.next) == ([], None)
            assert ats(await events.query("a", limit=1, start=gone.previous)) == [1]

    run(scenario)


def test_a_page_is_an_answer():
    page = Page([Event("a", 1)], "n", None)
    assert msgspec.json.encode(page) == b'{"rows":[{"device":"a","at":1,"text":""}],"next":"n","previous":null}'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "a page has 1 to 1,000 rows, not 0"),
        ({"limit": 1001}, "a page has 1 to 1,000 rows, not 1,001"),
        ({"start": "?"}, "'\\?' is no cursor of a page"),
        ({"start": "AAAA"}, "is no cursor"),
        ({"start": "ü"}, "is no cursor"),
        ({"after": "x"}, "events: expected a whole number of 64 bits, not 'x'"),
    ],
)
def test_what_no_query_can_mean_is_refused(options, message):
    async def scenario(made, events):
        with made(), pytest.raises(Unprocessable, match=message):
            await events.query("a", **options)

    run(scenario)


def test_a_cursor_of_another_query_is_refused():
    async def scenario(made, events):
        await made.put(events, Event("a", 1), Event("a", 2))
        with made():
            page = await events.query("a", limit=1)
            with pytest.raises(Unprocessable, match="belongs to another query"):
                await events.query("b", start=page.next)

    run(scenario)


@pytest.mark.parametrize(
    ("sort", "message"), [("none", "'none' is no field of Event"), ("tags", "rows cannot be sorted by 'tags'")]
)
def test_a_sort_key_is_a_field_whose_values_have_an_order(sort, message):
    @dataclass
    class Event:
        device: str
        tags: list[str]

    with pytest.raises(DeclarationError, match=message):
        app().table("events", Event, key="device", sort=sort)


ROWS = st.dictionaries(st.integers(-20, 20), st.sampled_from(["x", "y"]), max_size=15)
CHANGES = st.dictionaries(st.integers(-20, 20), st.sampled_from(["z", None]), max_size=8)
BOUNDS = st.none() | st.integers(-22, 22)


@given(ROWS, CHANGES, CHANGES, BOUNDS, BOUNDS, st.booleans(), st.integers(1, 6))
def test_a_query_is_a_slice_of_the_sorted_rows_a_page_at_a_time_either_way(
    stored, committed, written, after, before, reverse, limit
):
    """`stored` and `committed` come before the unit, `written` is its own."""

    async def change(events, rows):
        for at, text in rows.items():
            await (events.delete("a", at) if text is None else events.put(Event("a", at, text)))

    async def scenario(made, events):
        for rows in (stored, committed):
            with made() as unit:
                await change(events, rows)
            await made.commit(unit)
        model = {at: text for at, text in (stored | committed | written).items() if text}
        expected = [at for at in sorted(model, reverse=reverse) if _inside(at, after, before)]
        query = {"after": after, "before": before, "reverse": reverse, "limit": limit}
        with made():
            await change(events, written)
            pages = await walked(events, None, "next", **query)
            assert [at for page in pages for at in page] == expected
            assert all(len(page) == limit for page in pages[:-1])
            last = await events.query("a", **query)
            while last.next:
                last = await events.query("a", start=last.next, **query)
            if last.previous:
                back = await walked(events, last.previous, "previous", **query)
                assert [at for page in reversed(back) for at in page] + ats(last) == expected

    run(scenario)


STEPS = st.lists(
    st.tuples(st.sampled_from(["eu", "us"]), st.integers(-3, 3), st.sampled_from(["x", "y", None]), st.booleans()),
    max_size=15,
)
"""Who writes which row, what (None deletes), and whether the regions meet afterwards."""


@given(STEPS, st.booleans(), st.integers(1, 3))
def test_in_every_region_a_query_is_a_slice_of_what_was_written_last_anywhere(steps, reverse, limit):
    async def scenario():
        clock, shop = ManualClock(), app()
        events = shop.table("events", Event, key="device", sort="at", indexes={"by_text": ("text", "at")})
        async with units(shop, "eu", clock) as eu, units(shop, "us", clock) as us:
            regions, model = {"eu": eu, "us": us}, {}
            for name, at, text, meet in steps:
                clock.time += 0.01
                region = regions[name]
                await (region.delete(events, "a", at) if text is None else region.put(events, Event("a", at, text)))
                model[at] = text
                if meet:
                    await eu.pull(us)
            await eu.pull(us)
            await us.pull(eu)
            expected = sorted((at for at, text in model.items() if text), reverse=reverse)
            texts = sorted((at for at, text in model.items() if text == "x"), reverse=reverse)
            for region in regions.values():
                with region():
                    pages = await walked(events, None, "next", reverse=reverse, limit=limit)
                    assert [at for page in pages for at in page] == expected
                    assert ats(await events.by("by_text").query("x", reverse=reverse)) == texts

    asyncio.run(scenario())


def _inside(at, after, before):
    return (after is None or at > after) and (before is None or at < before)
