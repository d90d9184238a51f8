"""Chaos on the bank that payments asks: slow, failing, gone, and what breaker, budget and fallback make of it."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from proa.app import load_app
from proa.simulation import World, simulated

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
PAYMENTS = str(Path(__file__).parents[2] / "examples" / "payments")
RATE_PER_S = 50
STEADY_S = 20
SLOWEST_S = 3 * (0.2 + 0.3) + 0.05 + 0.1 + 0.1
"""Three attempts, each with its wait for a place; the waits between them; and the way."""


def told(currency):
    from bank import Rate

    return Rate(currency, 920_000)


class Asked:
    """What clients of one region were answered, and how long it took."""

    def __init__(self):
        self.statuses = Counter()
        self.steps = Counter()
        self.took_s = []

    async def one(self, world, door):
        began = world.now
        reply = await door.get("/rates/USD")
        self.took_s.append(world.now - began)
        self.statuses[reply.status] += 1
        self.steps[reply.headers.get("proa-degraded", "")] += 1


async def steady(world, region, seconds):
    """An open loop: `RATE_PER_S` requests a second, whatever becomes of them."""
    asked, door = Asked(), world[region]
    async with asyncio.TaskGroup() as group:
        for _ in range(int(seconds * RATE_PER_S)):
            group.create_task(asked.one(world, door))
            await asyncio.sleep(1 / RATE_PER_S)
    return asked


def counted(world, region, name):
    """The sum of a region's counter over its series."""
    lines = world.region(region).metrics.text().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


TROUBLES = {
    "failing": (lambda bank: bank.fail(), 0.15),
    "mostly failing": (lambda bank: bank.fail(0.7), 0.4),  # a quota of three goes well now and then
    "slow": (lambda bank: bank.slow(3.0), 0.15),
    "gone": (lambda bank: bank.gone(), 0.15),
}
"""What is done to the bank, and the share of the load that still reaches it."""


@pytest.mark.parametrize("trouble", TROUBLES)
@simulated
async def test_a_bank_in_trouble_is_left_alone_and_every_client_is_answered(trouble):
    async with World(load_app(PAYMENTS), seed=7) as world:
        bank = world.dependency("bank").answers(rate_of=told)
        well = await steady(world, EU, 2)
        assert (well.statuses, well.steps) == ({200: 100}, {"": 100})

        harm, share = TROUBLES[trouble]
        harm(bank)
        before = bank.calls
        ill = await steady(world, EU, STEADY_S)
        requests, calls = STEADY_S * RATE_PER_S, bank.calls - before
        assert ill.statuses == {200: requests}
        assert ill.steps["bank=cached"] >= requests * 0.9
        assert max(ill.took_s) <= SLOWEST_S
        # The breaker: a bank in trouble gets a fraction of the load. The budget: few of the calls are repeats.
        assert calls <= requests * share
        assert counted(world, EU, "proa_calls_retried_total") <= 0.1 * (requests + 100) + 10
        assert counted(world, EU, "proa_breaker_opened_total") >= STEADY_S / 2 / 2

        bank.heal()
        await asyncio.sleep(3)
        again = await steady(world, EU, 2)
        assert (again.statuses[200], again.steps[""] >= 95) == (100, True)


@simulated
async def test_a_region_that_never_asked_answers_by_what_another_one_noted():
    async with World(load_app(PAYMENTS), seed=7) as world:
        bank = world.dependency("bank").answers(rate_of=told)
        assert (await world[US].put("/rates/USD")).status == 200
        await world.settle()
        bank.gone()
        reply = await world[EU].get("/rates/USD")
        assert (reply.status, reply.headers["proa-degraded"]) == (200, "bank=last_noted")
        assert msgspec.json.decode(reply.body) == {"currency": "USD", "micro_euros": 920_000}


@simulated
async def test_what_nobody_knows_is_refused_at_once_while_the_breaker_is_open():
    async with World(load_app(PAYMENTS), seed=7) as world:
        world.dependency("bank").gone()
        await asyncio.gather(*(world[EU].get("/rates/GBP") for _ in range(20)))
        began = world.now
        reply = await world[EU].get("/rates/GBP")
        problem = msgspec.json.decode(reply.body)
        assert (reply.status, problem["code"], world.now - began < 0.1) == (503, "PROA-P003", True)
        assert reply.headers["retry-after"] in ("1", "2")


@simulated
async def test_charges_do_not_depend_on_the_bank():
    async with World(load_app(PAYMENTS), seed=7) as world:
        world.dependency("bank").gone()
        door = world[EU]
        await door.put("/accounts/ada", {"currency": "EUR", "limit": 100})
        rates = [asyncio.ensure_future(door.get("/rates/USD")) for _ in range(30)]
        charge = {"account": "ada", "amount": 1, "currency": "EUR"}
        charges = [await door.post("/charges", charge, key=f"k{number}") for number in range(10)]
        assert [reply.status for reply in charges] == [200] * 10
        await asyncio.gather(*rates)
