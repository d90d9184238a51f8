"""Effects and sagas where regions are lost and processes die in the middle of a step."""

import asyncio
from dataclasses import dataclass

import pytest

from proa import App
from proa.core.policy.retry import Retry
from proa.core.saga import SAGAS
from proa.declare.effects import EffectKey, effect_key
from proa.declare.sagas import Saga
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


async def resolve(world, bank):
    """A person looks on the other side, and says what became of every effect that waits."""
    for name in (EU, US, AP):
        region = world.machines[name].running.region if False else None
    return region


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
