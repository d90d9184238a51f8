"""What a workload is, and which part of a history it judges.

What a fail-over set aside, or a lost disk took with it, is left to the account of losses; the rest must be flawless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, Protocol

import msgspec

from proa.chaos.workload import Request
from proa.declare.tables import Mode
from proa.errors import NodeFailed
from proa.simulation.client import Call, Client
from proa.simulation.history import NEVER, Final, Operation, Violation

TRIES = 40
PAUSE_S = 0.1
Method = Literal["GET", "PUT", "POST"]
_encode = msgspec.json.Encoder().encode


class Workload(Protocol):
    """One kind of operations on an app, and what must be true of them. `name` is that of its operations."""

    @property
    def name(self) -> str: ...

    async def setup(self, client: Client) -> None:
        """Prepare, before any fault, what the operations rely on."""

    async def act(self, client: Client, rng: Random) -> None:
        """One operation, with all its attempts."""
        ...

    async def finish(self, client: Client, final: Final) -> None:
        """Ask the healed system what only it can answer, after everything has settled."""

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        """What contradicts this workload's guarantees in a whole run's history."""
        ...

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often operations got in each other's way. None in a whole batch: nothing was put to the test."""
        ...


def request(method: Method, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Request:
    """A request with a JSON body."""
    return Request(method, path, b"" if body is None else _encode(body), key)


async def insist(client: Client, call: Call) -> Operation:
    """Send a call until it is answered with success.

    Raises:
        NodeFailed: it never was, in a long time.
    """
    for _ in range(TRIES):
        done = await client.ask(call)
        if done.outcome == "ok":
            return done
        await asyncio.sleep(PAUSE_S)
    raise NodeFailed(f"{call.request.method} {call.request.path} was never answered with success")


def own(history: Sequence[Operation], name: str) -> list[Operation]:
    """The operations of one workload."""
    return [operation for operation in history if operation.workload == name]


def standing(final: Final, mode: Mode) -> frozenset[str]:
    """The Idempotency-Keys of the units that did something and stand at the end, where rows of `mode` live."""
    if mode == "strong":
        return frozenset(outcome.key for outcome in final.global_store.outcomes.values() if outcome.status < 400)
    parked = {(commit.origin, commit.seq) for state in final.regions.values() for commit in state.parked}
    commits = {dot: commit for state in final.regions.values() for dot, commit in state.journal.items()}
    outcomes = (commit.outcome for dot, commit in commits.items() if dot not in parked)
    return frozenset(outcome.key for outcome in outcomes if outcome and outcome.status < 400)


def remaining(history: Sequence[Operation], final: Final, mode: Mode) -> tuple[list[Operation], Final]:
    """The history and the end without what was lost on the way: what remains owes nothing to anybody.

    A region that was promoted goes on from the cut as if nothing had happened beyond it. So an operation whose unit
    does not stand has not happened: an acknowledged one is a lost write, which `loss` judges, and one of unknown fate
    was not carried out. Only on `strong` rows an acknowledged operation must stand.
    """
    stands = standing(final, mode)
    firm = mode == "strong"
    kept = [
        operation
        if not operation.idempotency_key or operation.idempotency_key in stands or (firm and operation.outcome == "ok")
        else msgspec.structs.replace(operation, outcome="failed")
        for operation in history
    ]
    regions = {name: msgspec.structs.replace(state, parked=()) for name, state in final.regions.items()}
    return kept, msgspec.structs.replace(final, regions=regions, lost_disks=frozenset())


def overlaps(operations: Sequence[Operation]) -> int:
    """How many operations began while an earlier one on the same key was under way."""
    latest: dict[str, float] = {}
    count = 0
    for operation in sorted(operations, key=lambda operation: operation.began):
        count += operation.began < latest.get(operation.key, 0.0)
        if operation.ended < NEVER:
            latest[operation.key] = max(operation.ended, latest.get(operation.key, 0.0))
    return count
