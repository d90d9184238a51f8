"""The drill of payments: charges on many accounts, and at the end the books must balance in every region."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import ClassVar

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows, Send

ACCOUNTS = 300
FEW_ACCOUNTS = 5
LIMIT = 10**9


class Workload(workload.Workload):
    """Charges of 1 to 100 on random accounts; the reference of each is its Idempotency-Key, so doubles show."""

    counted: ClassVar[Mapping[str, str]] = {"charges": "reference"}
    kept: ClassVar[Sequence[str]] = ("accounts",)

    @property
    def _accounts(self) -> int:
        return FEW_ACCOUNTS if self.small else ACCOUNTS

    async def setup(self, send: Send) -> None:
        """Open the accounts."""
        terms = msgspec.json.encode({"currency": "EUR", "limit": LIMIT})
        await asyncio.gather(*(send(Request("PUT", f"/accounts/{_account(n)}", terms)) for n in range(self._accounts)))

    def request(self, number: int, rng: Random) -> Request:
        """One charge."""
        key = f"charge-{number}-{rng.getrandbits(48):012x}"
        body = {
            "account": _account(rng.randrange(self._accounts)),
            "amount": rng.randint(1, 100),
            "currency": "EUR",
            "reference": key,
        }
        return Request("POST", "/charges", msgspec.json.encode(body), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request | None:  # noqa: ARG002 - the answer says it all
        """The charge must be there, in every region."""
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
