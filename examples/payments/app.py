"""Payments in three regions, all active: money is strong, preferences are not.

A charge and the limit it spends live in `strong` tables, so the two change together in the global store: two regions
that spend the last unit at once cannot both succeed, and a client that repeats its Idempotency-Key in another region is
given the first answer. What a customer prefers may be written anywhere at any time, also while the global store is
gone; the last writer wins. What a foreign amount is worth is asked of a bank: behind policies, and with something to
answer where the bank does not.
"""

from __future__ import annotations

from typing import Annotated

import bank as the_bank
import msgspec
from bank import Rate
from msgspec import Meta

from proa import AlreadyExists, App, Breaker, Budget, Bulkhead, Context, Objectives, Retry, cached, merge

app = App(
    "payments",
    regions=["eu-west-1", "us-east-1", "ap-southeast-1"],
    topology="active-active",
    objectives=Objectives(rto_s=1, rpo_s=0),
)

Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
MinorUnits = Annotated[int, Meta(gt=0, le=10**12)]
"""An amount in the smallest unit of its currency (cents), never a float."""


# The tables


class Account(msgspec.Struct, frozen=True):
    """What a customer may still spend. `charges` counts the charges that were ever taken from it."""

    id: str
    currency: str
    limit: int
    left: int
    charges: int = 0


class Charge(msgspec.Struct, frozen=True):
    """A charge that was accepted. There is no pending one: it exists together with what it took from the account."""

    id: str
    account: str
    amount: int
    currency: str
    reference: str


class Preferences(msgspec.Struct, frozen=True):
    """How a customer wants to be talked to."""

    customer: str
    language: str = "en"
    receipts: bool = True


accounts = app.table("accounts", Account, key="id", mode="strong")
charges = app.table("charges", Charge, key="id", mode="strong")
preferences = app.table("preferences", Preferences, key="customer", mode="any", merge=merge.last_writer())
rates = app.table("rates", Rate, key="currency", mode="any", merge=merge.last_writer())


# The bank

bank = app.dependency(
    "bank",
    retry=Retry(attempts=3, base_s=0.05, cap_s=0.5),
    budget=Budget(ratio=0.1),
    breaker=Breaker(failure_rate=0.5, slow_s=0.25, window_s=10, min_calls=10, open_s=2),
    bulkhead=Bulkhead(20, max_waiting=20, wait_s=0.2),
    timeout_s=0.3,
)


async def last_noted(currency: str) -> Rate:
    """The rate that somebody asked the bank for and noted."""
    return await rates.get(currency)


@bank.call(idempotent=True, fallback=(cached(60), last_noted))
async def rate_of(currency: str) -> Rate:
    """What the bank says now; else what it said to this region lately; else what any region has noted."""
    return await the_bank.ask(currency)


# The routes


class LimitExceeded(AlreadyExists):
    """The charge is larger than what is left of the account's limit; nothing was taken.

    Cause: earlier charges, perhaps in another region a moment ago, spent the limit.
    Fix: charge less, or raise the account's limit.
    """

    code = "PAYMENTS-LIMIT"
    title = "Limit exceeded"


class NewAccount(msgspec.Struct, frozen=True):
    """The terms an account is opened with."""

    currency: Currency
    limit: MinorUnits


@app.put("/accounts/{id}", timeout_s=2)
async def open_account(id: str, terms: NewAccount) -> Account:
    """Open an account. The same terms again change nothing; other terms for an open account are refused."""
    account = await accounts.get(id, None)
    if account is None:
        account = Account(id, terms.currency, terms.limit, terms.limit)
        await accounts.put(account)
    elif (account.currency, account.limit) != (terms.currency, terms.limit):
        raise AlreadyExists(f"account {id} was opened with other terms")
    return account


@app.get("/accounts/{id}")
async def read_account(id: str) -> Account:
    """An account and what is left of it."""
    return await accounts.get(id)


class NewCharge(msgspec.Struct, frozen=True):
    """What to take from whom. `reference` is the caller's own, such as an invoice number."""

    account: str
    amount: MinorUnits
    currency: Currency
    reference: Annotated[str, Meta(max_length=100)] = ""


@app.post("/charges", idempotent=True, timeout_s=2)
async def charge(body: NewCharge, ctx: Context) -> Charge:
    """Take an amount from an account, exactly once for one Idempotency-Key, whichever regions it is sent to."""
    account = await accounts.get(body.account)
    if account.currency != body.currency:
        raise AlreadyExists(f"account {account.id} is kept in {account.currency}")
    if account.left < body.amount:
        raise LimitExceeded(f"account {account.id} has {account.left} left, the charge takes {body.amount}")
    taken = Charge(ctx.unit, body.account, body.amount, body.currency, body.reference)
    await accounts.put(msgspec.structs.replace(account, left=account.left - body.amount, charges=account.charges + 1))
    await charges.put(taken)
    return taken


@app.get("/charges/{id}")
async def read_charge(id: str) -> Charge:
    """A charge that was accepted."""
    return await charges.get(id)


class NewPreferences(msgspec.Struct, frozen=True):
    """A customer's choice."""

    language: Annotated[str, Meta(pattern="^[a-z]{2}$")] = "en"
    receipts: bool = True


@app.put("/customers/{id}/preferences", objectives=Objectives(rpo_s=1))
async def prefer(id: str, chosen: NewPreferences) -> Preferences:
    """Keep a customer's choice; any region takes it, and the last one stands everywhere."""
    preference = Preferences(id, chosen.language, chosen.receipts)
    await preferences.put(preference)
    return preference


@app.get("/customers/{id}/preferences")
async def read_preferences(id: str) -> Preferences:
    """A customer's choice, as far as this region knows it."""
    return await preferences.get(id)


@app.get("/rates/{currency}", timeout_s=2)
async def read_rate(currency: str) -> Rate:
    """What a currency is worth; the answer says so (`proa-degraded`) if the bank was not there to ask."""
    return await rate_of(currency)


@app.put("/rates/{currency}", timeout_s=2)
async def note_rate(currency: str) -> Rate:
    """Ask the bank, and note what it says in every region."""
    rate = await rate_of(currency)
    await rates.put(rate)
    return rate
