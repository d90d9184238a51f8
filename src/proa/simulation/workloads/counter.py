"""Counters: each increment counts once, however often its request was sent and however it collided."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from proa.simulation.checkers import counter
from proa.simulation.checkers.evidence import firm
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import Counter, Held
from proa.simulation.workloads.workload import Workload, overlaps, own, remaining, request

KEYS = ("hits", "misses")
AMOUNT_MAX = 5


class Counters(Workload):
    """Increments of few counters; each is answered with what it made of the counter."""

    def __init__(self, mode: Held) -> None:
        self._mode: Held = mode
        self._name = f"{mode} counters"

    @property
    def name(self) -> str:
        return self._name

    async def act(self, client: Client, rng: Random) -> None:
        key, amount = rng.choice(KEYS), rng.randint(1, AMOUNT_MAX)
        asked = request("POST", f"/{self._mode}/counters/{key}", {"value": amount}, client.new_key())
        await client.ask(Call(self._name, "add", key, amount, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        operations, end = remaining(own(history, self._name), final, self._mode)
        seen = [_as_read(one) for one in firm(operations, end, self._mode) if one.outcome == "ok"]
        table = f"{self._mode}_counters"
        return counter.check(operations + seen, end, table, self._mode, value_of=_value, linearizable=True)

    def collisions(self, history: Sequence[Operation]) -> int:
        """Increments of one counter under way at the same time."""
        return overlaps(own(history, self._name))


def _as_read(add: Operation) -> Operation:
    """An increment's answer tells what the counter was right after it."""
    return replace(add, action="read", idempotency_key="")


def _value(row: Counter) -> int:
    return row.value
