"""Slots: so many units at once, a short line behind them, and the rest is told at once that it cannot be served.

A region that takes more than it can do answers nothing in time. So it does what it can (`adaptive` says how much),
keeps a line of a quarter as many, in which nobody waits longer than a part of a unit, and sheds the others while that
is still cheap for both sides. Who gets a slot first:

- the more important class (`high`, `normal`, `low`); in a full line the least important gives way, and a burst of the
  most important makes the line longer;
- within a class each tenant in turn, whatever each of them sends; in a full line the one that has most in it gives way;
- never a request that its caller will have given up before it could be answered.

Source: deadline-aware and priority shedding as in DAGOR (Zhou et al., "Overload Control for Scaling WeChat
Microservices", 2018); turns between tenants as in fair queueing (Nagle, RFC 970; Demers et al., 1989), dropping from
the longest queue as McKenney does ("Stochastic Fairness Queueing", 1990).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil
from typing import Literal

import msgspec

from proa.core.policy.adaptive import AdaptiveLimit
from proa.errors import DeclarationError

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
Verdict = Literal["run", "wait", "shed"]
LINE = 0.25
"""The line's length, as a share of the slots."""
BURST = 8
"""So many times the line's length may wait of the most important class, as long as nobody else does."""
SMOOTHING = 0.1


class Concurrency(msgspec.Struct, frozen=True):
    """How many units may run at once.

    Args:
        limit: a fixed number; None: found out by what units take.
        limit_min: an adaptive limit is never lower,
        limit_max: nor higher,
        limit_first: and starts with this.
        line: how many wait for a slot at most; a quarter of the slots unless given. A burst of the most important may
            be longer.
    """

    limit: int | None = None
    limit_min: int = 4
    limit_max: int = 1000
    limit_first: int = 20
    line: int | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "limit_min", "limit_max", "limit_first"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise DeclarationError(f"Concurrency: {name} must be 1 or more, got {value}")
        if self.limit_min > self.limit_max:
            raise DeclarationError(
                f"Concurrency: limit_min must not be above limit_max, got {self.limit_min} and {self.limit_max}"
            )
        if self.line is not None and self.line < 0:
            raise DeclarationError(f"Concurrency: line must not be negative, got {self.line}")


class Ticket:
    """A request that wants a slot. Whoever waits sets `called`, which hears once whether it may run or was shed."""

    __slots__ = ("called", "deadline", "priority", "route", "since", "tenant")

    def __init__(self, route: str, priority: int, tenant: str, deadline: float) -> None:
        self.route = route
        self.priority = priority
        self.tenant = tenant
        self.deadline = deadline
        self.since = 0.0
        self.called: Callable[[Verdict], None] | None = None


class Slots:
    """The slots of one region or route, and the line for them."""

    __slots__ = ("_adaptive", "_fixed", "_line", "_lines", "_takes_s", "running", "waiting")

    def __init__(self, declared: Concurrency) -> None:
        self._fixed = declared.limit
        self._adaptive = AdaptiveLimit(declared.limit_min, declared.limit_max, declared.limit_first)
        self._line = declared.line
        self._lines: tuple[OrderedDict[str, deque[Ticket]], ...] = tuple(OrderedDict() for _ in PRIORITIES)
        self._takes_s: dict[str, float] = {}
        self.running = 0
        self.waiting = 0

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return self._fixed or self._adaptive.limit

    @property
    def line(self) -> int:
        """How many may wait now."""
        return ceil(self.limit * LINE) if self._line is None else self._line

    def arrive(self, ticket: Ticket, now: float) -> Verdict:
        """What becomes of a request: it may run, has to wait, or is shed. Another one may be shed for it."""
        if self.running < self.limit and not self.waiting:
            self._start(ticket, now)
            return "run"
        if self._too_late(ticket, now):
            return "shed"
        if self.waiting >= self.line and not self._make_room(ticket) and not self._bears(ticket):
            return "shed"
        self._lines[ticket.priority].setdefault(ticket.tenant, deque()).append(ticket)
        self.waiting += 1
        return "wait"

    def leave(self, ticket: Ticket, now: float, *, failed: bool) -> None:
        """A unit ended; those whose turn it is may run. `failed`: for want of time or of something it depends on."""
        took_s = now - ticket.since
        known = self._takes_s.get(ticket.route, took_s)
        self._takes_s[ticket.route] = known + (took_s - known) * SMOOTHING
        self._adaptive.finished(ticket.route, took_s, now, running=self.running, failed=failed)
        self.running -= 1
        while self.waiting and self.running < self.limit:
            self._call(self._next(), now)

    def give_up(self, ticket: Ticket) -> None:
        """Whoever has this ticket waits no more; nothing happens where it was called already."""
        tenants = self._lines[ticket.priority]
        line = tenants.get(ticket.tenant, ())
        if ticket in line:
            self._remove(tenants, ticket)

    def _start(self, ticket: Ticket, now: float) -> None:
        ticket.since = now
        self.running += 1

    def _call(self, ticket: Ticket, now: float) -> None:
        verdict: Verdict = "shed" if self._too_late(ticket, now) else "run"
        if verdict == "run":
            self._start(ticket, now)
        self._tell(ticket, verdict)

    def _tell(self, ticket: Ticket, verdict: Verdict) -> None:
        if ticket.called:
            ticket.called(verdict)

    def _too_late(self, ticket: Ticket, now: float) -> bool:
        """Whether its caller will have given up before a unit such as this is done."""
        return now + self._takes_s.get(ticket.route, 0.0) > ticket.deadline

    def _next(self) -> Ticket:
        """The first of the tenant whose turn it is, in the most important class that waits."""
        tenants = next(tenants for tenants in self._lines if tenants)
        tenant, line = next(iter(tenants.items()))
        ticket = line.popleft()
        if line:
            tenants.move_to_end(tenant)
        else:
            del tenants[tenant]
        self.waiting -= 1
        return ticket

    def _bears(self, ticket: Ticket) -> bool:
        """Whether a full line takes it all the same: the most important come in bursts, and are called first anyway."""
        return ticket.priority == 0 and self.waiting < self.line * BURST

    def _make_room(self, ticket: Ticket) -> bool:
        """Shed one that waits for a newcomer that has the better claim; False where none has the worse one."""
        if not self.waiting:
            return False
        worst = max(index for index, tenants in enumerate(self._lines) if tenants)
        if worst < ticket.priority:
            return False
        tenants = self._lines[worst]
        longest = max(tenants.values(), key=len)
        if worst == ticket.priority and len(tenants.get(ticket.tenant, ())) + 1 >= len(longest):
            return False
        victim = longest[-1]
        self._remove(tenants, victim)
        self._tell(victim, "shed")
        return True

    def _remove(self, tenants: OrderedDict[str, deque[Ticket]], ticket: Ticket) -> None:
        line = tenants[ticket.tenant]
        line.remove(ticket)
        if not line:
            del tenants[ticket.tenant]
        self.waiting -= 1
