"""The streams' part of the control API: how far each has come, and what operators may have them do, audited."""

import asyncio
from dataclasses import dataclass

from test_tables_api import Town

from proa import App, Change
from proa.control.audit import read_log
from proa.core.roles import Assignment
from support.inproc import system

ROLES = Assignment(1, "active-active", {"eu": "active", "us": "active"})


@dataclass
class Order:
    id: str


@dataclass
class Total:
    id: str
    orders: int = 0


def shop(refused):
    app = App("shop", regions=["eu", "us"])
    orders = app.table("orders", Order, key="id")
    totals = app.table("totals", Total, key="id")

    @orders.changes(name="totals", start="beginning")
    async def count(change: Change[Order]) -> None:
        if change.key in refused:
            raise KeyError(change.key)
        total = await totals.get(change.region, Total(change.region))
        await totals.put(Total(change.region, total.orders + 1))

    @count.reset
    async def clear(region: str) -> None:
        await totals.delete(region)

    @app.put("/orders/{id}")
    async def write(id: str) -> None:
        await orders.put(Order(id))

    return app


def play(folder, story, refused=()):
    async def main():
        async with system(shop(set(refused)), folder) as s:
            for region in s.regions.values():
                region.assume(ROLES, s.clock.monotonic() + 60)
            await story(s, await Town(s).hire())

    asyncio.run(main())


async def shown(town, region, good):
    """What a region says of its own origin's stream, once that is `good`."""
    async with asyncio.timeout(10):
        while True:
            _, said = await town.call(region, "GET", "streams", who="viewer")
            for one in said["streams"]:
                if one["origin"] == f"{region}/1" and good(one):
                    return one
            await asyncio.sleep(0.01)


def test_each_region_tells_of_the_streams_that_it_processes(tmp_path):
    async def story(s, town):
        await s.request("eu", "PUT", "/orders/1")
        await s.request("us", "PUT", "/orders/2")
        for region in ("eu", "us"):
            one = await shown(town, region, lambda one: one["position"] and not one["lag"])
            assert (one["stream"], one["failing"], one["attempts"]) == ("totals", "", 0)
        _, said = await town.call("eu", "GET", "streams")
        assert {one["origin"] for one in said["streams"]} == {"eu/1"}

    play(tmp_path, story)


def test_what_fails_is_told_with_how_often_and_for_how_long(tmp_path):
    async def story(s, town):
        await s.request("eu", "PUT", "/orders/bad")
        one = await shown(town, "eu", lambda one: one["attempts"] > 1)
        assert (one["position"], one["lag"] > 0, one["failing"], one["failing_s"] > 0) == (0, True, "KeyError", True)

    play(tmp_path, story, refused=["bad"])


async def noted(s):
    entry = (await read_log(s.store))[0][-1].entry
    return (entry.by, entry.action, entry.detail)


def test_an_operator_has_a_stream_rebuilt_and_a_viewer_has_not(tmp_path):
    async def story(s, town):
        await s.request("eu", "PUT", "/orders/1")
        await shown(town, "eu", lambda one: one["position"] and not one["lag"])
        asked = {"stream": "totals", "why": "wrong sums"}
        assert (await town.call("eu", "POST", "streams/rebuild", asked, who="viewer"))[0] == 403
        assert await town.call("eu", "POST", "streams/rebuild", asked) == (200, {"regions": ["eu"]})
        assert await noted(s) == ("operator", "stream to be rebuilt", {**asked, "region": "eu"})
        await shown(town, "eu", lambda one: one["position"] and not one["lag"])
        (total,) = await s["eu"].store.read([("totals", "eu")])
        assert s.app.table_of("totals").decode(total.value) == Total("eu", 1)
        assert (await town.call("eu", "POST", "streams/rebuild", {"stream": "sums"}))[0] == 404

    play(tmp_path, story)


def test_an_operator_skips_what_fails_once(tmp_path):
    async def story(s, town):
        await s.request("eu", "PUT", "/orders/bad")
        one = await shown(town, "eu", lambda one: one["failing"])
        asked = {"stream": "totals", "origin": "eu/1", "position": one["position"], "why": "no"}
        assert await town.call("eu", "POST", "streams/skip", asked) == (200, {"skipped": ["bad"]})
        after = f"eu/1:{one['position']}"
        detail = {"stream": "totals", "after": after, "why": "no", "region": "eu"}
        assert await noted(s) == ("operator", "change of a stream to be skipped", detail)
        assert (await town.call("eu", "POST", "streams/skip", asked))[0] == 422
        await shown(town, "eu", lambda one: not one["failing"])

    play(tmp_path, story, refused=["bad"])
