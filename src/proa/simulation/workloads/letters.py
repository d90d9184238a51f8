"""Letters: sent in a unit, delivered once in the end, and those of a group in order."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import letters, loss
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.messaging import GROUPS, HOPELESS, Kind
from proa.simulation.workloads.workload import Workload, own, request

FAILS = (0, 0, 0, 0, 1, 2, HOPELESS)


class Letters(Workload):
    """Letters of one kind."""

    def __init__(self, kind: Kind, rpo_s: float | None) -> None:
        self._kind: Kind = kind
        self._mode: Mode = "strong" if kind == "strong" else "any"
        self._rpo_s = rpo_s

    @property
    def name(self) -> str:
        return f"{self._kind} letters"

    async def act(self, client: Client, rng: Random) -> None:
        fails, key = rng.choice(FAILS), client.new_key()
        group = rng.choice(GROUPS) if self._kind == "grouped" else ""
        asked = request("POST", f"/{self._kind}/letters", {"fails": fails, "group": group}, key)
        await client.ask(Call(self.name, "send", group or key, fails, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        sent = own(history, self.name)
        found = letters.check(final, self._kind, self._mode)
        if self._kind == "grouped":
            found += letters.check_order(sent, final, self._mode, f"{self._kind}_deliveries")
        return found + loss.check(
            sent, final, self._mode, row_of=lambda one: (f"{self._kind}_sent", one.result["id"]), rpo_s=self._rpo_s
        )

    def collisions(self, history: Sequence[Operation]) -> int:
        """Letters whose delivery failed at first: they wait among the others."""
        return sum(1 for one in own(history, self.name) if one.argument and one.outcome == "ok")
