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
from proa.simulation.workloads.workload import Workload, overlaps, own, remaining, request

KEYS = ("log", "news")


class Lists(Workload):
    """Appends of unique elements to few lists; each is answered with the whole list."""

    def __init__(self, mode: Mode) -> None:
        self._mode: Mode = mode
        self._name = f"{mode} lists"
        self._last = 0

    @property
    def name(self) -> str:
        return self._name

    async def act(self, client: Client, rng: Random) -> None:
        self._last += 1
        key, element = rng.choice(KEYS), self._last
        asked = request("POST", f"/{self._mode}/lists/{key}", {"value": element}, client.new_key())
        via = rng.choice(client.regions) if self._mode == "any" else ""
        await client.ask(Call(self._name, "append", key, element, asked, via))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        operations, end = remaining(own(history, self._name), final, self._mode)
        return append.check(operations, end, f"{self._mode}_lists", self._mode, items_of=_items)

    def collisions(self, history: Sequence[Operation]) -> int:
        """Appends to one list under way at the same time."""
        return overlaps(own(history, self._name))


def _items(row: Items) -> Sequence[int]:
    return row.value
