"""A bank: money moves between accounts, and none is made or lost, in any sight of all accounts at once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.simulation.checkers import bank
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import ACCOUNTS, OPENING, Account, Held
from proa.simulation.workloads.workload import Workload, insist, overlaps, own, remaining, request

AMOUNT_MAX = 40
"""Large beside what an account holds, so that some transfers are refused."""


class Bank(Workload):
    """Transfers between few accounts, and audits that read them all in one committing unit."""

    def __init__(self, mode: Held) -> None:
        self._mode: Held = mode
        self._name = f"{mode} bank"

    @property
    def name(self) -> str:
        return self._name

    async def setup(self, client: Client) -> None:
        asked = request("POST", f"/{self._mode}/accounts", key=client.new_key())
        await insist(client, Call(self._name, "open", "all", None, asked))

    async def act(self, client: Client, rng: Random) -> None:
        if rng.random() < 0.3:
            asked = request("POST", f"/{self._mode}/audit", key=client.new_key())
            await client.ask(Call(self._name, "read", "all", None, asked))
            return
        source, target = rng.sample(ACCOUNTS, 2)
        amount = rng.randint(1, AMOUNT_MAX)
        body = {"source": source, "target": target, "amount": amount}
        asked = request("POST", f"/{self._mode}/transfers", body, client.new_key())
        await client.ask(Call(self._name, "transfer", "all", (source, target, amount), asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        operations, end = remaining(own(history, self._name), final, self._mode)
        table = f"{self._mode}_accounts"
        return bank.check(
            operations, end, table, self._mode, opening=dict.fromkeys(ACCOUNTS, OPENING), balance_of=_balance
        )

    def collisions(self, history: Sequence[Operation]) -> int:
        """Transfers and audits under way at the same time."""
        return overlaps(own(history, self._name))


def _balance(row: Account) -> int:
    return row.balance
