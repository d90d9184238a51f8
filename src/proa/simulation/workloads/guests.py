"""Guests: rows that only some regions may hold, which arrive, move to where other regions may, and leave.

The key of a guest who never moves, and every note, bear the mark of the set of regions that may know of them. Whatever
happens, no byte of a mark gets into the files of another region.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import residency
from proa.simulation.checkers.residency import mark
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import WHERE
from proa.simulation.workloads.workload import Standard, own, request

SETTLED = 5
"""So many guests of each set never move."""
TRAVELLERS = 3
LOOKS = 0.2
LEAVES = 0.1
TRAVELS = 0.4


class Guests(Standard):
    """Writes, moves, deletes and looks for few rows, in any region."""

    kind = "guests"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._notes = 0

    async def act(self, client: Client, rng: Random) -> None:
        where, drawn = rng.choice(sorted(WHERE)), rng.random()
        if drawn < LOOKS:
            asked = request("POST", f"/{self.mode}/lodgings/{where}/look", key=client.new_key())
            await client.ask(Call(self.name, "look", where, None, asked))
        elif drawn < LOOKS + LEAVES:
            await self._leave(client, self._guest(rng, where))
        else:
            await self._arrive(client, self._guest(rng, where), where)

    def _guest(self, rng: Random, where: str) -> str:
        if rng.random() < TRAVELS:
            return f"traveller-{rng.randrange(TRAVELLERS)}"
        return mark(where, "k", rng.randrange(SETTLED))

    async def _arrive(self, client: Client, guest: str, where: str) -> None:
        self._notes += 1
        body = {"where": where, "note": mark(where, "v", self._notes)}
        asked = request("POST", f"/{self.mode}/guests/{guest}", body, client.new_key())
        await client.ask(Call(self.name, "arrive", guest, body, asked))

    async def _leave(self, client: Client, guest: str) -> None:
        asked = request("POST", f"/{self.mode}/guests/{guest}/leave", key=client.new_key())
        await client.ask(Call(self.name, "leave", guest, None, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        looks = [one for one in own(history, self.name) if one.action == "look" and one.outcome == "ok"]
        strange = [found for look in looks for found in _strange(look)]
        return [*residency.check(final, WHERE), *strange]


def _strange(look: Operation) -> list[Violation]:
    """Guests whom an answer should not have told of: its region may not know them, or they are elsewhere."""
    found = [guest["id"] for guest in look.result if guest["where"] != look.key]
    if look.result and look.region and look.region not in WHERE[look.key]:
        found += [guest["id"] for guest in look.result]
    return [Violation("residency", f"{look.region} told of {', '.join(found)}", (look.number,))] if found else []
