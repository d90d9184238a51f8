"""Rows that expire: from that moment on no reader sees them, whether or not they are still kept."""

import asyncio
from dataclasses import dataclass

import pytest

from proa import AlreadyExists, App, NotFound, Unprocessable, assign
from proa.errors import DeclarationError
from proa.ports import Committed
from support.units import units

NOW = 1_000_000.0


@dataclass
class Session:
    id: str
    user: str = "u"
    until: float | None = None


def run(scenario, mode="any", **options):
    async def main():
        shop = App("shop", regions=["eu"])
        table = shop.table(
            "sessions", Session, mode=mode, expires="until", indexes={"by_user": "user"}, **{"key": "id", **options}
        )
        async with units(shop) as made:
            await scenario(made, table)

    asyncio.run(main())


def ids(page):
    return [row.id for row in page.rows]


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_an_expired_row_is_not_there_for_reads_queries_and_conditions(mode):
    store = "global" if mode == "strong" else "regional"

    async def scenario(made, sessions):
        await made.put(sessions, Session("a", until=NOW + 10), Session("b"), Session("c", until=NOW + 5))
        made.clock.time = NOW + 9.9
        with made(store):
            assert ids(await sessions.by("by_user").query("u")) == ["a", "b"]
            assert await sessions.get("c", None) is None
        made.clock.time = NOW + 10
        with made(store) as unit:
            assert ids(await sessions.by("by_user").query("u")) == ["b"]
            assert await sessions.get_many(["a", "b"]) == [None, Session("b")]
            with pytest.raises(NotFound):
                await sessions.update("a", assign(until=None))
            await sessions.insert(Session("a", "again"))
            with pytest.raises(AlreadyExists):
                await sessions.insert(Session("a"))
        assert isinstance(await made.commit(unit), Committed)
        with made(store):
            assert await sessions.get("a") == Session("a", "again")

    run(scenario, mode)


def test_a_page_is_full_although_rows_before_it_expired_and_own_ones_count_too():
    async def scenario(made, sessions):
        await made.put(sessions, *(Session(f"{n}", until=NOW + n % 2) for n in range(8)))
        with made():
            await sessions.put(Session("1", until=NOW))
            await sessions.put(Session("4", until=NOW + 1))
            assert await sessions.get("1", None) is None
            assert ids(await sessions.by("by_user").query("u", limit=3)) == ["3", "4", "5"]
            assert ids(await sessions.by("by_user").query("u")) == ["3", "4", "5", "7"]

    run(scenario)


def test_an_expiry_can_be_put_off_and_taken_away():
    async def scenario(made, sessions):
        await made.put(sessions, Session("a", until=NOW + 1), Session("b", until=NOW + 1))
        with made() as unit:
            await sessions.update("a", assign(until=NOW + 100))
            await sessions.update("b", assign(until=None))
        await made.commit(unit)
        made.clock.time = NOW + 50
        with made():
            assert (await sessions.get("a")).until == NOW + 100
        made.clock.time = NOW + 500
        with made():
            assert await sessions.get_many(["a", "b"]) == [None, Session("b")]

    run(scenario)


@pytest.mark.parametrize("until", [float("nan"), float("inf")])
def test_an_expiry_that_is_no_time_is_refused(until):
    async def scenario(made, sessions):
        with made(), pytest.raises(Unprocessable, match="a number of seconds or never"):
            await sessions.put(Session("a", until=until))

    run(scenario)


@pytest.mark.parametrize(("field", "message"), [("user", "rows cannot expire at 'user'"), ("x", "'x' is no field")])
def test_a_field_that_is_no_time_is_refused_where_it_is_declared(field, message):
    with pytest.raises(DeclarationError, match=message):
        App("shop", regions=["eu"]).table("sessions", Session, key="id", expires=field)
