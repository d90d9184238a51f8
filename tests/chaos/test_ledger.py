"""What a drill counts on disk: rows, cursors and commits in the files of running stores."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from proa import App, Context
from proa.chaos import ledger
from proa.chaos.account import CommitRef
from proa.chaos.messages import MessageAccount, Name
from proa.chaos.workload import Request, Workload
from proa.core.queue import OUTBOX
from support.inproc import everybody, system, take, until


@dataclass
class Order:
    id: str
    reference: str


@dataclass
class Stock:
    sku: str
    left: int


class Counted(Workload):
    counted: ClassVar = {"orders": "reference"}
    kept: ClassVar = ["stock"]

    def request(self, number, rng):
        return Request("POST", f"/orders?reference={number}", key=str(rng.random()))

    def check(self, rows):
        return [f"{len(rows['orders'])} orders, {row['left']} left" for row in rows["stock"]]


def shop():
    app = App("shop", regions=["eu", "us"])
    orders = app.table("orders", Order, key="id")
    stock = app.table("stock", Stock, key="sku", mode="strong")
    filled = app.queue("filled", Stock)

    @app.post("/orders", idempotent=True)
    async def create(reference: str, ctx: Context) -> Order:
        order = Order(ctx.unit, reference)
        await orders.put(order)
        return order

    @app.delete("/orders/{id}")
    async def remove(id: str) -> None:
        await orders.delete(id)

    @app.put("/stock/{sku}")
    async def fill(sku: str) -> None:
        await stock.put(Stock(sku, 5))

    @app.put("/stock/{sku}/told", unit="global")
    async def fill_and_tell(sku: str) -> str:
        await stock.put(Stock(sku, 5))
        return await filled.send(Stock(sku, 5))

    return app


async def order(running, region, reference, key=None):
    answer = await running.request(region, "POST", "/orders", key=key or reference, query=f"reference={reference}")
    assert answer.status == 200, answer.body
    return answer


def witness_folder(tmp_path):
    """The folder of the global store's file alone."""
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness" / "global.db").symlink_to(tmp_path / "global.db")
    return str(tmp_path / "witness")


def counted(tmp_path, *orders):
    """Take orders, wait for replication, and read the files while the stores are open."""

    async def main():
        async with system(shop(), tmp_path) as running:
            for region, reference, key in orders:
                await order(running, region, reference, key)
            await running.request("eu", "PUT", "/stock/a")
            await running.settled()
            folders = {name: str(tmp_path / name) for name in ("eu", "us")}
            strong = ledger.stored(witness_folder(tmp_path), ["stock"])
            return (
                ledger.audit(strong, list(folders.values()), Counted(), ["stock"]),
                {name: ledger.commits(folder) for name, folder in folders.items()},
                {name: ledger.cursors(folder) for name, folder in folders.items()},
            )

    return asyncio.run(main())


def test_rows_are_counted_by_the_key_that_made_them(tmp_path):
    (counts, _), _, _ = counted(tmp_path, ("eu", "r1", "k1"), ("eu", "r2", "k2"), ("us", "r2", "k3"))
    assert counts == {"r1": 1, "r2": 2}


def test_the_workload_sees_every_table_in_each_regions_sight(tmp_path):
    (_, broken), _, _ = counted(tmp_path, ("eu", "r1", "k1"), ("us", "r2", "k2"))
    assert broken == ["2 orders, 5 left"], "both regions see the same, and it is said once"


def test_a_key_leads_to_its_commit_in_every_region(tmp_path):
    _, commits, cursors = counted(tmp_path, ("eu", "r1", "k1"), ("eu", "r2", "k2"), ("us", "r3", "k3"))
    assert commits["eu"] == commits["us"]
    assert commits["us"] == {"k1": CommitRef("eu/1", 1), "k2": CommitRef("eu/1", 2), "k3": CommitRef("us/1", 1)}
    assert cursors["us"] == cursors["eu"] == {"eu/1": 2, "us/1": 1}
    assert str(commits["us"]["k2"]) == "eu/1:2"


def test_a_deleted_row_is_not_counted(tmp_path):
    async def main():
        async with system(shop(), tmp_path) as running:
            made = await order(running, "eu", "r1")
            await running.request("eu", "DELETE", f"/orders/{msgspec.json.decode(made.body)['id']}")
            return ledger.rows(str(tmp_path / "eu"), ["orders"])

    assert asyncio.run(main()) == {"orders": []}


def test_the_store_that_has_most_rows_of_a_key_counts():
    here = {"orders": [{"reference": "a"}, {"reference": "a"}]}
    there = {"orders": [{"reference": "a"}, {"reference": "b"}]}
    assert ledger.row_counts([here, there], {"orders": "reference"}) == {"a": 2, "b": 1}


def test_a_message_that_the_global_store_has_is_in_flight_waits_there_and_was_fetched_in_the_end(tmp_path):
    async def main():
        async with system(shop(), tmp_path) as running:
            folders, witness = [str(tmp_path / name) for name in ("eu", "us")], witness_folder(tmp_path)

            def outbox():
                return ledger.stored(witness, [OUTBOX])

            sent = await running.request("eu", "PUT", "/stock/a/told")
            left, fault_at = ledger.left(outbox()), running.clock.now()
            assert left.keys() == {Name("filled", msgspec.json.decode(sent.body), "eu")}
            waiting = ledger.messages(outbox(), folders, left, "eu", fault_at)
            for region in running.regions.values():
                take(region, everybody())
            await until(lambda: not ledger.left(outbox()))
            return waiting, ledger.messages(outbox(), folders, left, "eu", fault_at)

    one_waits = MessageAccount(in_flight=1, waiting=1)
    assert asyncio.run(main()) == (one_waits, one_waits), "first in the global store, then in the region"
