"""Units that acknowledge by peer, in regions of one process, with their sets in the global store."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, NotFound
from proa.control.bootstrap import bootstrap
from proa.control.insync import Keeper
from proa.control.parts import parts
from proa.core.insync import InSync
from proa.core.roles import INSYNC
from proa.core.situation import Rules
from proa.errors import DeclarationError
from proa.runtime.events import UnitConfirmed
from proa.runtime.global_client import GlobalClient
from support.ends import SeededEntropy
from support.inproc import system

REGIONS = ["eu", "us", "ap"]


@dataclass
class Order:
    id: str
    qty: int = 1


def shop(regions=REGIONS):
    app = App("shop", regions=regions, acknowledge="peer")
    orders = app.table("orders", Order, key="id")

    @app.post("/orders", idempotent=True, timeout_s=1.0)
    async def create(order: Order) -> Order:
        if order.qty < 0:
            raise NotFound("less than nothing")
        await orders.put(order)
        return order

    @app.post("/quick", timeout_s=1.0, acknowledge="region")
    async def quick(order: Order) -> None:
        await orders.put(order)

    @app.post("/look/{id}", timeout_s=1.0)
    async def look(id: str) -> int:
        return (await orders.get(id)).qty

    @app.get("/orders/{id}")
    async def read(id: str) -> Order:
        return await orders.get(id)

    return app


class Keepers:
    """The keeper of every region of a system, stepped by hand."""

    def __init__(self, running):
        self.running = running
        self.rules = Rules(tuple(running.app.regions), "witness", (), "active-active", running.app.regions[0])
        self.by_region = {name: self.of(name) for name in running.app.regions}

    def of(self, name):
        running = self.running
        store = GlobalClient(running.links.end(name), running.clock, timeout_s=0.1)
        shared = parts(store, self.rules, running.clock, SeededEntropy(f"keeper {name}"), running[name]._ports.hub)
        return Keeper(name, running[name].confirmations, shared)

    async def step(self, name):
        keeper = self.by_region[name]
        await keeper._parts.view.poll(0)
        await keeper.step()

    async def until(self, name, *members):
        async with asyncio.timeout(5):
            while self.running[name].confirmations.group.counted != members:
                await self.step(name)
                await asyncio.sleep(0.01)

    async def row(self, name):
        [found] = await self.running.store.read([(INSYNC, name)])
        return msgspec.msgpack.decode(found.value, type=InSync)


@asynccontextmanager
async def kept(tmp_path, regions=REGIONS):
    async with system(shop(regions), tmp_path) as running:
        keepers = Keepers(running)
        await bootstrap(running.store, keepers.rules, SeededEntropy(1), regions[0])
        yield running, keepers


def scenario(tmp_path, play, regions=REGIONS):
    async def run():
        async with kept(tmp_path, regions) as (running, keepers):
            await play(running, keepers)

    asyncio.run(run())


async def post(running, region, id, key="", **more):
    return await running.request(region, "POST", "/orders", {"id": id, **more}, key=key or id)


def code(answer):
    return msgspec.json.decode(answer.body)["code"]


def cut(running, *ways):
    running.links.cut |= set(ways)


def apart(running, *names):
    """Cut these regions off from every region, not from the global store."""
    for name in names:
        for other in running.app.regions:
            cut(running, (name, other), (other, name))


def test_an_answer_means_that_a_second_region_has_the_commit_durable(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        assert (await post(running, "eu", "a")).status == 200
        held = [running[name].store.cursors().get("eu/1", 0) for name in ("us", "ap")]
        assert max(held) == 1
        assert any(isinstance(event, UnitConfirmed) for event in running.events)

    scenario(tmp_path, play)


def test_without_a_member_nothing_is_started(tmp_path):
    async def play(running, keepers):
        answer = await post(running, "eu", "a")
        assert (answer.status, code(answer), dict(answer.headers)["proa-not-started"]) == (503, "PROA-R020", "true")
        assert running["eu"].store.head == 0
        assert (await running.request("eu", "POST", "/quick", {"id": "b"})).status == 204

    scenario(tmp_path, play)


def test_unconfirmed_in_time_is_said_so_and_a_repeat_waits_again_before_it_replays(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        apart(running, "eu")
        first = await post(running, "eu", "a")
        assert (first.status, code(first), running["eu"].store.head) == (503, "PROA-U020", 1)
        assert "proa-not-started" not in dict(first.headers)
        running.links.cut.clear()
        repeated = await post(running, "eu", "a")
        assert (repeated.status, dict(repeated.headers)["idempotency-replayed"]) == (200, "true")
        assert running["us"].store.cursors()["eu/1"] == 1 or running["ap"].store.cursors()["eu/1"] == 1

    scenario(tmp_path, play)


def test_a_duplicate_that_waits_for_the_first_is_not_answered_before_it_is_confirmed_either(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        apart(running, "eu")
        both = await asyncio.gather(post(running, "eu", "a"), post(running, "eu", "a"))
        assert {answer.status for answer in both} <= {409, 503}

    scenario(tmp_path, play)


def test_what_a_unit_only_read_is_confirmed_before_it_tells(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        apart(running, "eu")
        await running.request("eu", "POST", "/quick", {"id": "a", "qty": 7})
        assert code(await running.request("eu", "POST", "/look/a")) == "PROA-U020"
        assert (await running.request("eu", "GET", "/orders/a")).status == 200
        running.links.cut.clear()
        assert (await running.request("eu", "POST", "/look/a")).body == b"7"

    scenario(tmp_path, play)


def test_a_refusal_that_is_recorded_is_confirmed_like_a_result(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        assert (await post(running, "eu", "a", qty=-1)).status == 404
        assert max(running[name].store.cursors().get("eu/1", 0) for name in ("us", "ap")) == 1

    scenario(tmp_path, play)


def test_a_member_that_hears_nothing_from_here_confirms_what_it_has_from_a_third_region(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        running.links.replies_lost.add(("us", "eu"))  # us pulls, and the replies are lost
        confirmations = running["eu"].confirmations
        only_us = InSync("eu/1", ("us/1",), confirmations.boot)
        confirmations.take(msgspec.structs.replace(confirmations.group, row=only_us))
        async with asyncio.timeout(5):
            while running["us"].replicator.peers["eu"].reachable:
                await asyncio.sleep(0.01)
        assert (await post(running, "eu", "a")).status == 200
        assert running["us"].store.cursors()["eu/1"] == 1

    scenario(tmp_path, play)


def test_acknowledgements_go_on_while_the_global_store_is_away(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        cut(running, ("eu", "witness"))
        assert (await post(running, "eu", "a")).status == 200

    scenario(tmp_path, play)


def test_a_member_that_is_away_leaves_the_set_and_one_that_is_back_joins_it(tmp_path, monkeypatch):
    monkeypatch.setattr("proa.core.insync.LAG_S", 0.3)

    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        apart(running, "ap")
        assert (await post(running, "eu", "a")).status == 200
        await keepers.until("eu", "us/1")
        assert (await keepers.row("eu")).members == ("us/1",)
        running.links.cut.clear()
        await keepers.until("eu", "ap/1", "us/1")

    scenario(tmp_path, play)


def test_the_last_member_stays_however_long_it_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr("proa.core.insync.LAG_S", 0.1)

    async def play(running, keepers):
        await keepers.until("eu", "us/1")
        apart(running, "us")
        await asyncio.sleep(0.3)  # more than the bound
        await keepers.step("eu")
        assert (await keepers.row("eu")).members == ("us/1",)

    scenario(tmp_path, play, ["eu", "us"])


def test_a_change_whose_reply_was_lost_counts_nobody_who_may_be_outside_until_it_is_known(tmp_path):
    async def play(running, keepers):
        await keepers.until("eu", "ap/1", "us/1")
        group = running["eu"].confirmations.group
        alone = InSync("eu/1", ("us/1",), group.boot)
        running["eu"].confirmations.take(msgspec.structs.replace(group, row=alone))  # as if ap had never joined
        running.links.replies_lost.add(("eu", "witness"))
        await keepers.by_region["eu"].step()
        assert running["eu"].confirmations.group.counted == ("us/1",)
        running.links.replies_lost.clear()
        await keepers.by_region["eu"].step()
        assert running["eu"].confirmations.group.counted == ("ap/1", "us/1")

    scenario(tmp_path, play)


def test_a_fenced_region_admits_nobody(tmp_path):
    async def play(running, keepers):
        keeper = keepers.by_region["eu"]
        await keeper._parts.view.poll(0)
        situation = keeper._parts.view.situation
        revoked = msgspec.structs.replace(situation.assignment, revoked={"eu": 1})
        keeper._parts.view.situation = msgspec.structs.replace(situation, assignment=revoked)
        await asyncio.sleep(0.2)
        await keeper.step()
        assert await running.store.read([(INSYNC, "eu")]) == [None]

    scenario(tmp_path, play)


# Declarations.


def declare(regions=("eu", "us"), acknowledge="region", **route):
    app = App("x", regions=regions, acknowledge=acknowledge)
    orders = app.table("orders", Order, key="id", mode="strong" if route.get("unit") == "global" else "any")

    @app.post("/orders", **route)
    async def create(order: Order) -> None:
        await orders.put(order)

    return app.routes[0]


def test_a_route_acknowledges_as_the_app_unless_it_says_otherwise():
    assert declare().acknowledge == "region"
    assert declare(acknowledge="peer").acknowledge == "peer"
    assert declare(acknowledge="peer", unit="global").acknowledge == "region"


def test_an_app_with_one_region_cannot_acknowledge_by_peer():
    with pytest.raises(DeclarationError, match="needs a second region"):
        declare(regions=["eu"], acknowledge="peer")


def test_a_global_unit_is_not_acknowledged_by_peer():
    app = App("x", regions=["eu", "us"])
    stock = app.table("stock", Order, key="id", mode="strong")

    @app.post("/stock", acknowledge="peer")
    async def take(order: Order) -> None:
        await stock.put(order)

    with pytest.raises(DeclarationError, match="its units are global"):
        _ = app.routes[0].acknowledge


def test_another_word_than_region_or_peer_is_refused():
    with pytest.raises(DeclarationError, match="region or peer"):
        App("x", regions=["eu", "us"], acknowledge="quorum")
