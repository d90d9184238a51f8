"""Payouts in three regions: money leaves a wallet for a bank account by a saga, which outlives the region it began in.

A wallet and its payouts are `strong`, so what a payout holds back is held back everywhere. The saga holds the amount
back, rests for a moment (a payout may be stopped until then), asks the bank for the transfer, and books it. Where the
bank refuses, or somebody stops it, what was done is undone. The bank is told the same key in every attempt, and knows a
repeat by it: so whichever region goes on with a saga, the money is moved once.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

import clearing
import msgspec
from msgspec import Meta
from msgspec.structs import replace

from proa import AlreadyExists, App, Context, EffectKey, Objectives, Rejected, Retry, Saga, effect_key

app = App(
    "payouts",
    regions=["eu-west-1", "us-east-1", "ap-southeast-1"],
    topology="active-active",
    objectives=Objectives(rto_s=1, rpo_s=0),
)

REST_S = float(os.environ.get("PAYOUTS_REST_S", "2"))
"""For how long a payout rests before the bank hears of it."""
UNTIL_ANSWERED = Retry(attempts=1_000, base_s=0.1, cap_s=5.0)
"""Nobody knows what became of a transfer until the bank has answered, so there is no giving up."""
MinorUnits = Annotated[int, Meta(gt=0, le=10**12)]
"""An amount in the smallest unit of its currency (cents), never a float."""
State = Literal["begun", "held", "paid", "undone"]


class Wallet(msgspec.Struct, frozen=True):
    """What a customer has: `left` to spend, and `held` back for payouts under way."""

    id: str
    left: int
    held: int = 0


class Payout(msgspec.Struct, frozen=True):
    """A payout, and how far it is; `key` is the Idempotency-Key of whoever asked for it."""

    id: str
    wallet: str
    account: str
    amount: int
    key: str
    state: State = "begun"
    reference: str = ""


wallets = app.table("wallets", Wallet, key="id", mode="strong")
payouts = app.table("payouts", Payout, key="id", mode="strong")


# The bank

CLAIM_S = 3.0
"""Well above what the bank may take (`clearing.TAKES_S_MAX`): after this another region asks it again."""


@app.effect(idempotent=True, acknowledge="peer", claim_s=CLAIM_S)
async def transfer(payout: str, account: str, amount: int, key: EffectKey = effect_key) -> clearing.Answer:
    """Have the bank move the money; under the same key it does so once."""
    return await clearing.transfer(payout, account, amount, key)


@app.effect(idempotent=True, acknowledge="peer", claim_s=CLAIM_S)
async def recall(payout: str) -> None:
    """Have the bank give the money of a payout back, or never move it if it has not yet."""
    await clearing.recall(payout)


# The saga


async def hold(id: str) -> None:
    """Hold the amount back."""
    payout = await payouts.get(id)
    wallet = await wallets.get(payout.wallet)
    if wallet.left < payout.amount:
        raise Rejected(f"wallet {wallet.id} has {wallet.left} left, the payout takes {payout.amount}")
    await wallets.put(replace(wallet, left=wallet.left - payout.amount, held=wallet.held + payout.amount))
    await payouts.put(replace(payout, state="held"))


async def release(id: str) -> None:
    """Undo `hold`, if it was done."""
    payout = await payouts.get(id)
    if payout.state == "held":
        wallet = await wallets.get(payout.wallet)
        await wallets.put(replace(wallet, left=wallet.left + payout.amount, held=wallet.held - payout.amount))
    await payouts.put(replace(payout, state="undone"))


async def pay(id: str) -> str:
    """Have the bank move the money; its reference."""
    payout = await payouts.get(id)
    answer = await transfer(payout.id, payout.account, payout.amount)
    if answer.refused:
        raise Rejected(f"the bank says: {answer.refused}")
    return answer.reference


async def take_back(id: str) -> None:
    """Undo `pay`, if it was done: it may have been where somebody stops the payout before the bank has answered."""
    await recall(id)


async def book(id: str, reference: str) -> None:
    """The money is gone from the wallet."""
    payout = await payouts.get(id)
    wallet = await wallets.get(payout.wallet)
    await wallets.put(replace(wallet, held=wallet.held - payout.amount))
    await payouts.put(replace(payout, state="paid", reference=reference))


@app.saga(retry=UNTIL_ANSWERED, concurrency=50)
async def payout(saga: Saga, id: str) -> str:
    """Hold back, rest, pay, book."""
    await saga.step(hold, id, undo=release)
    await saga.sleep(REST_S)
    reference = await saga.step(pay, id, undo=take_back)
    await saga.step(book, id, reference)
    return reference


# The routes


class NewWallet(msgspec.Struct, frozen=True):
    """What a wallet is opened with."""

    left: MinorUnits


class NewPayout(msgspec.Struct, frozen=True):
    """What to pay out, from which wallet, to which bank account."""

    wallet: Annotated[str, Meta(min_length=1, max_length=100)]
    account: Annotated[str, Meta(min_length=1, max_length=34)]
    amount: MinorUnits


@app.put("/wallets/{id}", timeout_s=2)
async def open_wallet(id: str, given: NewWallet) -> Wallet:
    """Open a wallet. One that is open stays as it is."""
    wallet = await wallets.get(id, None)
    if wallet is None:
        wallet = Wallet(id, given.left)
        await wallets.put(wallet)
    return wallet


@app.get("/wallets/{id}")
async def read_wallet(id: str) -> Wallet:
    """A wallet."""
    return await wallets.get(id)


@app.post("/payouts", idempotent=True, timeout_s=2)
async def begin(body: NewPayout, ctx: Context) -> Payout:
    """Begin a payout; its saga begins with this unit, in this region or its stand-in."""
    await wallets.get(body.wallet)
    begun = Payout(f"{ctx.region}:{ctx.unit}", body.wallet, body.account, body.amount, ctx.idempotency_key or "")
    await payouts.put(begun)
    await payout.start(begun.id, id=begun.id)
    return begun


@app.get("/payouts/{id}")
async def read_payout(id: str) -> Payout:
    """A payout and how far it is."""
    return await payouts.get(id)


@app.post("/payouts/{id}/stop", unit="regional")
async def stop(id: str) -> None:
    """Stop a payout: what was done of it is undone, unless it has come to its end."""
    if (await payouts.get(id)).state == "paid":
        raise AlreadyExists(f"payout {id} is paid")
    await payout.cancel(id)
