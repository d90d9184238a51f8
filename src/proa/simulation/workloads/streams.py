"""Change streams: what a stream made of the changes of a table is what the changes that stand would make, each once.

Parcels are posted, each under an id of its own; a stream writes down, for each region, which ones that region posted,
in the order in which it was told. People have all of it told anew now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import loss, streams
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, own, request

CHANGED = 0.2
"""So many of the requests are for a parcel that was posted lately: its row changes again."""
LATELY = 5


class Streams(Standard):
    """Posts parcels, and sometimes posts one again."""

    kind = "streams"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._last = 0
        self.table = f"{mode}_parcels"

    async def act(self, client: Client, rng: Random) -> None:
        again = rng.random() < CHANGED
        self._last += not again
        parcel = str(max(1, self._last - rng.randrange(LATELY)) if again else self._last)
        asked = request("POST", f"/{self.mode}/parcels/{parcel}", key=client.new_key())
        via = rng.choice(client.regions) if self.mode == "any" else ""
        await client.ask(Call(self.name, "post", parcel, None, asked, via))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        lost = loss.check(own(history, self.name), final, self.mode, rpo_s=self._rpo_s)
        return lost + streams.check(final, self.table, f"{self.mode}_told")
