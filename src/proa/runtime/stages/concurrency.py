"""The stage `concurrency`: a slot for each unit, the line for them, and shedding."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proa.app import App
from proa.core.policy.slots import PRIORITIES, Slots, Ticket, Verdict
from proa.declare.handlers import Route
from proa.declare.http import Answer
from proa.errors import DeadlineExceeded, Overloaded
from proa.observe.metrics import Registry
from proa.ports import Clock
from proa.runtime.admission import Arrival, Maker, Stage
from proa.runtime.stages.client import clients, tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable

WANTING = (503, 504)
"""Answers of units that failed for want of time or of something that they depend on."""


def slots(app: App, clock: Clock, metrics: Registry) -> Mapping[str, Maker]:
    """The maker of the stage; routes without slots of their own share the app's. `metrics` tell of all of them."""
    shared = Slots(app.front.concurrency) if app.front.concurrency else None
    known = {app.name: shared} if shared else {}

    def made(route: Route) -> Stage | None:
        own = shared
        if route.concurrency:
            own = known[route.scope] = Slots(route.concurrency)
        return Gate(app, route, own, clock).enter if own else None

    metrics.gauge("proa_slots_limit", lambda: [({"of": of}, each.limit) for of, each in known.items()])
    metrics.gauge("proa_slots_running", lambda: [({"of": of}, each.running) for of, each in known.items()])
    metrics.gauge("proa_slots_waiting", lambda: [({"of": of}, each.waiting) for of, each in known.items()])
    return {"concurrency": made}


class Gate:
    """One route's way to its slots."""

    def __init__(self, app: App, route: Route, own: Slots, clock: Clock) -> None:
        self._route = route
        self._priority = PRIORITIES.index(route.priority)
        self._client = clients(app)
        self._slots = own
        self._clock = clock

    def enter(self, arrival: Arrival) -> Awaitable[None] | None:
        """Take a slot, wait for one, or be shed. What is waited counts to the time that the route has."""
        now, request = self._clock.monotonic(), arrival.request
        latest = now + self._route.timeout_s
        request.deadline = latest if request.deadline is None else min(request.deadline, latest)
        ticket = Ticket(self._route.scope, self._priority, tenant(request, self._client(request)), request.deadline)
        match self._slots.arrive(ticket, now):
            case "run":
                self._entered(arrival, ticket)
                return None
            case "wait":
                return self._wait(arrival, ticket, request.deadline - now)
            case "shed":
                raise self._shed()

    async def _wait(self, arrival: Arrival, ticket: Ticket, left_s: float) -> None:
        turn: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        ticket.called = lambda verdict: None if turn.done() else turn.set_result(verdict)
        try:
            async with asyncio.timeout(left_s):
                verdict = await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            self._gave_up(ticket, turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("no slot became free in time") from None
            raise
        if verdict == "shed":
            raise self._shed()
        self._entered(arrival, ticket)

    def _gave_up(self, ticket: Ticket, turn: asyncio.Future[Verdict]) -> None:
        """Whoever waited is gone; a slot that it was just given goes to the next."""
        if turn.done() and not turn.cancelled() and turn.result() == "run":
            self._slots.leave(ticket, self._clock.monotonic(), failed=False)
        else:
            self._slots.give_up(ticket)

    def _entered(self, arrival: Arrival, ticket: Ticket) -> None:
        def leave(answer: Answer) -> None:
            self._slots.leave(ticket, self._clock.monotonic(), failed=answer.status in WANTING)

        arrival.leaving.append(leave)

    def _shed(self) -> Overloaded:
        return Overloaded(f"{self._slots.running} units run and {self._slots.waiting} wait")
