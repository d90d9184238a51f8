"""Sets: an element that was added is there, wherever one looks, and on both sides of its pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import sets
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, own, request

LATELY = 5
"""Looks are for one of so many elements added last: those may still be on their way."""


class Sets(Standard):
    """Adds unique elements, each to two tables in one unit, and looks for those added lately, in any region."""

    kind = "sets"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._last = 0

    async def act(self, client: Client, rng: Random) -> None:
        if self._last and rng.random() < 0.3:
            await self._look(client, rng)
        else:
            await self._add(client)

    async def _add(self, client: Client) -> None:
        self._last += 1
        element = str(self._last)
        asked = request("POST", f"/{self.mode}/pairs/{element}", key=client.new_key())
        await client.ask(Call(self.name, "add", element, element, asked))

    async def _look(self, client: Client, rng: Random) -> None:
        element = str(max(1, self._last - rng.randrange(LATELY)))
        asked = request("GET", f"/{self.mode}/pairs/{element}")
        await client.ask(Call(self.name, "look", element, element, asked, rng.choice(client.regions)))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        looks = [one for one in attempts if one.action == "look" and one.outcome == "ok"]
        violations: list[Violation] = []
        for side in (f"{self.mode}_left", f"{self.mode}_right"):
            violations += sets.check(attempts, final, side, self.mode, linearizable=False)
        if self.mode != "active":  # there the parking of a commit may come between the two halves of a look
            violations += _halves(looks)
        if self.mode == "strong":
            violations += _missed(attempts, looks)
        return violations

    def collisions(self, history: Sequence[Operation]) -> int:
        """Looks that found what was added."""
        looks = (one for one in own(history, self.name) if one.action == "look" and one.outcome == "ok")
        return sum(1 for look in looks if any(look.result))


def _halves(looks: Sequence[Operation]) -> Iterator[Violation]:
    for look in looks:
        if look.result == [True, False]:
            yield Violation("atomic", f"look {look.number} saw one half of element {look.argument}", (look.number,))


def _missed(operations: Sequence[Operation], looks: Sequence[Operation]) -> Iterator[Violation]:
    """Looks that did not find what had been there before they began."""
    since: dict[str, Operation] = {}
    for one in operations:
        there = one.outcome == "ok" and (one.action == "add" or one.result[0])
        if there and (one.argument not in since or one.ended < since[one.argument].ended):
            since[one.argument] = one
    for look in looks:
        witness = since.get(look.argument)
        if witness and witness.ended < look.began and not look.result[0]:
            what = f"look {look.number} missed element {look.argument}, there since operation {witness.number}"
            yield Violation("set", what, (witness.number, look.number))
