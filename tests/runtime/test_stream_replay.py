"""A stream tells everything again: rows of which the journal has no commits any more, then the journal."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, Change
from proa.core.replicate.journal import Commit, Write
from proa.core.replicate.snapshot import START
from proa.core.roles import Assignment
from proa.errors import DeclarationError, NotFound, StoreCorrupt, Unprocessable
from proa.ports import Batch
from proa.runtime import streams
from proa.runtime.events import StreamGap
from proa.runtime.streams import Streams
from support.inproc import system

ROLES = Assignment(1, "active-active", {"eu": "active", "us": "active"})


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Total:
    id: str
    qty: int = 0


class Told:
    """What the handler was told, which keys it refuses, and for which regions it was reset."""

    def __init__(self):
        self.changes = []
        self.refused = set()
        self.resets = []


def shop(told=None, *, batch=3, reset=True, retention_s=0.05):
    app = App("shop", regions=["eu", "us"], journal_retention_s=retention_s)
    orders = app.table("orders", Order, key="id")
    totals = app.table("totals", Total, key="id")

    @app.put("/orders/{id}")
    async def write(id: str, body: Order) -> None:
        await orders.put(body)

    @app.delete("/orders/{id}")
    async def remove(id: str) -> None:
        await orders.delete(id)

    if told is None:
        return app

    @orders.changes(name="totals", start="beginning", batch=batch)
    async def count(change: Change[Order]) -> None:
        if change.key in told.refused:
            raise KeyError(change.key)
        told.changes.append(change)
        total = await totals.get(change.region, Total(change.region))
        await totals.put(Total(change.region, total.qty + (change.row.qty if change.row else 0)))

    if reset:

        @count.reset
        async def clear(region: str) -> None:
            told.resets.append(region)
            await totals.delete(region)

    return app


def play(folder, story, app):
    async def main():
        async with system(app, folder) as s:
            for region in s.regions.values():
                take(region)
            await story(s)

    asyncio.run(main())


def take(region):
    region.assume(ROLES, region._ports.clock.monotonic() + 60)


async def write(s, *keys, qty=1, region="eu"):
    for key in keys:
        await s.request(region, "PUT", f"/orders/{key}", Order(key, qty))


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


decode_commit = msgspec.msgpack.Decoder(Commit).decode


async def compacted(s, region="eu"):
    """Wait until the journal of `region` has dropped its own commits of orders so far; then it drops no more."""
    store = s[region].store
    floor = store.floors().get(store.origin, 0)
    commits = [decode_commit(entry) for entry in await store.journal({store.origin: floor}, 1000)]
    written = max((one.seq for one in commits if any(write.table == "orders" for write in one.writes)), default=floor)
    async with asyncio.timeout(30):
        while store.floors().get(store.origin, 0) < written:
            for one in s.regions:  # what a commit depends on goes before it, so both streams have to come on
                await write(s, "tick", qty=0, region=one)
            await asyncio.sleep(0.005)
    await keep_entries(s[region])


async def keep_entries(region):
    """Compact no more: a base that moves on at some moment makes a walk begin again, rightly."""
    region.compactor._may = lambda: False
    await region.store._group.idle()


async def with_streams(s, app, region="eu"):
    """Start a region anew, with another version of the app."""
    s.app = app
    await s.stop(region)
    started = await s.start(region)
    await keep_entries(started)
    take(started)
    await write(s, "tick", qty=0, region=region)  # time alone would wake its streams too, but later


def caught_up(s, region="eu"):
    """Whether a region's stream has nothing left to tell of its own origin."""
    return any(
        one["origin"] == f"{region}/1" and not one["walking"] and not one["lag"] and not one["failing"]
        for one in s[region].status().streams
    )


def keys(told):
    return [change.key for change in told.changes if change.key != "tick"]


def test_a_stream_that_begins_at_the_beginning_is_told_rows_that_the_journal_has_no_longer(tmp_path):
    told = Told()

    async def story(s):
        await write(s, *"abcdefgh")
        await write(s, "c", qty=5)
        await s.request("eu", "DELETE", "/orders/d")
        await compacted(s)
        await s.settled()
        await with_streams(s, shop(told))
        await until(lambda: caught_up(s))
        assert keys(told) == list("abcefgh")
        assert {change.key: change.row.qty for change in told.changes}["c"] == 5
        assert {(change.region, change.unit) for change in told.changes if change.key in "abcefgh"} == {("eu", "")}
        await write(s, "a", "z")
        await until(lambda: keys(told)[7:] == ["a", "z"])

    play(tmp_path, story, shop())


def test_rows_of_another_region_are_told_there(tmp_path):
    told = Told()

    async def story(s):
        await write(s, "a", "b")
        await write(s, "c", region="us")
        await compacted(s)
        await s.settled()
        await with_streams(s, shop(told))
        await until(lambda: caught_up(s))
        assert keys(told) == ["a", "b"]

    play(tmp_path, story, shop())


def test_a_rebuild_clears_the_projection_and_tells_each_standing_row_once(tmp_path):
    told = Told()

    async def story(s):
        await write(s, *"abcdefgh")
        await until(lambda: caught_up(s) and len(keys(told)) == 8)
        await compacted(s)
        await until(lambda: caught_up(s))
        told.changes.clear()
        assert await s["eu"].streams.rebuild("totals") == ["eu"]
        await until(lambda: caught_up(s))
        assert (keys(told), told.resets) == (list("abcdefgh"), ["eu"])
        (total,) = await s["eu"].store.read([("totals", "eu")])
        assert s.app.table_of("totals").decode(total.value) == Total("eu", 8)

    play(tmp_path, story, shop(told))


def test_a_walk_goes_on_after_a_start_and_tells_no_row_twice(tmp_path):
    told = Told()

    async def story(s):
        await write(s, *"abcdefgh")
        await until(lambda: caught_up(s) and len(keys(told)) == 8)
        await compacted(s)
        await until(lambda: caught_up(s))
        told.changes.clear()
        told.refused = {"f"}
        await s["eu"].streams.rebuild("totals")
        await until(lambda: any(one["walking"] == "orders/e" for one in s["eu"].status().streams))
        await s.stop("eu")
        told.changes.clear()
        told.refused = set()
        started = await s.start("eu")
        await keep_entries(started)
        take(started)
        await write(s, "tick", qty=0)
        await until(lambda: caught_up(s))
        assert (keys(told), told.resets) == (list("fgh"), ["eu"])

    play(tmp_path, story, shop(told))


def test_a_stand_in_begins_the_walk_again_over_its_own_base(tmp_path):
    told = Told()

    async def story(s):
        await write(s, *"abcdefgh")
        await until(lambda: caught_up(s) and len(keys(told)) == 8)
        await compacted(s)
        await until(lambda: caught_up(s))
        told.refused = {"f"}
        await s["eu"].streams.rebuild("totals")
        await until(lambda: any(one["walking"] == "orders/e" for one in s["eu"].status().streams))
        await s.settled()
        await s.stop("eu")
        told.changes.clear()
        told.refused = set()
        s["us"].assume(Assignment(2, "active-active", {"eu": "down", "us": "active"}), s.clock.monotonic() + 60)

        def rebuilt():
            return any(
                one["origin"] == "eu/1" and not one["lag"] and not one["walking"] for one in s["us"].status().streams
            )

        async with asyncio.timeout(30):
            while not rebuilt():
                await write(s, "tick", qty=0, region="us")  # time alone would wake it too, but later
                await asyncio.sleep(0.05)
        assert set(keys(told)) == set("abcdefgh")
        assert len(told.resets) > 1  # once more where the base moved on just then
        (total,) = await s["us"].store.read([("totals", "eu")])
        assert s.app.table_of("totals").decode(total.value) == Total("eu", 8)

    play(tmp_path, story, shop(told))


def test_nothing_goes_from_the_journal_before_a_stream_has_looked_after_a_start(tmp_path, monkeypatch):
    async def story(s):
        told.refused = {"b"}
        await write(s, *"abc")
        await s.settled()
        await s.stop("eu")
        monkeypatch.setattr(Streams, "start", lambda _: None)
        started = await s.start("eu")
        take(started)
        await until(lambda: started.replicator.peers["us"].passed.get("eu/1", 0) >= started.store.head)
        assert started.compactor.retention().needed["eu/1"] == 0
        assert await started.compactor.compact() == 0
        monkeypatch.undo()
        told.refused = set()
        started.streams.start()
        await until(lambda: caught_up(s))
        assert set(keys(told)) == set("abc")
        await compacted(s)

    told = Told()
    play(tmp_path, story, shop(told))


def test_a_region_in_which_nothing_changes_does_not_keep_the_journals_of_the_others(tmp_path, monkeypatch):
    """Each commit of `eu` depends on the last one of `us`, which no stream needs, but which none has noted so far."""
    monkeypatch.setattr(streams, "NOTED_EVERY_S", 0.05)
    monkeypatch.setattr(streams, "IDLE_S", 0.1)

    async def story(s):
        await until(lambda: s["us"].store.head == 1)
        await s.settled()
        await write(s, *"abcdefgh")
        written = s["eu"].store.head
        await until(lambda: s["eu"].store.floors().get("eu/1", 0) >= written)
        assert not [event for event in s.events if isinstance(event, StreamGap)]

    play(tmp_path, story, shop(Told()))


def test_what_is_rebuilt_stays_in_the_journal(tmp_path):
    told = Told()

    async def story(s):
        await write(s, "a")
        await until(lambda: caught_up(s))
        await compacted(s)
        await until(lambda: caught_up(s))
        told.refused = {"a"}
        await s["eu"].streams.rebuild("totals")
        page = await s["eu"].store.snapshot(START, 1)
        assert s["eu"].compactor.retention().needed["eu/1"] == page.floors["eu/1"].seq

    play(tmp_path, story, shop(told))


def test_what_a_handler_refuses_is_skipped_once(tmp_path):
    told = Told()
    told.refused = {"bad", "worse"}

    async def story(s):
        await write(s, "good", "bad", "worse", "last")
        streams = s["eu"].streams

        def failing(position=0):
            return any(one["failing"] and one["position"] > position for one in s["eu"].status().streams)

        await until(failing)
        (one,) = [one for one in s["eu"].status().streams if one["failing"]]
        assert await streams.skip("totals", "eu/1", one["position"], "") == ["bad"]
        with pytest.raises(Unprocessable, match="fails at no change"):
            await streams.skip("totals", "eu/1", one["position"], "")
        await until(lambda: failing(one["position"]))
        (two,) = [one for one in s["eu"].status().streams if one["failing"]]
        assert await streams.skip("totals", "eu/1", two["position"], "") == ["worse"]
        await until(lambda: caught_up(s))
        assert keys(told)[-1] == "last"

    play(tmp_path, story, shop(told))


async def skipped(s):
    """Pass over what a stream fails on now; the change's keys, and why it failed."""
    await until(lambda: any(one["failing"] for one in s["eu"].status().streams))
    (one,) = [one for one in s["eu"].status().streams if one["failing"]]
    place = (one["origin"], one["position"], one["walking"])
    return await s["eu"].streams.skip("totals", *place), one["failing"]


def test_a_row_that_its_type_cannot_read_waits_visibly_and_is_skipped(tmp_path):
    told = Told()

    async def story(s):
        await write(s, "first")
        await s["eu"].store.commit(Batch("other", {}, [Write("orders", "odd", b"\x93\x01\x02\x03")]))
        await write(s, "last")
        assert await skipped(s) == (["odd"], "ValidationError")
        await until(lambda: caught_up(s))
        assert [change.key for change in told.changes] == ["first", "last"]

    play(tmp_path, story, shop(told))


def test_an_odd_row_of_the_base_is_skipped_on_the_walk(tmp_path):
    told = Told()

    async def story(s):
        await write(s, "first")
        await s["eu"].store.commit(Batch("other", {}, [Write("orders", "odd", b"\x93\x01\x02\x03")]))
        await write(s, "last")
        await compacted(s)
        await with_streams(s, shop(told))
        assert await skipped(s) == (["odd"], "ValidationError")
        await until(lambda: caught_up(s))
        assert set(keys(told)) == {"first", "last"}

    play(tmp_path, story, shop())


def test_a_damaged_entry_of_the_journal_stops_a_rebuild_visibly_and_is_skipped(tmp_path):
    told = Told()

    async def story(s):
        await write(s, "first", "damaged", "last")
        await until(lambda: caught_up(s) and len(told.changes) == 3)
        await keep_entries(s["eu"])
        origin, (spoilt,) = s["eu"].store.origin, [change.unit for change in told.changes if change.key == "damaged"]
        seq = await seq_of_unit(s, spoilt)
        writer = s["eu"].store._writer
        writer.execute("UPDATE journal SET entry = x'c1' WHERE origin = ? AND seq = ?", (origin, seq))
        writer.commit()
        told.changes.clear()
        await s["eu"].streams.rebuild("totals")
        assert await skipped(s) == ([f"{origin}:{seq}"], StoreCorrupt.code)
        await until(lambda: caught_up(s))
        assert keys(told) == ["first", "last"]

    play(tmp_path, story, shop(told, retention_s=600.0))


async def seq_of_unit(s, unit):
    """The place in the journal of a unit's commit."""
    origin = s["eu"].store.origin
    entries = await s["eu"].store.journal({origin: 0}, 100)
    (found,) = [one for one in map(msgspec.msgpack.Decoder(Commit).decode, entries) if one.unit == unit]
    return found.seq


def test_a_reset_that_raises_changes_nothing(tmp_path):
    told = Told()
    app = shop(told, reset=False)

    @app.tables["orders"].streams["totals"].reset
    async def clear(region: str) -> None:
        raise RuntimeError(region)

    async def story(s):
        await write(s, "a")
        await until(lambda: caught_up(s))
        before = s["eu"].status().streams
        with pytest.raises(Unprocessable, match="RuntimeError: eu"):
            await s["eu"].streams.rebuild("totals")
        assert s["eu"].status().streams == before

    play(tmp_path, story, app)


def test_a_stream_without_reset_is_not_rebuilt_and_one_that_is_not_there_is_named(tmp_path):
    async def story(s):
        with pytest.raises(Unprocessable, match="no reset handler"):
            await s["eu"].streams.rebuild("totals")
        with pytest.raises(NotFound, match="there are totals"):
            await s["eu"].streams.rebuild("sums")

    play(tmp_path, story, shop(Told(), reset=False))


def test_a_stream_has_one_reset_with_one_parameter():
    count = shop(Told()).tables["orders"].streams["totals"]

    async def clear(region: str) -> None: ...
    async def nothing() -> None: ...

    with pytest.raises(DeclarationError, match="two reset handlers"):
        count.reset(clear)
    count = shop(Told(), reset=False).tables["orders"].streams["totals"]
    with pytest.raises(DeclarationError, match="one parameter"):
        count.reset(nothing)
