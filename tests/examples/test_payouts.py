"""Payouts: money is held back, moved by the bank once, and booked; or everything is undone."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from proa.app import load_app
from proa.chaos.workload import load_workload
from proa.simulation import World, simulated

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
PAYOUTS = Path(__file__).parents[2] / "examples" / "payouts"
DRILL = load_workload(PAYOUTS / "drill.py")
clearing = sys.modules["clearing"]


class Story:
    """A world of payouts with a wallet of 100, and the bank's ledger."""

    def __init__(self, world, ledger):
        self.world = world
        self.ledger = ledger

    async def begin(self, amount, account="open-1"):
        body = {"wallet": "ada", "account": account, "amount": amount}
        return (await self.world[EU].post("/payouts", body, key=f"k-{account}")).json()["id"]

    def wallet(self):
        wallet = self.world.table("witness", "wallets")["ada"]
        return (wallet.left, wallet.held)

    def payout(self, id):
        return self.world.table("witness", "payouts")[id]

    async def until(self, id, state):
        await self.world.until(lambda: self.payout(id).state == state)

    @property
    def moved(self):
        """Of which payouts the bank moved the money, and how much."""
        return [(one.payout, one.amount) for one in self.ledger.transfers.values() if one.moved]


@asynccontextmanager
async def payouts(**options):
    with DRILL.simulated():
        async with World(load_app(str(PAYOUTS)), seed=5, **options) as world:
            await world[EU].put("/wallets/ada", {"left": 100})
            yield Story(world, DRILL.ledger)


@simulated
async def test_a_payout_is_held_back_moved_once_and_booked():
    async with payouts() as story:
        made = await story.begin(70)
        await story.until(made, "held")
        assert (story.wallet(), story.moved) == ((30, 70), [])
        await story.until(made, "paid")
        assert (story.wallet(), story.moved) == ((30, 0), [(made, 70)])
        assert story.payout(made).reference == "T000001"


@pytest.mark.parametrize(("amount", "account"), [(101, "open-1"), (70, "closed-1")])
@simulated
async def test_a_payout_that_is_more_than_is_left_or_that_the_bank_refuses_is_undone(amount, account):
    async with payouts() as story:
        await story.until(await story.begin(amount, account), "undone")
        assert (story.wallet(), story.moved) == ((100, 0), [])


@simulated
async def test_a_payout_can_be_stopped_while_it_rests_and_not_when_it_is_paid():
    async with payouts() as story:
        stopped, paid = await story.begin(20, "open-1"), await story.begin(30, "open-2")
        await story.until(stopped, "held")
        assert (await story.world[US].post(f"/payouts/{stopped}/stop")).status == 204
        await story.until(stopped, "undone")
        await story.until(paid, "paid")
        assert (await story.world[US].post(f"/payouts/{paid}/stop")).status == 409
        assert (story.wallet(), story.moved) == ((70, 0), [(paid, 30)])


@simulated
async def test_a_payout_that_is_stopped_before_the_bank_has_answered_is_taken_back():
    async with payouts() as story:
        told = clearing.transfer

        async def unheard(*order):
            await told(*order)
            raise TimeoutError

        with patch.object(clearing, "transfer", unheard):
            made = await story.begin(70)
            await story.world.until(lambda: story.moved)
            assert (await story.world[EU].post(f"/payouts/{made}/stop")).status == 204
            await story.until(made, "undone")
        assert (story.wallet(), story.moved) == ((100, 0), [])


@simulated
async def test_a_payout_goes_on_in_another_region_when_its_own_is_lost_while_it_rests():
    async with payouts(lease_s=2, failover="automatic") as story:
        made = await story.begin(70)
        await story.until(made, "held")
        await asyncio.sleep(0.5)
        story.world.lose(EU)
        await story.until(made, "paid")
        assert (story.wallet(), story.moved) == ((30, 0), [(made, 70)])
        story.world.heal()
        await story.world.settle()
        assert (story.wallet(), story.moved) == ((30, 0), [(made, 70)])


PAID = {"id": "p1", "wallet": "ada", "account": "open-1", "amount": 10, "key": "k1", "state": "paid", "reference": "T1"}
WALLET = {"id": "ada", "left": 10**9 - 10, "held": 0}


def complaints(payouts, wallet, *orders):
    """What the drill's check says, where the bank was given these orders: payout, amount and key."""
    with DRILL.simulated():
        for payout, amount, key in orders:
            DRILL.ledger.transfer(payout, "open-1", amount, key)
        return DRILL.check({"payouts": payouts, "wallets": [wallet]})


def test_books_that_agree_raise_no_complaint():
    assert complaints([PAID], WALLET, ("p1", 10, "k")) == []


@pytest.mark.parametrize(
    ("payout", "wallet", "orders", "complaint"),
    [
        ({"state": "held"}, {"left": 10**9 - 10, "held": 10}, [], "have not come to their end"),
        ({}, {}, [("p1", 10, "k"), ("p1", 10, "other")], "more than once"),
        ({}, {}, [], "the bank moved nothing"),
        ({"state": "undone"}, {"left": 10**9}, [("p1", 10, "k")], "that are not paid"),
        ({}, {}, [("p1", 11, "k")], "another amount"),
        ({}, {"left": 10**9 - 20}, [("p1", 10, "k")], "has spent 20"),
    ],
)
def test_the_drill_notices_books_that_do_not_agree(payout, wallet, orders, complaint):
    found = complaints([PAID | payout], WALLET | wallet, *orders)
    assert [said for said in found if complaint in said]
