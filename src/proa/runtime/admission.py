"""Admission: drives a request through the stages that its route declares, then runs its unit.

Whoever receives requests (raw ASGI in `runtime.gateway`, Lambda's events in `runtime.lambda_events`) makes a `Request`
of them and asks `Admission.answer`; nothing after that knows where a request came from. What a stage decides is a pure
policy in `core.policy`; a maker here or beside this module drives it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

import msgspec

from proa.declare.admission import STAGES
from proa.declare.handlers import Route
from proa.declare.http import Answer, Request
from proa.declare.identity import Principal
from proa.errors import Draining, ProaError
from proa.ports import Telemetry
from proa.runtime.answers import problem
from proa.runtime.events import ClientGone, RequestRefused
from proa.runtime.router import Router

Invoke = Callable[[Route, Request, Mapping[str, str]], Awaitable[Answer]]
Read = Callable[[], Awaitable[bytes]]
"""Reads the whole body, once it is wanted."""


class Arrival(msgspec.Struct):
    """A request on its way in, as its stages see it.

    `request.body` is empty before the stage `body`, `request.principal` None before `authenticate` (and after it where
    the route lets anybody in). `told` are headers for whatever will be answered, a refusal included; each of `leaving`
    is called once when the answer is known, the last one first.
    """

    route: Route
    path: Mapping[str, str]
    request: Request
    read: Read
    told: list[tuple[str, str]] = []
    leaving: list[Callable[[Answer], None]] = []


class CrossOrigin(Protocol):
    """Answers browsers that ask for other sites' pages; see `runtime.stages.cors`."""

    def preflight(self, request: Request) -> Answer | None: ...
    def marks(self, request: Request) -> list[tuple[str, str]]: ...


Stage = Callable[[Arrival], Awaitable[None] | None]
"""Lets an arrival pass, or raises the ProaError that refuses it. Returns an awaitable only where it has to wait."""
Maker = Callable[[Route], Stage | None]
"""Makes a stage for a route at start; None where the route declares nothing that it would do."""


BEFORE_BODY = frozenset(takewhile(lambda name: name != "body", (spec.name for spec in STAGES)))
GONE = Answer(499, [], b"")
"""What `leaving` is told where nobody waits for an answer any more."""


class Admission:
    """The way in to one region. `makers` are by the name of their stage in `STAGES`."""

    def __init__(
        self,
        router: Router,
        routes: Sequence[Route],
        invoke: Invoke,
        makers: Mapping[str, Maker],
        telemetry: Telemetry,
        *,
        serving: Callable[[], bool],
        cross_origin: CrossOrigin | None = None,
    ) -> None:
        self._router = router
        self._invoke = invoke
        self._telemetry = telemetry
        self._serving = serving
        self._cross_origin = cross_origin
        self._stages: dict[str, tuple[Stage, ...]] = {}
        self._before_body: dict[str, tuple[Stage, ...]] = {}
        for route in routes:
            made = compiled(route, makers)
            self._stages[route.scope] = tuple(made.values())
            self._before_body[route.scope] = tuple(stage for name, stage in made.items() if name in BEFORE_BODY)

    def answer(self, request: Request, read: Read) -> Awaitable[Answer]:
        """The answer to a request; every refusal is an answer too."""
        if self._cross_origin is None or "origin" not in request.headers:
            return self._answered(request, read)
        return self._answered_across(self._cross_origin, request, read)

    async def _answered_across(self, cross_origin: CrossOrigin, request: Request, read: Read) -> Answer:
        if preflight := cross_origin.preflight(request):
            return preflight
        answer = await self._answered(request, read)
        return Answer(answer.status, [*answer.headers, *cross_origin.marks(request)], answer.body)

    async def _answered(self, request: Request, read: Read) -> Answer:
        try:
            if not self._serving():
                raise Draining("the region is starting or stopping")
            route, path = self._router.find(request.method, request.path)
        except ProaError as error:
            return problem(error, "")
        arrival = Arrival(route, path, request, read)
        try:
            for stage in self._stages[route.scope]:
                if (waiting := stage(arrival)) is not None:
                    await waiting
            answer = await self._invoke(route, request, path)
        except ProaError as error:
            self._telemetry.emit(RequestRefused(route.scope, error.status, error.code))
            answer = problem(error, "")
        except BaseException:
            self._telemetry.emit(ClientGone(route.scope))
            _leave(arrival, GONE)
            raise
        if arrival.told:
            answer = Answer(answer.status, [*answer.headers, *arrival.told], answer.body)
        if arrival.leaving:
            _leave(arrival, answer)
        return answer

    async def judge(self, request: Request) -> Principal | None:
        """Who sends a request, if it would be let in as far as its head tells; for somebody else who guards the door.

        Raises:
            ProaError: it would be refused, for this reason.
        """
        route, path = self._router.find(request.method, request.path)
        arrival = Arrival(route, path, request, _no_body)
        for stage in self._before_body[route.scope]:
            if (waiting := stage(arrival)) is not None:
                await waiting
        return request.principal


async def _no_body() -> bytes:
    return b""


def _leave(arrival: Arrival, answer: Answer) -> None:
    for leave in reversed(arrival.leaving):
        leave(answer)


def compiled(route: Route, makers: Mapping[str, Maker]) -> dict[str, Stage]:
    """The stages of a route by name, in the declared order."""
    made = {spec.name: makers[spec.name](route) for spec in STAGES if spec.name in makers}
    return {name: stage for name, stage in made.items() if stage}


async def read_body(arrival: Arrival) -> None:
    """The stage `body`."""
    arrival.request.body = await arrival.read()
