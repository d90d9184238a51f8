"""Sessions: clients that write in one region and read in another, and carry a token from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from proa.declare.tables import Mode
from proa.runtime.session import SESSION_HEADER
from proa.simulation.checkers import sessions
from proa.simulation.client import EDGE, Call, Client, Reply
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, own, request

STEPS = 4
WITHIN_S = 60.0
"""Rows of `strong` tables are read out of the past that a session allows: nothing older than it wrote."""
LOST = "PROA-Q003"


class Sessions(Standard):
    """Each session writes rising numbers to a row of its own and reads them, every time wherever it likes."""

    kind = "sessions"

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        super().__init__(mode, rpo_s)
        self._sessions = 0

    async def act(self, client: Client, rng: Random) -> None:
        self._sessions += 1
        name, token = f"s{self._sessions}", ""
        for number in range(1, STEPS + 1):
            writes = number == 1 or rng.random() < 0.4
            call = self._write(client, name, number) if writes else self._read(name)
            asked = replace(call.request, headers=((SESSION_HEADER, token),))
            done = await client.ask(replace(call, request=asked, via=rng.choice((EDGE, *client.regions))))
            token = done.result[1] if done.result else token

    def _write(self, client: Client, name: str, number: int) -> Call:
        asked = request("PUT", f"/{self.mode}/pages/{name}", {"value": number}, client.new_key())
        return Call(self.name, "write", name, number, asked, read=_told, refused=_lost)

    def _read(self, name: str) -> Call:
        asked = request("GET", f"/{self.mode}/pages/{name}/{WITHIN_S if self.mode == 'strong' else -1}")
        return Call(self.name, "read", name, 0, asked, read=_told, refused=_lost)

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        return sessions.check(own(history, self.name), final)

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often a session went to another region than the one that had answered it last."""
        answered: dict[str, str] = {}
        moved = 0
        for one in own(history, self.name):
            if one.outcome == "ok":
                moved += one.region != answered.get(one.key, one.region)
                answered[one.key] = one.region
        return moved


def _told(reply: Reply) -> tuple[Any, str]:
    """The number, and the token to go on with."""
    return reply.json(), reply.headers.get(SESSION_HEADER, "")


def _lost(reply: Reply) -> tuple[None, str] | None:
    """A session that was told of losses goes on with the token of that answer."""
    problem = reply.json()
    return (None, reply.headers[SESSION_HEADER]) if problem["code"] == LOST else None
