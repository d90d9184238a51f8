"""Bulkhead: so many calls at once, a bounded queue behind them, and nobody waits longer than is of use.

One slow dependency must not hold every worker of a region. Who comes when all places are taken waits in line, at most
`max_waiting` of them and at most `wait_s` each; all others are refused at once. A place that becomes free goes to the
first in line who still waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError


class Bulkhead(msgspec.Struct, frozen=True):
    """How many calls run at once.

    Args:
        max_concurrent: calls that run at once.
        max_waiting: calls that wait in line for a place; 0: none does.
        wait_s: how long each of them waits at most.
    """

    max_concurrent: int
    max_waiting: int = 0
    wait_s: float = 1.0

    def __post_init__(self) -> None:
        if self.max_concurrent < 1:
            raise DeclarationError(f"Bulkhead: max_concurrent must be 1 or more, got {self.max_concurrent}")
        if self.max_waiting < 0:
            raise DeclarationError(f"Bulkhead: max_waiting must not be negative, got {self.max_waiting}")
        if self.wait_s <= 0:
            raise DeclarationError(f"Bulkhead: wait_s must be positive, got {self.wait_s:g}")


class Turn:
    """A place in the line, until `until`. Whoever waits sets `wake`, which is called when it is this one's turn.

    `seen` is what the breaker had been through when the turn was taken (see `compose`).
    """

    __slots__ = ("came", "seen", "until", "wake")

    def __init__(self, until: float) -> None:
        self.until = until
        self.wake: Callable[[], object] | None = None
        self.came = False
        self.seen = 0


class Places:
    """The places of one dependency in one region, and the line for them. A gate of `compose`."""

    __slots__ = ("_line", "_max", "bulkhead", "running")

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self._max = bulkhead.max_concurrent
        self._line: deque[Turn] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def enter(self, now: float) -> Refusal | Turn | None:
        """Take a place, or a turn in the line for one."""
        if self.running < self._max:
            self.running += 1
            return None
        if len(self._line) >= self.bulkhead.max_waiting:
            return Refusal("bulkhead")
        turn = Turn(now + self.bulkhead.wait_s)
        self._line.append(turn)
        return turn

    def leave(self, began: float, now: float, failed: bool | None) -> None:  # noqa: ARG002, FBT001 - the shape of a gate
        """Hand the place to the first in line who still waits, or free it."""
        while self._line:
            turn = self._line.popleft()
            if now <= turn.until:
                turn.came = True
                if turn.wake:
                    turn.wake()
                return
        self.running -= 1

    def give_up(self, turn: Turn, now: float) -> None:
        """Whoever had this turn waits no more; where it had just come, the place goes to the next."""
        if turn.came:
            self.leave(now, now, None)
        elif turn in self._line:
            self._line.remove(turn)
