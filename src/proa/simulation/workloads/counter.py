"""Counters: each increment counts once, however often its request was sent and however it collided."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from proa.simulation.checkers import counter
from proa.simulation.checkers.evidence import firm
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import Counter
from proa.simulation.workloads.workload import Standard, request

KEYS = ("hits", "misses")
AMOUNT_MAX = 5
KEYLESS = {"strong": 0.25, "home": 0.4}
"""So many of the increments carry no Idempotency-Key: nobody may send those twice."""


class Counters(Standard):
    """Increments of few counters; each is answered with what it made of the counter."""

    kind = "counters"

    async def act(self, client: Client, rng: Random) -> None:
        key, amount = rng.choice(KEYS), rng.randint(1, AMOUNT_MAX)
        keyless = self.mode in KEYLESS and rng.random() < KEYLESS[self.mode]
        idempotency_key = "" if keyless else client.new_key()
        asked = request("POST", f"/{self.mode}/counters/{key}", {"value": amount}, idempotency_key)
        await client.ask(Call(self.name, "add", key, amount, asked, self.door(client, rng)))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        seen = [_as_read(one) for one in firm(attempts, final, self.mode) if one.outcome == "ok"]
        table = f"{self.mode}_counters"
        return counter.check([*attempts, *seen], final, table, self.mode, value_of=_value, linearizable=True)


def _as_read(add: Operation) -> Operation:
    """An increment's answer tells what the counter was right after it."""
    return replace(add, action="read", idempotency_key="")


def _value(row: Counter) -> int:
    return row.value
