"""Sets: an element that was added is there, wherever one looks, on both sides of its pair, and not without its cause.

What a look saw was durable: the unit that it names stands in some store, or on a list of losses. A note in a merged
table that was taken of an `active` element falls with that element.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random

from proa.core.replicate.stamp import region_of
from proa.declare.tables import Mode
from proa.simulation.checkers import sets
from proa.simulation.client import EDGE, Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, own, remaining, request

WATCHED = 0.4
"""So many of the additions are watched: somebody looks for the element while it is being added."""
WATCHED_THERE = 0.7
"""So many of those who watch are sent by the edge, as the addition is; the others ask any region."""
WATCH_WITHIN_S = 0.1
LATELY = 5
"""Looks are for one of so many elements added last: those may still be on their way."""


class Sets(Standard):
    """Adds unique elements, each to two tables in one unit, and looks for those added lately, in any region."""

    kind = "sets"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._last = 0

    async def act(self, client: Client, rng: Random) -> None:
        drawn = rng.random() if self._last else 1.0
        if drawn < 0.3:
            await self._look(client, self._lately(rng), rng.choice(client.regions))
        elif drawn < 0.45 and self.mode == "active":
            await self._note(client, rng)
        elif rng.random() < WATCHED:
            await asyncio.gather(self._add(client, self._next()), self._watch(client, rng, str(self._last)))
        else:
            await self._add(client, self._next())

    def _next(self) -> str:
        self._last += 1
        return str(self._last)

    async def _watch(self, client: Client, rng: Random, element: str) -> None:
        """Mostly where the client itself is sent: there the element is first."""
        await asyncio.sleep(rng.random() * WATCH_WITHIN_S)
        via = EDGE if rng.random() < WATCHED_THERE else rng.choice(client.regions)
        await self._look(client, element, via)

    async def _add(self, client: Client, element: str) -> None:
        asked = request("POST", f"/{self.mode}/pairs/{element}", key=client.new_key())
        await client.ask(Call(self.name, "add", element, element, asked))

    async def _note(self, client: Client, rng: Random) -> None:
        element = self._lately(rng)
        asked = request("POST", f"/active/pairs/{element}/note", key=client.new_key())
        await client.ask(Call(self.name, "note", element, element, asked, rng.choice(client.regions)))

    def _lately(self, rng: Random) -> str:
        return str(max(1, self._last - rng.randrange(LATELY)))

    async def _look(self, client: Client, element: str, via: str) -> None:
        asked = request("GET", f"/{self.mode}/pairs/{element}")
        await client.ask(Call(self.name, "look", element, element, asked, via))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        attempts, _ = remaining(own(history, self.name), final, self.mode)
        looks = [one for one in attempts if one.action == "look" and one.outcome == "ok"]
        return [*super().check(history, final), *_vanished(looks, final, f"{self.mode}_left", self.mode)]

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        looks = [one for one in attempts if one.action == "look" and one.outcome == "ok"]
        violations: list[Violation] = []
        for side in (f"{self.mode}_left", f"{self.mode}_right"):
            violations += sets.check(attempts, final, side, self.mode, linearizable=False)
        if self.mode != "active":  # there the parking of a commit may come between the two halves of a look
            violations += _halves(looks)
            violations += _uncaused(looks)
        if self.mode == "active":
            violations += _fallen(final)
        if self.mode == "strong":
            violations += _missed(attempts, looks)
        return violations

    def collisions(self, history: Sequence[Operation]) -> int:
        """Looks that found what was added."""
        looks = (one for one in own(history, self.name) if one.action == "look" and one.outcome == "ok")
        return sum(1 for look in looks if look.result["unit"])


def _halves(looks: Sequence[Operation]) -> Iterator[Violation]:
    for look in looks:
        if look.result["unit"] and not look.result["right"]:
            yield Violation("atomic", f"look {look.number} saw one half of element {look.argument}", (look.number,))


def _uncaused(looks: Sequence[Operation]) -> Iterator[Violation]:
    for look in looks:
        if not look.result["cause"]:
            detail = f"look {look.number} saw element {look.argument} and not what that had been built on"
            yield Violation("causality", detail, (look.number,))


def _vanished(looks: Sequence[Operation], final: Final, table: str, mode: Mode) -> Iterator[Violation]:
    """Looks that saw what no store has, in a region that never lost its disk."""
    lost = {region_of(origin) for origin in final.lost_disks}
    if mode == "strong":
        units = {row.unit for row in final.strong(table).values()}
    else:
        units = {commit.unit for state in final.regions.values() for commit in state.journal.values()}
    for look in looks:
        unit = look.result["unit"]
        if unit and unit not in units and (mode == "strong" or look.region not in lost):
            detail = f"look {look.number} saw element {look.argument} by unit {unit}, which no store has"
            yield Violation("durable", detail, (look.number,))


def _fallen(final: Final) -> Iterator[Violation]:
    """Notes of elements that were set aside with the end of an epoch."""
    for region in sorted(final.regions):
        elements = {element.unit for element in final.table(region, "active_left").values()}
        for note in final.table(region, "any_notes").values():
            if note.unit not in elements and not final.lost_disks:
                yield Violation("atomic", f"{region} keeps a note of element {note.id}, which was set aside")


def _missed(operations: Sequence[Operation], looks: Sequence[Operation]) -> Iterator[Violation]:
    """Looks that did not find what had been there before they began."""
    since: dict[str, Operation] = {}
    for one in operations:
        there = one.outcome == "ok" and (one.action == "add" or one.result["unit"])
        if there and (one.argument not in since or one.ended < since[one.argument].ended):
            since[one.argument] = one
    for look in looks:
        witness = since.get(look.argument)
        if witness and witness.ended < look.began and not look.result["unit"]:
            what = f"look {look.number} missed element {look.argument}, there since operation {witness.number}"
            yield Violation("set", what, (witness.number, look.number))
