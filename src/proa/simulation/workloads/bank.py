"""A bank: money moves between accounts, and none is made or lost, in any sight of all accounts at once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.simulation.checkers import bank
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import ACCOUNTS, OPENING, Account
from proa.simulation.workloads.workload import Standard, insist, request

AMOUNT_MAX = 40
"""Large beside what an account holds, so that some transfers are refused."""


class Bank(Standard):
    """Transfers between few accounts, and audits that read them all in one committing unit."""

    kind = "bank"

    async def setup(self, client: Client) -> None:
        asked = request("POST", f"/{self.mode}/accounts", key=client.new_key())
        await insist(client, Call(self.name, "open", "all", None, asked))

    async def act(self, client: Client, rng: Random) -> None:
        if rng.random() < 0.3:
            asked = request("POST", f"/{self.mode}/audit", key=client.new_key())
            await client.ask(Call(self.name, "read", "all", None, asked))
            return
        source, target = rng.sample(ACCOUNTS, 2)
        amount = rng.randint(1, AMOUNT_MAX)
        body = {"source": source, "target": target, "amount": amount}
        asked = request("POST", f"/{self.mode}/transfers", body, client.new_key())
        await client.ask(Call(self.name, "transfer", "all", (source, target, amount), asked))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        table, opening = f"{self.mode}_accounts", dict.fromkeys(ACCOUNTS, OPENING)
        return bank.check(attempts, final, table, self.mode, opening=opening, balance_of=_balance)


def _balance(row: Account) -> int:
    return row.balance
