"""Effects on real stores: what is done outside is done once, however often the unit runs."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App
from proa.core.effect import EFFECTS, PARKED
from proa.core.roles import Assignment
from proa.declare.effects import EffectKey, effect_key
from proa.errors import NotDone
from support.inproc import system

REGIONS = ["eu", "us"]


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Receipt:
    id: str
    number: int


class Bank:
    """The other side: what it was asked for, under which keys; and what goes wrong next."""

    def __init__(self):
        self.calls = []
        self.failures = []
        self.gate = None

    async def charge(self, order, key):
        self.calls.append((order.id, order.qty, key))
        if self.gate:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return Receipt(order.id, len(self.calls))


def shop(bank, **options):
    app = App("shop", regions=REGIONS)
    orders = app.table("orders", Order, key="id")
    stock = app.table("stock", Order, key="id", mode="strong")
    seats = app.table("seats", Order, key="id", mode="home")
    mails = app.queue("mails", Order)

    @app.effect(**options)
    async def charge(order: Order, key: EffectKey = effect_key) -> Receipt:
        return await bank.charge(order, key)

    def handler(table):
        async def place(order: Order) -> Receipt:
            before = await table.get(order.id, Order(order.id, 0))
            receipt = await charge(order)
            await table.put(Order(order.id, before.qty + order.qty))
            return receipt

        return place

    app.post("/any", idempotent="optional", unit="regional", timeout_s=0.5)(handler(orders))
    app.post("/strong", idempotent=True, unit="global", timeout_s=0.5)(handler(stock))
    app.post("/home", idempotent=True, unit="home", timeout_s=0.5)(handler(seats))

    @app.post("/mails")
    async def send(order: Order) -> str:
        return await mails.send(order)

    @mails.consumer()
    async def mail(order: Order) -> None:
        await orders.put(Order(order.id, (await charge(order)).number))

    @app.get("/orders/{id}")
    async def read(id: str) -> Order:
        return await orders.get(id, Order(id, 0))

    @app.get("/charged")
    async def charged() -> Receipt:
        return await charge(Order("x"))

    return app


def run(folder, scenario, **options):
    bank = Bank()

    async def main():
        async with system(shop(bank, **options), folder) as running:
            for region in running.regions.values():
                region.assume(everybody(), region._ports.clock.monotonic() + 60)
            await scenario(running, bank)

    asyncio.run(main())


def everybody(epoch=1):
    return Assignment(epoch, "active-active", dict.fromkeys(REGIONS, "active"))


async def until(true):
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/any", "/strong", "/home"])
def test_an_effect_is_called_once_and_its_result_is_the_handlers(tmp_path, path):
    async def scenario(s, bank):
        answers = [await s.request("eu", "POST", path, Order("a", 3), key="k") for _ in range(3)]
        assert [msgspec.json.decode(answer.body) for answer in answers] == [{"id": "a", "number": 1}] * 3
        assert [call[:2] for call in bank.calls] == [("a", 3)]

    run(tmp_path, scenario)


@pytest.mark.parametrize("path", ["/any", "/strong"])
def test_a_lost_race_runs_the_handler_again_and_not_the_effect(tmp_path, path):
    async def scenario(s, bank):
        bank.gate = asyncio.Event()
        both = [asyncio.create_task(s.request("eu", "POST", path, Order("a", 3), key=key)) for key in ("k", "l")]
        await until(lambda: len(bank.calls) == 2)
        bank.gate.set()
        assert [answer.status for answer in await asyncio.gather(*both)] == [200, 200]
        assert len(bank.calls) == 2
        assert len({key for *_, key in bank.calls}) == 2

    run(tmp_path, scenario)


def test_what_ended_between_claim_and_result_waits_for_a_person(tmp_path):
    async def scenario(s, bank):
        bank.gate = asyncio.Event()
        first = await s.request("eu", "POST", "/any", Order("a"), key="k")
        bank.gate = None
        again = [await s.request("eu", "POST", "/any", Order("a"), key="k") for _ in range(2)]
        assert (first.status, [answer.status for answer in again]) == (504, [503, 503])
        assert len(bank.calls) == 1
        rows = await s["eu"].store.read([(PARKED, bank.calls[0][2])])
        assert b"time was over" in rows[0].value

    run(tmp_path, scenario)


def test_an_idempotent_effect_of_unknown_outcome_is_called_again_under_its_key(tmp_path):
    async def scenario(s, bank):
        bank.gate = asyncio.Event()
        await s.request("eu", "POST", "/any", Order("a"), key="k")
        bank.gate = None
        assert (await s.request("eu", "POST", "/any", Order("a"), key="k")).status == 200
        assert len(bank.calls) == 2
        assert len({key for *_, key in bank.calls}) == 1

    run(tmp_path, scenario, idempotent=True)


@pytest.mark.parametrize("failure", [NotDone("declined"), ConnectionRefusedError("nobody listens")])
def test_what_surely_was_not_done_is_called_again(tmp_path, failure):
    async def scenario(s, bank):
        bank.failures = [failure]
        assert (await s.request("eu", "POST", "/any", Order("a"), key="k")).status >= 500
        assert (await s.request("eu", "POST", "/any", Order("a"), key="k")).status == 200
        assert len(bank.calls) == 2

    run(tmp_path, scenario)


def test_any_other_exception_is_an_unknown_outcome(tmp_path):
    async def scenario(s, bank):
        bank.failures = [TimeoutError("no answer")]
        answers = [await s.request("eu", "POST", "/any", Order("a"), key="k") for _ in range(2)]
        assert [msgspec.json.decode(answer.body)["code"] for answer in answers] == ["PROA-F002"] * 2
        assert len(bank.calls) == 1

    run(tmp_path, scenario)


def test_what_was_not_done_leaves_no_claim(tmp_path):
    async def scenario(s, bank):
        bank.failures = [NotDone("busy")]
        await s.request("eu", "POST", "/any", Order("a"))
        key = bank.calls[0][2]
        assert (await s["eu"].store.read([(EFFECTS, key)]))[0].value is None

    run(tmp_path, scenario)


def test_a_read_only_unit_calls_none(tmp_path):
    async def scenario(s, bank):
        assert msgspec.json.decode((await s.request("eu", "GET", "/charged")).body)["code"] == "PROA-U001"
        assert bank.calls == []

    run(tmp_path, scenario)


def test_a_message_whose_effect_is_unknown_waits_without_an_attempt(tmp_path):
    async def scenario(s, bank):
        bank.failures = [TimeoutError("no answer")]
        await s.request("eu", "POST", "/mails", Order("a"))
        await until(lambda: s["eu"].messages.intakes["mails"].homes["eu"].depth == 1 and bank.calls)
        await asyncio.sleep(0.05)
        assert len(bank.calls) == 1
        assert not any("Failed" in type(event).__name__ or "Dead" in type(event).__name__ for event in s.events)

    run(tmp_path, scenario)
