"""Effects on real stores: what is done outside is done once, however often the unit runs."""

import asyncio
from dataclasses import dataclass

import msgspec
import pydantic
import pytest

from proa import App
from proa.core.effect import EFFECTS, PARKED
from proa.declare.effects import EffectKey, effect_key
from proa.errors import EffectInFlight, NotDone, NotFound, StoreFull, Unprocessable
from proa.runtime.parked import Parked
from support.inproc import everybody, system, take, until

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
                take(region, everybody())
            await scenario(running, bank)

    asyncio.run(main())


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


def test_an_effect_takes_and_gives_models_of_pydantic(tmp_path):
    class Bill(pydantic.BaseModel):
        id: str
        total: int = 1

    app, calls = App("shop", regions=REGIONS), []

    @app.effect
    async def charge(bill: Bill) -> Bill:
        calls.append(bill)
        return bill.model_copy(update={"total": 7})

    @app.post("/bills", idempotent=True)
    async def pay(bill: Bill) -> Bill:
        return await charge(bill)

    async def main():
        async with system(app, tmp_path) as s:
            for region in s.regions.values():
                take(region, everybody())
            answers = [await s.request("eu", "POST", "/bills", {"id": "a"}, key="k") for _ in range(2)]
            assert [msgspec.json.decode(answer.body) for answer in answers] == [{"id": "a", "total": 7}] * 2
            assert calls == [Bill(id="a")]
            (told,) = await parked(s).listed(every=True)
            assert (told.arguments, told.result) == ({"bill": {"id": "a", "total": 1}}, {"id": "a", "total": 7})

    asyncio.run(main())


# What people say.


async def unknown(s, bank):
    """A request whose effect raised; the effect's key."""
    bank.failures = [TimeoutError("no answer")]
    await s.request("eu", "POST", "/any", Order("a"), key="k")
    return bank.calls[0][2]


def parked(s, region="eu"):
    return Parked(s.app.effects, s[region].effects)


def test_an_effect_that_waits_for_a_person_is_listed_with_all_that_is_known(tmp_path):
    async def scenario(s, bank):
        key = await unknown(s, bank)
        (told,) = await parked(s).listed()
        assert (told.key, told.effect, told.state, told.region, told.store) == (
            key,
            "charge",
            "unknown",
            "eu",
            "regional",
        )
        assert (told.work, told.arguments) == ("POST /any k", {"order": {"id": "a", "qty": 1}})
        assert "no answer" in told.said

    run(tmp_path, scenario)


def test_what_a_person_says_was_done_is_the_result_of_the_next_attempt(tmp_path):
    async def scenario(s, bank):
        key = await unknown(s, bank)
        await parked(s).resolve(key, "ada", b'{"id": "a", "number": 77}')
        answer = await s.request("eu", "POST", "/any", Order("a"), key="k")
        assert msgspec.json.decode(answer.body) == {"id": "a", "number": 77}
        assert len(bank.calls) == 1
        assert await parked(s).listed() == []
        (told,) = await parked(s).listed(every=True)
        assert (told.state, told.resolved_by) == ("done", "ada")
        with pytest.raises(EffectInFlight):
            await parked(s).resolve(key, "ada", None)

    run(tmp_path, scenario)


def test_what_a_person_says_was_not_done_is_called_again(tmp_path):
    async def scenario(s, bank):
        key = await unknown(s, bank)
        await parked(s).resolve(key, "ada", None)
        assert (await s.request("eu", "POST", "/any", Order("a"), key="k")).status == 200
        assert len(bank.calls) == 2

    run(tmp_path, scenario)


def test_a_result_that_the_effect_cannot_have_is_refused(tmp_path):
    async def scenario(s, bank):
        key = await unknown(s, bank)
        with pytest.raises(Unprocessable):
            await parked(s).resolve(key, "ada", b'{"id": "a"}')
        with pytest.raises(NotFound):
            await parked(s).resolve("charge-0", "ada", None)

    run(tmp_path, scenario)


# Two attempts at one unit.


def test_an_attempt_that_stood_still_does_not_overwrite_what_the_next_one_recorded(tmp_path):
    async def scenario(s, bank):
        bank.gate = asyncio.Event()
        first = asyncio.create_task(s.request("eu", "POST", "/strong", Order("a"), key="k"))
        await until(lambda: bank.calls)
        gate, bank.gate = bank.gate, None
        refused = await s.request("us", "POST", "/strong", Order("a"), key="k")
        assert msgspec.json.decode(refused.body)["code"] == "PROA-F003"
        await asyncio.sleep(0.1)
        second = await s.request("us", "POST", "/strong", Order("a"), key="k")
        gate.set()
        assert [call[2] for call in bank.calls] == [bank.calls[0][2]] * 2
        assert msgspec.json.decode(second.body)["number"] == 2
        assert (await first).body == second.body  # it was overtaken, and the key is finished
        (told,) = await parked(s).listed(every=True)
        assert (told.region, told.attempts, told.result) == ("us", 2, {"id": "a", "number": 2})

    run(tmp_path, scenario, idempotent=True, claim_s=0.1)


def test_an_attempt_that_stood_still_may_say_how_its_own_call_ended(tmp_path):
    async def scenario(s, bank):
        bank.gate = asyncio.Event()
        first = asyncio.create_task(s.request("eu", "POST", "/strong", Order("a"), key="k"))
        await until(lambda: bank.calls)
        await asyncio.sleep(0.1)
        second = await s.request("us", "POST", "/strong", Order("a"), key="k")
        assert msgspec.json.decode(second.body)["code"] == "PROA-F002"
        bank.gate.set()
        assert (await first).status == 200
        assert await parked(s, "us").listed() == []
        assert (await s.request("us", "POST", "/strong", Order("a"), key="k")).body == (await first).body
        assert len(bank.calls) == 1

    run(tmp_path, scenario, claim_s=0.1)


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_store_that_fails_between_claim_and_result_makes_no_second_call(tmp_path, nth, acted):
    async def scenario(s, bank):
        store, commits = s["eu"].store, []
        commit = store.commit

        async def failing(batch):
            commits.append(batch)
            if len(commits) == nth:
                if acted:
                    await commit(batch)
                raise StoreFull("no room")
            return await commit(batch)

        store.commit = failing
        answers = [await s.request("eu", "POST", "/any", Order("a"), key="k") for _ in range(3)]
        assert len(bank.calls) == 1
        assert answers[0].status == 507
        after_call = nth == 2 and not acted  # the result was not recorded: nobody knows
        assert [answer.status for answer in answers[1:]] == [503 if after_call else 200] * 2

    run(tmp_path, scenario)
