"""The drill of payments: charges on many accounts, and at the end the books must balance in every region.

In a simulation, where the bank can be broken, some requests ask for a rate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import ClassVar
from unittest.mock import patch

import bank
import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows, Send

ACCOUNTS = 300
FEW_ACCOUNTS = 5
LIMIT = 10**9
RATE_EVERY = 4
"""One request in so many asks for a rate, in a simulation."""
FOREIGN = bank.Rate("USD", bank.RATES["USD"])
RATE = f"/rates/{FOREIGN.currency}"


async def said(currency: str) -> bank.Rate:
    """What the bank of a simulation says."""
    return bank.Rate(currency, bank.RATES[currency])


class Workload(workload.Workload):
    """Charges of 1 to 100 on random accounts; the reference of each is its Idempotency-Key, so doubles show."""

    counted: ClassVar[Mapping[str, str]] = {"charges": "reference"}
    kept: ClassVar[Sequence[str]] = ("accounts",)

    @property
    def _accounts(self) -> int:
        return FEW_ACCOUNTS if self.small else ACCOUNTS

    @contextmanager
    def simulated(self) -> Generator[None]:
        """A bank that knows its rates; worlds break it."""
        with patch.object(bank, "ask", said):
            yield

    async def setup(self, send: Send) -> None:
        """Open the accounts; in a simulation a rate is noted, so that every region has something to fall back on."""
        if self.small:
            await send(Request("PUT", RATE))
        terms = msgspec.json.encode({"currency": "EUR", "limit": LIMIT})
        await asyncio.gather(*(send(Request("PUT", f"/accounts/{_account(n)}", terms)) for n in range(self._accounts)))

    def request(self, number: int, rng: Random) -> Request:
        """One charge, or a rate."""
        if self.small and number % RATE_EVERY == 0:
            return Request("GET", RATE)
        key = f"charge-{number}-{rng.getrandbits(48):012x}"
        body = {
            "account": _account(rng.randrange(self._accounts)),
            "amount": rng.randint(1, 100),
            "currency": "EUR",
            "reference": key,
        }
        return Request("POST", "/charges", msgspec.json.encode(body), key=key)

    def examine(self, request: Request, answer: bytes) -> str | None:
        """A rate is what the bank says, or said."""
        if request.path != RATE:
            return None
        rate = msgspec.json.decode(answer, type=bank.Rate)
        return "" if rate == FOREIGN else f"{rate} is not what the bank says, {FOREIGN}"

    def read_back(self, request: Request, answer: bytes) -> Request | None:
        """The charge must be there, in every region."""
        if request.path == RATE:
            return None
        return Request("GET", f"/charges/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """What an account lost is what its charges took."""
        return list(_imbalances(rows))


def _account(number: int) -> str:
    return f"drill-{number}"


def _imbalances(rows: Rows) -> Iterator[str]:
    taken: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for charge in rows["charges"]:
        taken[charge["account"]] += charge["amount"]
        count[charge["account"]] += 1
    for account in rows["accounts"]:
        spent = account["limit"] - account["left"]
        if (spent, account["charges"]) != (taken[account["id"]], count[account["id"]]):
            yield (
                f"account {account['id']} is missing {spent} after {account['charges']} charges, "
                f"but its {count[account['id']]} charges took {taken[account['id']]}"
            )
