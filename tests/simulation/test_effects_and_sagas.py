"""Effects and sagas where regions are lost and processes die in the middle of a step."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pytest

from proa import App
from proa.core.policy.retry import Retry
from proa.core.saga import SAGAS
from proa.declare.effects import EffectKey, effect_key
from proa.declare.sagas import Saga
from proa.runtime.parked import Parked
from proa.runtime.sagas.course import decode_record
from proa.simulation import World, simulated

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"


@dataclass
class Order:
    id: str
    amount: int = 1


@dataclass
class Receipt:
    key: str


class Bank:
    """The world outside: it outlives every region, and remembers what it was asked for."""

    def __init__(self):
        self.charged = []
        self.refunded = []

    async def charge(self, order, key):
        await asyncio.sleep(0.02)
        self.charged.append((order.id, key))
        await asyncio.sleep(0.02)


def payments(bank, **options):
    app = App("payments", regions=[EU, US, AP], lease_s=2, failover="automatic")
    orders = app.table("orders", Order, key="id")

    @app.effect(**options)
    async def charge(order: Order, key: EffectKey = effect_key) -> Receipt:
        await bank.charge(order, key)
        return Receipt(key)

    @app.effect(idempotent=True)
    async def refund(order: Order, key: EffectKey = effect_key) -> None:
        bank.refunded.append((order.id, key))

    async def reserve(order: Order) -> None:
        await orders.put(order)

    async def release(order: Order) -> None:
        await orders.delete(order.id)

    async def pay(order: Order) -> Receipt:
        return await charge(order)

    async def confirm(order: Order, receipt: Receipt) -> None:
        await orders.put(Order(order.id, order.amount + 1))

    @app.saga(retry=Retry(attempts=3, base_s=0.1))
    async def payment(saga: Saga, order: Order) -> str:
        await saga.step(reserve, order, undo=release)
        receipt = await saga.step(pay, order)
        await saga.sleep(1)
        await saga.step(confirm, order, receipt)
        return receipt.key

    @app.post("/payments", idempotent=True)
    async def start(order: Order) -> str:
        return await payment.start(order, id=order.id)

    @app.post("/charges", idempotent=True, unit="regional")
    async def direct(order: Order) -> Receipt:
        receipt = await charge(order)
        await orders.put(order)
        return receipt

    return app


def sagas(world, region):
    """The sagas as a region has them, by id."""
    state = world.final().regions[region]
    return {
        (record := decode_record(row.value)).id: record
        for (table, _), row in state.rows.items()
        if table == SAGAS and row.value is not None
    }


def ended(world, id_, region=US):
    record = sagas(world, region).get(id_)
    return record is not None and record.ended


async def person(world, bank):
    """Somebody who looks at the effects that wait, and on the other side, and says what became of them; how many."""
    settled = 0
    for name in (EU, US, AP):
        region, life = world.region(name), world.nodes[name].life
        if region is not None and life is not None and not life.halted:
            parked = Parked(world.app.effects, region.effects)
            settled += await life.run(life.spawn, said(parked, bank, name))
    return settled


async def said(parked, bank, name):
    waits = [one for one in await parked.listed() if one.here and (one.region == name or "saga" in one.work)]
    for one in waits:
        done = any(key == one.key for _, key in bank.charged)
        await parked.resolve(one.key, "ada", b'{"key": "%s"}' % one.key.encode() if done else None)
    return len(waits)


@simulated
async def test_a_saga_goes_on_in_another_region_when_its_own_is_lost_between_two_steps():
    bank = Bank()
    async with World(payments(bank, acknowledge="peer"), seed=3, failover="automatic") as world:
        assert (await world[EU].post("/payments", Order(f"{EU}:1"), key="k")).status == 200
        await world.until(lambda: bank.charged)
        await asyncio.sleep(0.5)
        world.lose(EU)
        await world.until(lambda: ended(world, f"{EU}:1"), within_s=120)
        assert sagas(world, US)[f"{EU}:1"].status == "done"
        assert world.table(US, "orders") == {f"{EU}:1": Order(f"{EU}:1", 2)}
        assert len(bank.charged) == 1
        world.heal()
        await world.settle()
        assert len(bank.charged) == 1


@pytest.mark.parametrize("nth", range(1, 60, 3))
@simulated
async def test_an_idempotent_effect_is_charged_under_one_key_wherever_its_region_dies(nth):
    bank = Bank()
    async with World(payments(bank, idempotent=True), seed=nth) as world:
        await world[EU].post("/payments", Order(f"{EU}:1"), key="k")
        world.at_port(EU, nth, "kill")
        await world.until(lambda: ended(world, f"{EU}:1"), within_s=120)
        assert sagas(world, US)[f"{EU}:1"].status == "done"
        assert len(set(bank.charged)) == 1


@pytest.mark.parametrize("nth", range(1, 60, 3))
@simulated
async def test_an_effect_is_never_charged_twice_wherever_its_region_dies(nth):
    bank, waited = Bank(), 0
    async with World(payments(bank), seed=nth) as world:
        await world[EU].post("/payments", Order(f"{EU}:1"), key="k")
        world.at_port(EU, nth, "kill")
        for _ in range(60):
            await asyncio.sleep(1)
            waited += await person(world, bank)
            if ended(world, f"{EU}:1"):
                break
        assert sagas(world, US)[f"{EU}:1"].status == "done"
        assert len(bank.charged) == 1


@pytest.mark.parametrize("nth", range(1, 25))
@simulated
async def test_a_request_repeated_after_a_crash_at_any_port_call_charges_once(nth):
    bank = Bank()
    async with World(payments(bank), seed=nth) as world:
        world.at_port(EU, nth, "kill")
        for _ in range(10):
            with suppress(ConnectionError, TimeoutError):
                answer = await world[EU].post("/charges", Order("a"), key="k", timeout_s=2)
                if answer.status == 200:
                    break
            await asyncio.sleep(1)
            await person(world, bank)
        assert answer.json() == {"key": bank.charged[0][1]}
        assert len(bank.charged) == 1
