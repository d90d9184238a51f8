"""Composition: which policy is outside which, in one place.

`ORDER` is the order in which a call meets its policies, in whatever order they are declared; `Gates` and the driver
(`runtime.guard`) build from it, and the guide's diagram is drawn from it. The outer ones act for the call, the inner
ones for each attempt: a retry passes the gates again, so a breaker that has opened meanwhile ends the retries, and a
call that is refused costs nothing. Refusals are not retried; they go to the fallback.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from proa.core.policy.breaker import Breaker, Circuit
from proa.core.policy.budget import Budget
from proa.core.policy.bulkhead import Bulkhead, Places, Turn
from proa.core.policy.hedge import Hedge
from proa.core.policy.limiter import Limit, Limiter
from proa.core.policy.refusal import Refusal
from proa.core.policy.retry import Retry
from proa.core.policy.timeout import Timeout

Acts = Literal["call", "attempt"]


class Layer(msgspec.Struct, frozen=True):
    """One policy's place: its name, what it acts for, and what it does there."""

    name: str
    acts_for: Acts
    does: str


ORDER = (
    Layer("fallback", "call", "answers instead, where all that follows came to nothing"),
    Layer("retry", "call", "makes another attempt, if the budget pays for it"),
    Layer("hedge", "call", "makes a second attempt beside a slow one, if the budget pays for it"),
    Layer("breaker", "attempt", "refuses while the other side does not answer"),
    Layer("limiter", "attempt", "refuses what is beyond the rate"),
    Layer("bulkhead", "attempt", "waits for a place, or refuses"),
    Layer("timeout", "attempt", "ends an attempt that takes too long"),
)
"""From the outside in."""


class Policies(msgspec.Struct, frozen=True):
    """What one dependency declares for the calls of it; None: that policy is not in the way."""

    retry: Retry | None = None
    budget: Budget | None = None
    breaker: Breaker | None = None
    limiter: Limit | None = None
    bulkhead: Bulkhead | None = None
    timeout: Timeout | None = None
    hedge: Hedge | None = None


class Gate(Protocol):
    """What lets an attempt pass. `leave` is told of each that was let pass, `failed=None` where it proves nothing."""

    def enter(self, now: float) -> Refusal | Turn | None: ...
    def leave(self, began: float, now: float, failed: bool | None) -> None: ...  # noqa: FBT001 - three values


class Tally:
    """How attempts ended, for metrics. A gate that refuses nobody."""

    __slots__ = ("failed", "passed")

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def enter(self, now: float) -> None:
        """Everybody passes."""

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: ARG002, FBT001 - the shape of a gate
        """One more."""
        if failed:
            self.failed += 1
        elif failed is False:
            self.passed += 1


class Gates:
    """The gates of one target in one region, in `ORDER`: a gate itself."""

    def __init__(self, policies: Policies, *, counted: bool = False) -> None:
        self.circuit = Circuit(policies.breaker) if policies.breaker else None
        self.limiter = Limiter(policies.limiter) if policies.limiter else None
        self.places = Places(policies.bulkhead) if policies.bulkhead else None
        self.tally = Tally() if counted else None
        made: dict[str, Gate | None] = {"breaker": self.circuit, "limiter": self.limiter, "bulkhead": self.places}
        in_order = [made[layer.name] for layer in ORDER if layer.name in made]
        self.gates: tuple[Gate, ...] = tuple(gate for gate in (self.tally, *in_order) if gate)
        self._enters = tuple(gate.enter for gate in self.gates)
        self._leaves = tuple(gate.leave for gate in self.gates)

    def shortest(self) -> Gate:
        """What to pass instead of all: the only gate, where there is but one."""
        return self.gates[0] if len(self.gates) == 1 else self

    def enter(self, now: float) -> Refusal | Turn | None:
        """Pass all gates, or none; a `Turn` still waits for the last."""
        for enter in self._enters:
            if (verdict := enter(now)) is not None:
                if isinstance(verdict, Turn):
                    verdict.seen = self.circuit.turns if self.circuit else 0
                else:
                    self._undo(self._enters.index(enter), now)
                return verdict
        return None

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: FBT001 - the shape of a gate
        """An attempt has ended."""
        for leave in self._leaves:
            leave(began, now, failed)

    def called(self, turn: Turn, now: float) -> Refusal | None:
        """A turn has come: pass, unless the breaker has changed its mind meanwhile."""
        circuit = self.circuit
        if circuit is None or circuit.turns == turn.seen:
            return None
        verdict = circuit.enter(now)
        if verdict and self.places:
            self.places.leave(now, now, None)
        return verdict

    def give_up(self, turn: Turn, now: float) -> Refusal:
        """The wait for a turn was too long, or is of no use any more."""
        assert self.places is not None, "only a bulkhead lets somebody wait"
        self.places.give_up(turn, now)
        if self.circuit and self.circuit.turns == turn.seen:
            self.circuit.leave(now, now, None)
        return Refusal("bulkhead")

    def _undo(self, upto: int, now: float) -> None:
        for gate in self.gates[:upto]:
            gate.leave(now, now, None)
