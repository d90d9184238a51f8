"""Transfers through a bank in trouble: an app with every policy of a dependency and of the way in, and what must hold.

The bank tells repeats apart by the transfer's id, and keeps a ledger. No region has a transfer that the bank never
made, and the bank makes none twice, however often it is asked: by retries, hedges, runs of a handler that lost a race,
or clients that repeat their key. A quote says that it is a guess exactly if it is one. Simulate it as
`proa.simulation.workloads.dependent:app`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Any

import msgspec

from proa.app import App
from proa.core.policy.breaker import Breaker
from proa.core.policy.budget import Budget
from proa.core.policy.bulkhead import Bulkhead
from proa.core.policy.fallback import cached
from proa.core.policy.firewall import Rule
from proa.core.policy.hedge import Hedge
from proa.core.policy.limiter import Limit
from proa.core.policy.retry import Retry
from proa.core.policy.slots import Concurrency
from proa.core.policy.throttle import Throttle
from proa.simulation.checkers import loss
from proa.simulation.client import Call, Client, Reply
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import LEASE_S, REGIONS, TIMEOUT_S, Value
from proa.simulation.workloads.workload import Workload, overlaps, own, request

TRANSFERS = 12
QUOTED = 0.5
GUESS = 0
WORTH = 7
"""What the bank says; nobody else does."""


class Made(msgspec.Struct, frozen=True):
    """A transfer that the bank has made."""

    id: str
    amount: int
    receipt: str


class Ledger:
    """The bank: what it has made under which id, and how often it was asked to."""

    def __init__(self) -> None:
        self.made: dict[str, Made] = {}
        self.asked: Counter[str] = Counter()

    def make(self, id: str, amount: int) -> Made:
        """Make a transfer, or find it made."""
        self.asked[id] += 1
        return self.made.setdefault(id, Made(id, amount, f"receipt {len(self.made)}"))


ledger = Ledger()
app = App("dependent", regions=REGIONS, lease_s=LEASE_S)
app.throttle(Throttle(15, burst=4, per="route"))
app.concurrency(Concurrency(limit_min=2, limit_first=4))
app.firewall(Rule(name="hostile", patterns=["sql", "script"]))
transfers = app.table("transfers", Made, key="id")
bank = app.dependency(
    "bank",
    retry=Retry(attempts=3, base_s=0.05, cap_s=0.2),
    budget=Budget(ratio=0.2, burst=10),
    breaker=Breaker(slow_s=0.4, window_calls=20, min_calls=5, open_s=1.0, shared=True),
    limit=Limit(100),
    bulkhead=Bulkhead(5, max_waiting=5, wait_s=0.3),
    timeout_s=0.5,
)


async def guess() -> int:
    """What a quote is without the bank."""
    return GUESS


@bank.call(idempotent=True, hedge=Hedge(after_s=0.3))
async def wire(id: str, amount: int) -> Made:
    """Ask the bank for a transfer."""
    return ledger.make(id, amount)


@bank.call(idempotent=True, fallback=(cached(0.5), guess))
async def worth() -> int:
    """Ask the bank for a quote."""
    return WORTH


@app.post("/transfers/{id}", idempotent=True, timeout_s=TIMEOUT_S)
async def transfer(id: str, body: Value) -> Made:
    """A transfer, and the row that tells of it."""
    made = await wire(id, body.value)
    await transfers.put(made)
    return made


@app.get("/quote", timeout_s=TIMEOUT_S)
async def quote() -> int:
    """What the bank says, or a guess."""
    return await worth()


class Transfers(Workload):
    """Clients order transfers, some of them twice, and ask for quotes."""

    @property
    def name(self) -> str:
        return "transfers"

    def surroundings(self) -> AbstractContextManager[None]:
        return _fresh()

    async def act(self, client: Client, rng: Random) -> None:
        if rng.random() < QUOTED:
            await client.ask(Call(self.name, "quote", "", None, request("GET", "/quote"), read=_told))
            return
        which, amount = f"t{rng.randrange(TRANSFERS)}", rng.randint(1, 50)
        asked = request("POST", f"/transfers/{which}", {"value": amount}, client.new_key())
        await client.ask(Call(self.name, "transfer", which, amount, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        attempts = own(history, self.name)
        ordered = [one for one in attempts if one.action == "transfer"]
        return [
            *_guesses(attempts),
            *_invented(final),
            *_doubled(ordered),
            *loss.check(ordered, final, "any", rpo_s=None),
        ]

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often a transfer was ordered while another order of it was under way."""
        return overlaps([one for one in own(history, self.name) if one.action == "transfer"])


@contextmanager
def _fresh() -> Generator[None]:
    """Every world has a bank of its own."""
    ledger.made.clear()
    ledger.asked.clear()
    yield


def _told(reply: Reply) -> Any:
    return reply.json(), reply.headers.get("proa-degraded", "")


def _guesses(attempts: Sequence[Operation]) -> list[Violation]:
    """Quotes that do not say what they are."""
    told = [one.result for one in attempts if one.action == "quote" and one.outcome == "ok"]
    wrong = [(value, mark) for value, mark in told if (value == GUESS) != (mark == "bank=guess")]
    return [Violation("a guess says that it is one", f"{value} was marked {mark!r}") for value, mark in wrong]


def _invented(final: Final) -> list[Violation]:
    """Transfers that a region has and the bank has not."""
    return [
        Violation("every transfer was made", f"{region} has {row.id} with {row.receipt!r}")
        for region in final.regions
        for row in final.table(region, "transfers").values()
        if row != ledger.made.get(row.id)
    ]


def _doubled(ordered: Sequence[Operation]) -> list[Violation]:
    """Transfers of which clients were told two things."""
    told: dict[str, set[str]] = {}
    for one in ordered:
        if one.outcome == "ok":
            told.setdefault(one.key, set()).add(one.result["receipt"])
    twice = {which: sorted(said) for which, said in told.items() if len(said) > 1}
    return [Violation("a transfer is made once", f"{which}: {said}") for which, said in twice.items()]
