"""Change streams: each change is told once, by the region that made it or by its stand-in."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, Change
from proa.core.home import Place
from proa.core.roles import Assignment, Cut
from proa.errors import DeclarationError
from proa.runtime import streams
from proa.runtime.events import StreamFailed
from proa.runtime.streams import POSITIONS
from support.inproc import everybody, system, until

REGIONS = ["eu", "us"]


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Total:
    id: str
    changes: int = 0
    qty: int = 0


class Told:
    """What handlers were told, and what they should raise."""

    def __init__(self):
        self.changes = []
        self.raises = None


def shop(told, **options):
    app = App("shop", regions=REGIONS)
    orders = app.table("orders", Order, key="id")
    totals = app.table("totals", Total, key="id")

    @orders.changes(name="totals", **{"start": "beginning"} | options)
    async def count(change: Change[Order]) -> None:
        if told.raises:
            raise told.raises
        total = await totals.get(change.region, Total(change.region))
        qty = 0 if change.row is None else change.row.qty
        await totals.put(Total(change.region, total.changes + 1, total.qty + qty))
        told.changes.append(change)

    @app.put("/orders/{id}")
    async def write(id: str, body: Order) -> None:
        await orders.put(body)

    @app.delete("/orders/{id}")
    async def remove(id: str) -> None:
        await orders.delete(id)

    @app.get("/totals/{id}")
    async def read(id: str) -> Total:
        return await totals.get(id, Total(id))

    return app


def run(folder, scenario, **options):
    told = Told()

    async def main():
        async with system(shop(told, **options), folder) as running:
            for region in running.regions.values():
                take(region, everybody())
            await scenario(running, told)

    asyncio.run(main())


def take(region, assignment):
    """Roles as the control plane hands them out."""
    region.assume(assignment, region._ports.clock.monotonic() + 60)


async def write(s, region, number, prefix=""):
    for one in range(number):
        await s.request(region, "PUT", f"/orders/{prefix}{one}", Order(f"{prefix}{one}", one))


async def total(s, region, of):
    return msgspec.json.decode((await s.request(region, "GET", f"/totals/{of}")).body, type=Total)


def test_each_region_tells_its_own_changes_once_and_in_order(tmp_path):
    async def scenario(s, told):
        await write(s, "eu", 30)
        await write(s, "us", 10, "us")
        await s.request("eu", "DELETE", "/orders/3")

        async def complete():
            return (await total(s, "eu", "eu")).changes == 31 and (await total(s, "us", "us")).changes == 10

        await until(complete)
        await s.settled()
        assert await total(s, "us", "eu") == Total("eu", 31, sum(range(30)))
        mine = [change for change in told.changes if change.region == "eu"]
        assert [change.key for change in mine] == [*map(str, range(30)), "3"]
        assert [change.deleted for change in mine[-2:]] == [False, True]

    run(tmp_path, scenario)


def test_many_changes_share_a_commit_and_an_idle_stream_commits_nothing(tmp_path):
    async def scenario(s, told):
        told.raises = RuntimeError("not yet")
        await write(s, "eu", 200)
        told.raises = None

        async def complete():
            return (await total(s, "eu", "eu")).changes == 200

        await until(complete)
        head = await s["eu"].store.flush()
        assert head < 220
        await asyncio.sleep(0.1)
        assert s["eu"].store.head == head

    run(tmp_path, scenario, batch=50)


def test_commits_of_one_region_make_no_stream_read_what_it_knows_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "IDLE_S", 3600.0)

    async def scenario(s, told):
        await write(s, "us", 1, "us")
        await write(s, "eu", 1)
        await until(lambda: len(told.changes) == 2)
        await s.settled()
        read = positions_read(s.regions["us"].store)
        await write(s, "eu", 20)
        await until(lambda: len(told.changes) == 22)
        await s.settled()
        assert set(read) == {"totals\x1feu/1"}

    run(tmp_path, scenario)


def positions_read(store):
    """The positions that are read from now on."""
    read, asked = store.read, []

    async def noted(keys):
        asked.extend(key for table, key in keys if table == POSITIONS)
        return await read(keys)

    store.read = noted
    return asked


def test_a_handler_that_fails_is_tried_again_and_tells_why(tmp_path):
    async def scenario(s, told):
        told.raises = RuntimeError("not yet")
        await write(s, "eu", 3)

        async def failed():
            return any(one["failing"] for one in s["eu"].status().streams)

        await until(failed)
        assert any(isinstance(event, StreamFailed) and event.error == "RuntimeError" for event in s.events)
        (status,) = [one for one in s["eu"].status().streams if one["origin"] == "eu/1"]
        assert (status["position"], status["failing"], status["lag"] >= 3) == (0, "RuntimeError", True)
        told.raises = None

        async def complete():
            return (await total(s, "eu", "eu")).changes == 3

        await until(complete)
        assert s["eu"].status().streams[0]["failing"] == ""

    run(tmp_path, scenario)


def test_a_stream_goes_on_where_it_was_after_a_start(tmp_path):
    async def scenario(s, told):
        await write(s, "eu", 5)

        async def five():
            return (await total(s, "eu", "eu")).changes == 5

        await until(five)
        await s.stop("eu")
        take(await s.start("eu"), everybody())
        await write(s, "eu", 2, "more")

        async def seven():
            return (await total(s, "eu", "eu")).changes == 7

        await until(seven)
        assert [change.key for change in told.changes][-2:] == ["more0", "more1"]

    run(tmp_path, scenario)


def test_a_stand_in_tells_what_a_lost_region_had_not_and_what_came_too_late_is_told_by_nobody(tmp_path):
    async def scenario(s, told):
        told.raises = RuntimeError("before the loss nothing is told")
        await write(s, "eu", 4)
        await s.settled()
        head = s["us"].cursors()["eu/1"]
        s.links.cut |= {("us", "eu"), ("eu", "us")}
        s["eu"].streams.stop()
        told.raises = None
        take(s["us"], Assignment(2, "active-active", {"eu": "down", "us": "active"}, cuts=(Cut(2, "eu/1", head),)))

        async def complete():
            await write(s, "us", 1, "wake")
            return (await total(s, "us", "eu")).changes == 4

        await until(complete)
        assert (await total(s, "us", "eu")).qty == sum(range(4))

    run(tmp_path, scenario)


def test_a_stream_that_begins_now_is_not_told_what_was_before(tmp_path):
    async def scenario(s, told):
        async def acts():
            return s["eu"].authority.may_write_home(Place("totals", "eu"))

        async def begun():
            return s["eu"].store.head == 2  # the write that woke it, and its position

        await until(acts)
        await write(s, "eu", 1, "before")
        await until(begun)
        await write(s, "eu", 2)

        async def complete():
            return (await total(s, "eu", "eu")).changes == 2

        await until(complete)
        assert [change.key for change in told.changes] == ["0", "1"]

    run(tmp_path, scenario, start="now")


def test_what_a_stream_has_not_been_told_stays_in_the_journal(tmp_path):
    async def scenario(s, told):
        told.raises = RuntimeError("no")
        await write(s, "eu", 3)

        async def known():
            return s["eu"].compactor.retention().needed.get("eu/1") == 0

        await until(known)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("options", "advice"),
    [({"start": "then"}, "now"), ({"batch": 0}, "positive"), ({"timeout_s": 0.0}, "positive")],
)
def test_a_stream_that_cannot_be_is_refused(options, advice):
    with pytest.raises(DeclarationError, match=advice):
        shop(Told(), **options)


def test_a_stream_needs_a_journal_a_name_of_its_own_and_one_parameter():
    app = App("shop", regions=REGIONS)
    orders = app.table("orders", Order, key="id")
    stock = app.table("stock", Order, key="id", mode="strong")

    async def told(change: Change[Order]) -> None: ...
    async def nothing() -> None: ...

    with pytest.raises(DeclarationError, match="strong"):
        stock.changes(told)
    with pytest.raises(DeclarationError, match="one parameter"):
        orders.changes(nothing)
    orders.changes(told)
    with pytest.raises(DeclarationError, match="twice"):
        orders.changes(told)
