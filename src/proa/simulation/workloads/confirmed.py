"""Effects that a second region confirms: once acknowledged, the loss of one region takes none of them away.

Every acknowledgement binds: of a charge, of its repeats, and of a look at one. A GET would promise nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from proa.core.replicate.journal import Key
from proa.declare.tables import Mode
from proa.simulation.checkers import effects, loss
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.effects import AMOUNT_MAX
from proa.simulation.workloads.standard import Charge
from proa.simulation.workloads.workload import Workload, own, request

TABLE = "peer_charges"
LOOKS = 0.3
SEEN_KEPT = 20


class Confirmed(Workload):
    """Charges, and looks at those that somebody was told of lately.

    Who `insists` and was not told what became of a charge asks once more, past the edge, whichever region it may be.
    """

    def __init__(self, mode: Mode, *, insists: bool = False) -> None:
        self.mode: Mode = mode
        self._insists = insists
        self._seen: list[str] = []

    @property
    def name(self) -> str:
        return f"{self.mode} confirmed"

    async def act(self, client: Client, rng: Random) -> None:
        if self._seen and rng.random() < LOOKS:
            seen = rng.choice(self._seen)
            await client.ask(Call(self.name, "look", seen, None, request("POST", f"/peer/charges/{seen}/look")))
            return
        amount, key = rng.randint(1, AMOUNT_MAX), client.new_key()
        call = Call(self.name, "charge", key, amount, request("POST", "/peer/charges", {"value": amount}, key))
        done = await client.ask(call)
        if self._insists and done.outcome == "unknown":
            done = await client.ask(replace(call, via=rng.choice(client.regions)))
        if done.outcome == "ok":
            self._seen = [*self._seen[-SEEN_KEPT + 1 :], done.result["id"]]

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        attempts = own(history, self.name)
        charges = [one for one in attempts if one.action == "charge"]
        doubled = effects.check(charges, final, TABLE, self.mode, key_of=_key)
        return doubled + loss.check_confirmed(attempts, final, _row)

    def collisions(self, history: Sequence[Operation]) -> int:
        """Attempts that repeated a key."""
        keys = [one.idempotency_key for one in own(history, self.name) if one.idempotency_key]
        return len(keys) - len(set(keys))


def _key(row: Charge) -> str:
    return row.key


def _row(one: Operation) -> Key:
    return TABLE, one.result["id"]
