"""Journals are compacted where nobody needs them, and a region that comes too late for them joins by a snapshot."""

import asyncio
import shutil
from dataclasses import dataclass

import msgspec
import pytest

from proa import App
from proa.core.roles import Assignment, Cut
from proa.errors import DeclarationError, LinkRefused
from proa.runtime.events import JournalCompacted, SnapshotBegun, SnapshotMerged, SuffixCompacted
from proa.runtime.joiner import LENT_S, Ask
from support.inproc import system, until

REGIONS = ["eu", "us", "ap"]
ROLES = Assignment(1, "active-active", dict.fromkeys(REGIONS, "active"))


@dataclass
class Order:
    id: str
    qty: int = 1


def shop(retention_s=0.001, retention_max_s=3600.0, **declared):
    keeps = {"journal_retention_s": retention_s, "journal_retention_max_s": retention_max_s}
    app = App("shop", regions=REGIONS, **keeps, **declared)
    orders = app.table("orders", Order, key="id")

    @app.put("/orders/{id}")
    async def write(id: str, body: Order) -> Order:
        await orders.put(body)
        return body

    @app.delete("/orders/{id}")
    async def remove(id: str) -> None:
        await orders.delete(id)

    @app.get("/orders/{id}")
    async def read(id: str) -> Order:
        return await orders.get(id)

    return app


def run(folder, scenario, app):
    async def main():
        async with system(app, folder) as running:
            for region in running.regions.values():
                lease(region)
            await scenario(running)

    asyncio.run(main())


def lease(region, seconds=60.0):
    """As the control plane would hand it out."""
    region.assume(ROLES, region._ports.clock.monotonic() + seconds)


async def write(s, region, count, prefix=""):
    for number in range(count):
        await s.request(region, "PUT", f"/orders/{prefix}{number}", Order(f"{prefix}{number}"))


async def qty(s, region, key):
    answer = await s.request(region, "GET", f"/orders/{key}")
    return msgspec.json.decode(answer.body)["qty"] if answer.status == 200 else answer.status


async def compacted(s, region, head):
    """Wait until the journal of `region` has dropped its own commits up to `head`; time passes with later commits."""
    store = s[region].store
    async with asyncio.timeout(10):
        while store.floors().get(store.origin, 0) < head:
            await write(s, region, 1, "later")
            await asyncio.sleep(0.005)


def happened(s, kind):
    return [event for event in s.events if isinstance(event, kind)]


def test_a_journal_is_compacted_once_every_peer_has_its_entries(tmp_path):
    async def scenario(s):
        s.links.cut |= {("ap", "eu"), ("ap", "us")}
        await write(s, "eu", 20)
        await asyncio.sleep(0.1)
        assert s["eu"].store.floors() == {}
        s.links.cut.clear()
        await compacted(s, "eu", 20)
        assert await s["eu"].store.journal({"eu/1": 0}, 100) == []
        assert sum(event.count for event in happened(s, JournalCompacted)) >= 20
        assert [await qty(s, region, "19") for region in REGIONS] == [1, 1, 1]

    run(tmp_path, scenario, shop())


def test_nothing_is_compacted_without_a_lease_or_while_roles_change_hands(tmp_path):
    async def scenario(s):
        eu = s["eu"]
        lease(eu, -1.0)
        for _ in range(3):
            await write(s, "eu", 1)
            await asyncio.sleep(0.02)
        await s.settled()
        assert eu.store.floors() == {}
        lease(eu)
        eu.hold(frozenset({"us/1"}))
        await asyncio.sleep(0.05)
        assert eu.store.floors() == {}
        eu.hold(frozenset())
        await compacted(s, "eu", 3)

    run(tmp_path, scenario, shop())


def test_a_region_with_a_new_disk_joins_by_a_snapshot_under_load_and_serves_when_it_has_caught_up(tmp_path):
    async def scenario(s):
        await write(s, "eu", 50)
        await s.request("eu", "DELETE", "/orders/7")
        await compacted(s, "eu", 51)
        await s.stop("ap")
        shutil.rmtree(tmp_path / "ap")
        load = asyncio.create_task(write(s, "us", 200, "load"))
        ap = await s.start("ap", incarnation=2)
        lease(ap)
        await until(lambda: ap.serving)
        assert happened(s, SnapshotMerged)  # once more, where the peer compacts what was to be pulled next
        assert [await qty(s, "ap", key) for key in ("0", "49", "7")] == [1, 1, 404]
        await load
        await s.settled()
        assert await qty(s, "ap", "load199") == 1

    run(tmp_path, scenario, shop())


def test_a_region_that_was_away_for_long_joins_and_its_own_commits_reach_the_others(tmp_path):
    async def scenario(s):
        await write(s, "eu", 5)
        await s.settled()
        for other in ("eu", "us"):
            s.links.cut |= {("ap", other), (other, "ap")}
        await write(s, "ap", 3, "mine")
        await write(s, "eu", 5, "more")
        await s.request("eu", "DELETE", "/orders/0")
        for name in ("eu", "us"):
            s[name].compactor._keep = msgspec.structs.replace(s[name].compactor._keep, retention_max_s=0.001)
        await compacted(s, "eu", 11)
        s.links.cut.clear()
        await until(lambda: happened(s, SnapshotMerged))
        await s.settled()
        await until(lambda: s["ap"].serving)
        for region in REGIONS:
            assert [await qty(s, region, key) for key in ("0", "1", "mine2", "more4")] == [404, 1, 1, 1]

    run(tmp_path, scenario, shop())


def test_a_region_that_ends_while_it_merges_goes_on_with_it_at_its_start_and_needs_nobody(tmp_path):
    async def scenario(s):
        await write(s, "eu", 300)
        await compacted(s, "eu", 300)
        page = await s["eu"].store.snapshot((0, "", ""), 10_000_000)
        await s.stop("ap")
        shutil.rmtree(tmp_path / "ap")
        await s.stop("us")
        s.links.cut |= {("ap", "eu")}
        ap = await s.start("ap", incarnation=2)
        await ap.store.stage(page, first=True)
        await ap.store.merge_staged()
        await s.stop("ap")
        ap = await s.start("ap", incarnation=2)
        await until(lambda: ap.serving)
        assert (ap.store.joining, await qty(s, "ap", "299")) == (False, 1)

    run(tmp_path, scenario, shop())


def test_a_base_stays_as_it_is_while_a_peer_takes_its_snapshot(tmp_path):
    async def scenario(s):
        await write(s, "eu", 20)
        await compacted(s, "eu", 20)
        eu = s["eu"]
        ask = msgspec.msgpack.encode(Ask((0, "", ""), 1))
        await eu.replicator.joiner._serve("ap", ask)
        await write(s, "eu", 20)
        await s.settled()
        floor = eu.store.floors()["eu/1"]
        await write(s, "eu", 5)
        await s.settled()
        assert eu.store.floors()["eu/1"] == floor
        eu.replicator.joiner._lent_until -= LENT_S
        await compacted(s, "eu", 40)

    run(tmp_path, scenario, shop())


def test_a_snapshot_of_an_origin_that_is_held_waits_until_the_roles_have_changed(tmp_path):
    async def scenario(s):
        await write(s, "eu", 5)
        await compacted(s, "eu", 5)
        await s.stop("ap")
        shutil.rmtree(tmp_path / "ap")
        ap = await s.start("ap", incarnation=2)
        ap.replicator.terms.limits["eu/1"] = 2
        page = await s["eu"].store.snapshot((0, "", ""), 100)
        with pytest.raises(LinkRefused, match="held"):
            ap.replicator.joiner._check(page.floors, ap.replicator.terms)

    run(tmp_path, scenario, shop())


def test_commits_that_are_cut_below_the_journal_spoil_a_region_for_good_and_no_other_one_takes_them(tmp_path):
    places = (app := shop(retention_max_s=0.001, topology="active-passive")).table(
        "places", Order, key="id", mode="active"
    )

    @app.put("/places/{id}")
    async def put(id: str, body: Order) -> None:
        await places.put(body)

    async def scenario(s):
        cut = Cut(3, "eu/1", 0)
        s.links.cut |= {("ap", "eu"), ("ap", "us")}
        for name in ("eu", "us"):
            act(s[name], 2, "eu")
        await s.request("eu", "PUT", "/places/a", Order("a"))
        await compacted(s, "eu", 1)
        await s.stop("us")
        act(s["ap"], 3, "ap", cut)
        s.links.cut.clear()
        await until(lambda: happened(s, SnapshotBegun))
        with pytest.raises(LinkRefused, match="commits of eu/1 that epoch 3 went on without"):
            await s["ap"].replicator.joiner.join("eu", lambda: s["ap"].replicator.terms)
        act(s["eu"], 3, "ap", cut)
        await until(lambda: happened(s, SuffixCompacted))
        assert (s["eu"].health().ready, s["eu"].health().failing) == (False, ("store",))

    run(tmp_path, scenario, app)


def act(region, epoch, active, *cuts):
    """One region alone is active in this epoch."""
    roles = dict.fromkeys(REGIONS, "standby") | {active: "active"}
    region.assume(Assignment(epoch, "active-passive", roles, cuts=cuts), region._ports.clock.monotonic() + 60)


def test_whoever_merges_a_snapshot_tells_that_it_began(tmp_path):
    async def scenario(s):
        await write(s, "eu", 5)
        await compacted(s, "eu", 5)
        await s.stop("ap")
        shutil.rmtree(tmp_path / "ap")
        await s.start("ap", incarnation=2)
        await until(lambda: s["ap"].serving)
        assert [event.peer in ("eu", "us") for event in happened(s, SnapshotBegun)] == [True]

    run(tmp_path, scenario, shop())


def test_a_retention_that_cannot_be_is_refused():
    for retention_s, retention_max_s in ((0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(DeclarationError, match="journal_retention_s"):
            shop(retention_s, retention_max_s)
