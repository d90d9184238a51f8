"""The drill of payouts: at the end each has come to its end, and wallets, payouts and the bank's ledger agree.

The bank is started beside the system and stays up. Every tenth account is closed, so that every tenth payout is undone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import ClassVar
from unittest.mock import patch

import clearing
import msgspec
from clearing import Answer, Ledger, Transfer

from proa.chaos import workload
from proa.chaos.workload import Request, Rows, Send

WALLETS = 100
FEW_WALLETS = 5
FUNDS = 10**9
CLOSED_EVERY = 10


class Workload(workload.Workload):
    """Payouts of 1 to 100 from random wallets, each to an account of its own."""

    counted: ClassVar[Mapping[str, str]] = {"payouts": "key"}
    kept: ClassVar[Sequence[str]] = ("wallets",)

    def __init__(self) -> None:
        self.ledger: Ledger | None = None
        """The bank's, in a simulation."""

    @property
    def _wallets(self) -> int:
        return FEW_WALLETS if self.small else WALLETS

    def surroundings(self) -> AbstractContextManager[Mapping[str, str]]:
        """The bank, unless one is there."""
        return nullcontext({}) if clearing.VARIABLE in os.environ else bank()

    @contextmanager
    def simulated(self) -> Generator[None]:
        """A bank that is asked without a network."""
        ledger = self.ledger = Ledger()

        async def transfer(payout: str, account: str, amount: int, key: str) -> Answer:
            return ledger.transfer(payout, account, amount, key)

        async def recall(payout: str) -> None:
            ledger.recall(payout)

        with patch.multiple(clearing, transfer=transfer, recall=recall):
            yield

    async def setup(self, send: Send) -> None:
        """Open the wallets."""
        funds = msgspec.json.encode({"left": FUNDS})
        await asyncio.gather(*(send(Request("PUT", f"/wallets/{_wallet(n)}", funds)) for n in range(self._wallets)))

    def request(self, number: int, rng: Random) -> Request:
        """One payout."""
        account = f"{clearing.CLOSED if number % CLOSED_EVERY == 0 else 'open'}-{number}"
        body = {"wallet": _wallet(rng.randrange(self._wallets)), "account": account, "amount": rng.randint(1, 100)}
        key = f"payout-{number}-{rng.getrandbits(48):012x}"
        return Request("POST", "/payouts", msgspec.json.encode(body), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request | None:  # noqa: ARG002 - the answer says it all
        """The payout must be there, in every region."""
        return Request("GET", f"/payouts/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """Every payout has ended, the bank moved the money of those that are paid, and the wallets say the same."""
        transfers = self.ledger.transfers.values() if self.ledger else transfers_of(clearing.url())
        return [*_unended(rows), *_moved(rows, list(transfers)), *_imbalances(rows)]


@contextmanager
def bank() -> Generator[Mapping[str, str]]:
    """The bank in a process of its own, on a free port; it ends with this block, or with this process."""
    program = [sys.executable, str(Path(__file__).with_name("clearing.py")), "--port", "0", "--until-eof"]
    with subprocess.Popen(  # noqa: S603 - this interpreter and a file beside this one
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the drill, which then ends this
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield {clearing.VARIABLE: process.stdout.readline().strip()}
        finally:
            process.stdin.close()


def transfers_of(url: str) -> list[Transfer]:
    """What a bank has in its ledger."""
    with urllib.request.urlopen(f"{url}/transfers", timeout=10) as answer:  # noqa: S310 - the bank started above
        return msgspec.json.decode(answer.read(), type=list[Transfer])


def _wallet(number: int) -> str:
    return f"drill-{number}"


def _unended(rows: Rows) -> Iterator[str]:
    if open_ := [payout["id"] for payout in rows["payouts"] if payout["state"] not in ("paid", "undone")]:
        yield f"{len(open_)} payouts have not come to their end, {open_[0]} for one"


def _moved(rows: Rows, transfers: Sequence[Transfer]) -> Iterator[str]:
    """What is wrong between the payouts and the bank's ledger."""
    paid = {payout["id"]: payout["amount"] for payout in rows["payouts"] if payout["state"] == "paid"}
    moved = Counter(found.payout for found in transfers if found.moved)
    if twice := [payout for payout, times in moved.items() if times > 1]:
        yield f"the bank moved the money of {len(twice)} payouts more than once, {twice[0]} for one"
    if unpaid := sorted(paid.keys() - moved.keys()):
        yield f"{len(unpaid)} payouts are paid, and the bank moved nothing, {unpaid[0]} for one"
    if unbooked := sorted(moved.keys() - paid.keys()):
        yield f"the bank moved the money of {len(unbooked)} payouts that are not paid, {unbooked[0]} for one"
    if wrong := [one.payout for one in transfers if one.moved and one.amount != paid.get(one.payout, one.amount)]:
        yield f"the bank moved another amount for {len(wrong)} payouts, {wrong[0]} for one"


def _imbalances(rows: Rows) -> Iterator[str]:
    paid: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for payout in rows["payouts"]:
        into = {"paid": paid, "held": held}.get(payout["state"], Counter[str]())
        into[payout["wallet"]] += payout["amount"]
    for wallet in rows["wallets"]:
        name, spent = wallet["id"], FUNDS - wallet["left"] - wallet["held"]
        if (spent, wallet["held"]) != (paid[name], held[name]):
            yield (
                f"wallet {name} has spent {spent} and holds {wallet['held']} back, "
                f"but its payouts took {paid[name]} and hold {held[name]} back"
            )
