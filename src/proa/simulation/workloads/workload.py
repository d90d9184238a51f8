"""What a workload is, and which part of a history it judges.

What a fail-over set aside, or a lost disk took with it, is left to the account of losses; the rest must be flawless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import msgspec
from msgspec.structs import replace

from proa.chaos.workload import Request
from proa.declare.tables import Mode
from proa.errors import NodeFailed
from proa.simulation.checkers import loss
from proa.simulation.checkers.evidence import losses
from proa.simulation.client import Call, Client
from proa.simulation.history import NEVER, Final, Operation, Violation

if TYPE_CHECKING:
    from proa.simulation.world import World

TRIES = 40
PAUSE_S = 0.1
ANYWHERE = 0.5
"""So many requests for rows with a home go to any region."""
Method = Literal["GET", "PUT", "POST"]
_encode = msgspec.json.Encoder().encode


class Workload(Protocol):
    """One kind of operations on an app, and what must be true of them. `name` is that of its operations."""

    @property
    def name(self) -> str: ...

    def surroundings(self) -> AbstractContextManager[None]:
        """What the app needs beside the world, from before the world begins until after it has ended."""
        return nullcontext()

    async def setup(self, client: Client) -> None:
        """Prepare, before any fault, what the operations rely on."""

    async def act(self, client: Client, rng: Random) -> None:
        """One operation, with all its attempts."""
        ...

    async def attend(self, world: World) -> None:
        """What people do once everything is healed, before the end is looked at."""

    async def finish(self, client: Client, final: Final) -> None:
        """Ask the healed system what only it can answer, after everything has settled."""

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        """What contradicts this workload's guarantees in a whole run's history."""
        ...

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often operations got in each other's way. None in a whole batch: nothing was put to the test."""
        ...


class Standard(Workload):
    """A workload of the standard apps on the tables of one mode. `rpo_s` is the app's objective."""

    kind: ClassVar[str]

    def __init__(self, mode: Mode, rpo_s: float | None = None) -> None:
        self.mode: Mode = mode
        self._rpo_s = rpo_s
        self._name = f"{mode} {self.kind}"

    @property
    def name(self) -> str:
        return self._name

    def door(self, client: Client, rng: Random) -> str:
        """Whom to ask (empty: the client's choice). Of rows with a home every region, since each must find the home."""
        return rng.choice(client.regions) if self.mode == "home" and rng.random() < ANYWHERE else ""

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        attempts = own(history, self._name)
        lost = loss.check(attempts, final, self.mode, rpo_s=self._rpo_s)
        return lost + self.judged(*remaining(attempts, final, self.mode))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        """What is wrong with the history that remained, and its end."""
        raise NotImplementedError

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often something was done to what somebody else was at work on."""
        return overlaps(own(history, self._name))


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


def standing(final: Final, mode: Mode) -> dict[str, int]:
    """The Idempotency-Keys of the units that did something and stand at the end, each with its commit's epoch."""
    if mode == "strong":
        return {outcome.key: 0 for outcome in final.global_store.outcomes.values() if outcome.status < 400}
    parked = {(commit.origin, commit.seq) for state in final.regions.values() for commit in state.parked}
    commits = {dot: commit for state in final.regions.values() for dot, commit in state.journal.items()}
    return {
        commit.outcome.key: commit.epoch
        for dot, commit in commits.items()
        if commit.outcome and commit.outcome.status < 400 and dot not in parked
    }


def remaining(attempts: Sequence[Operation], final: Final, mode: Mode) -> tuple[list[Operation], Final]:
    """The history and the end without what was lost on the way: what remains owes nothing to anybody.

    A region that was promoted goes on from the cut as if nothing had happened beyond it. So an attempt whose unit does
    not stand has not happened: an acknowledged one is a lost write, one of unknown fate was not carried out. Where a
    unit of a later epoch stands in its place, that one has happened. Only on `strong` rows an acknowledgement binds.
    """
    stands, lost = standing(final, mode), losses(final, mode)
    kept = [one if _stands(one, stands, mode) else replace(one, outcome="failed") for one in attempts]
    if mode == "home":
        kept = [_doubtful(one) if lost(one) else one for one in kept]
    if mode not in ("active", "home"):
        return kept, final
    regions = {name: replace(state, parked=()) for name, state in final.regions.items()}
    return kept, replace(final, regions=regions, lost_disks=frozenset[str]())


def _doubtful(one: Operation) -> Operation:
    """Of attempts without a key nobody can tell which of their region's lost commits was theirs."""
    return one if one.idempotency_key else replace(one, outcome="unknown", ended=NEVER)


def _stands(one: Operation, stands: Mapping[str, int], mode: Mode) -> bool:
    if not one.idempotency_key or (mode == "strong" and one.outcome == "ok"):
        return True
    epoch = stands.get(one.idempotency_key)
    return epoch is not None and not 0 < one.epoch < epoch


def overlaps(operations: Sequence[Operation]) -> int:
    """How many operations began while an earlier one on the same key was under way."""
    latest: dict[str, float] = {}
    count = 0
    for operation in sorted(operations, key=lambda operation: operation.began):
        count += operation.began < latest.get(operation.key, 0.0)
        if operation.ended < NEVER:
            latest[operation.key] = max(operation.ended, latest.get(operation.key, 0.0))
    return count
