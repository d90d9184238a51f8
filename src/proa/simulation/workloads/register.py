"""Registers with compare-and-set: whatever clients see of one must fit a single order of all operations."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from proa.simulation.checkers import register
from proa.simulation.client import Call, Client, Reply
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.standard import Held, Register
from proa.simulation.workloads.workload import Standard, own, request

KEYS = ("x", "y")


class Registers(Standard):
    """Reads, writes and swaps; a swap expects what anybody saw last, so of two at once one must fail."""

    kind = "registers"

    def __init__(self, mode: Held, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._seen: dict[str, int | None] = dict.fromkeys(KEYS)
        self._last = 0

    async def act(self, client: Client, rng: Random) -> None:
        key, kind = rng.choice(KEYS), rng.random()
        if kind < 0.4:
            await self._read(client, key, committing=self.mode != "strong" or kind < 0.2)
        elif kind < 0.55:
            await self._write(client, key)
        else:
            await self._swap(client, key)

    async def _read(self, client: Client, key: str, *, committing: bool) -> None:
        path = f"/{self.mode}/registers/{key}"
        asked = request("POST", f"{path}/read", key=client.new_key()) if committing else request("GET", path)
        done = await client.ask(Call(self.name, "read", key, None, asked, read=_only))
        if done.outcome == "ok":
            self._seen[key] = done.result

    async def _write(self, client: Client, key: str) -> None:
        value = self._value()
        asked = request("PUT", f"/{self.mode}/registers/{key}", {"value": value}, client.new_key())
        done = await client.ask(Call(self.name, "write", key, value, asked))
        if done.outcome == "ok":
            self._seen[key] = value

    async def _swap(self, client: Client, key: str) -> None:
        expected, new = self._seen[key], self._value()
        body = {"expected": expected, "new": new}
        asked = request("POST", f"/{self.mode}/registers/{key}/cas", body, client.new_key())
        done = await client.ask(Call(self.name, "cas", key, (expected, new), asked))
        if done.result is True:
            self._seen[key] = new

    def _value(self) -> int:
        self._last += 1
        return self._last

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        return register.check(attempts, final, f"{self.mode}_registers", self.mode, _value)

    def collisions(self, history: Sequence[Operation]) -> int:
        """Swaps that somebody else forestalled."""
        return sum(1 for operation in own(history, self.name) if operation.result is False)


def _only(reply: Reply) -> Any:
    return reply.json()[0]


def _value(row: Register) -> int | None:
    return row.value
