"""Bounds: numbers that only rise are read at level `bounded`, anywhere, and none may be overtaken too long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from proa.declare.tables import Mode
from proa.simulation.checkers import bounded
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, own, remaining, request

KEYS = ("x", "y")
BOUNDS_S = (0.0, 0.1, 0.5, 2.0)
LOOKS = 2
LOOK_WITHIN_S = 0.8


class Bounds(Standard):
    """Writes rising numbers to few rows; one region looks at the row before and after."""

    kind = "bounds"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._last = 0

    async def act(self, client: Client, rng: Random) -> None:
        key, reader = rng.choice(KEYS), rng.choice(client.regions)
        await self._read(client, rng, key, reader)
        await self._write(client, key)
        for _ in range(LOOKS):
            await asyncio.sleep(rng.random() * LOOK_WITHIN_S)
            await self._read(client, rng, key, reader)

    async def _write(self, client: Client, key: str) -> None:
        self._last += 1
        asked = request("PUT", f"/{self.mode}/pages/{key}", {"value": self._last}, client.new_key())
        await client.ask(Call(self.name, "write", key, self._last, asked))

    async def _read(self, client: Client, rng: Random, key: str, region: str) -> None:
        within_s = rng.choice(BOUNDS_S)
        asked = request("GET", f"/{self.mode}/pages/{key}/{within_s}")
        await client.ask(Call(self.name, "read", key, within_s, asked, region))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        operations, _ = remaining(own(history, self.name), final, self.mode)
        return bounded.check(operations, final, self.mode)
