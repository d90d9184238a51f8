"""Effects: one key, one effect, and every repeat of it is told the same.

The row's primary key is the unit's own, so a second effect is a second row. Where one store decides, there is none. A
regional key that is used in two regions at once may have two; the system lists the pair and hands it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.core.replicate.journal import Key
from proa.simulation.checkers import effects, handled, loss
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import Charge
from proa.simulation.workloads.workload import Standard, own, request

AMOUNT_MAX = 50


class Charges(Standard):
    """Charges that all change one tally, in the modes that have one."""

    kind = "charges"

    async def act(self, client: Client, rng: Random) -> None:
        amount, key = rng.randint(1, AMOUNT_MAX), client.new_key()
        asked = request("POST", f"/{self.mode}/charges", {"value": amount}, key)
        await client.ask(Call(self.name, "charge", key, amount, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        attempts = own(history, self.name)
        doubled = effects.check(attempts, final, f"{self.mode}_charges", self.mode, key_of=_key)
        refunds = handled.refunded_once(final, "any_refunds") if self.mode == "any" else []
        return doubled + refunds + loss.check(attempts, final, self.mode, row_of=self._row, rpo_s=self._rpo_s)

    def _row(self, charge: Operation) -> Key:
        return f"{self.mode}_charges", charge.result["id"]

    def collisions(self, history: Sequence[Operation]) -> int:
        """Attempts that repeated a key."""
        keys = [operation.idempotency_key for operation in own(history, self.name)]
        return len(keys) - len(set(keys))


def _key(row: Charge) -> str:
    return row.key
