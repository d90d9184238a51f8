"""Lists that are read, appended to and written back: what one writer saw, the next one must not lose.

Where a row has one value at a time, every acknowledged element stays, in order. Where rows are merged and the last
writer wins, elements of concurrent writers may go; but a list that had been built on another one is never replaced by
it, whatever the clocks of the two regions said.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import append
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import Items
from proa.simulation.workloads.workload import Standard, request

KEYS = ("log", "news")


class Lists(Standard):
    """Appends of unique elements to few lists; each is answered with the whole list."""

    kind = "lists"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._last = 0

    async def act(self, client: Client, rng: Random) -> None:
        self._last += 1
        key, element = rng.choice(KEYS), self._last
        asked = request("POST", f"/{self.mode}/lists/{key}", {"value": element}, client.new_key())
        via = rng.choice(client.regions) if self.mode == "any" else self.door(client, rng)
        await client.ask(Call(self.name, "append", key, element, asked, via))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        return append.check(attempts, final, f"{self.mode}_lists", self.mode, items_of=_items)


def _items(row: Items) -> Sequence[int]:
    return row.value
