"""Forwarding: a request that writes, or reads strongly, a row of another region is run there, whole.

The handler had begun here and ended before anything was committed. One hop: a region that is not the home either (the
two see different epochs, or it has not taken over yet) says so, and the first region looks at its roles again. It sends
a second time only what surely did not start; an answer that did not come leaves the outcome unknown, and the client's
Idempotency-Key, which the home decides about, makes repeating it safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from proa.core.home import Place
from proa.declare.handlers import Route
from proa.declare.http import Answer, Request
from proa.declare.identity import Principal
from proa.errors import (
    HomeUnreachable,
    LinkDown,
    LinkRefused,
    LinkTimeout,
    NotHome,
    OutcomeUnknown,
    ProaError,
    Unavailable,
)
from proa.ports import Clock, Link, Method
from proa.runtime.authority import Authority
from proa.runtime.invoke import HOME_HEADER, ROLE_WAIT_S, ROLE_WAIT_SHARE, Invocation
from proa.runtime.router import Router

AGAIN_S = 0.05
"""Between two tries at a home that cannot be reached or says that it is none."""
GRACE_S = 0.1
"""What the home's own verdict on the deadline may take to arrive."""


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """A request on its way to a home. `left_s` are the seconds until its deadline.

    Whoever asks was let in by the region that sends it, so the home trusts its word on the principal.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    left_s: float
    principal: Principal | None = None


Run = Callable[[Route, Request, Mapping[str, str], float], Coroutine[Any, Any, Answer]]
_encode = msgspec.msgpack.Encoder().encode
_decode_passed = msgspec.msgpack.Decoder(Passed).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class Forwarder:
    """Sends requests to the homes of rows, and runs those that other regions send here.

    `reachable` says whether a region answers at all: a request to one that is silent would only wait there.
    """

    def __init__(
        self, region: str, authority: Authority, link: Link, clock: Clock, reachable: Callable[[str], bool]
    ) -> None:
        self._region = region
        self._authority = authority
        self._link = link
        self._clock = clock
        self._reachable = reachable
        self._running: set[asyncio.Task[Answer]] = set()

    async def resolve(self, call: Invocation, place: Place) -> Answer | None:
        """`invoke.Resolve`: the home's answer, or None where this region may run the request by now.

        Raises:
            NotHome: nobody would act as home in the time that the request may wait.
            HomeUnreachable: the home could not be asked in that time.
            OutcomeUnknown: it was asked and did not answer.
        """
        until = self._clock.monotonic() + min(ROLE_WAIT_S, call.route.timeout_s * ROLE_WAIT_SHARE)
        authority = self._authority
        while not authority.may_write_home(place):
            since, home, pause_s = authority.changes, authority.home_of(place), ROLE_WAIT_S
            why: ProaError = NotHome(self._state(home))
            if home is not None and home != self._region:
                if call.passed_on:
                    raise why
                try:
                    return await self._asked(home, call)
                except (NotHome, HomeUnreachable) as error:
                    why, pause_s = error, AGAIN_S
            left_s = until - self._clock.monotonic()
            if left_s <= 0 or authority.crowded:
                raise why
            await authority.changed(since, min(left_s, pause_s))
        return None

    def _state(self, home: str | None) -> str:
        authority = self._authority
        if home == self._region:
            return f"{home} is {authority.role} in epoch {authority.epoch}, and has not taken over or may not write now"
        return f"{home or 'no region'} acts as home in epoch {authority.epoch}"

    async def _asked(self, home: str, call: Invocation) -> Answer:
        """What the home says."""
        if not self._reachable(home):
            raise HomeUnreachable(f"{home} does not answer")
        request, left_s = call.request, call.deadline - self._clock.monotonic()
        headers = {**request.headers, "traceparent": call.trace}
        passed = Passed(request.method, request.path, request.query, headers, request.body, left_s, request.principal)
        try:
            reply = await self._link.call(home, "invoke", _encode(passed), timeout_s=left_s + GRACE_S)
        except LinkDown as error:
            raise HomeUnreachable(error.detail) from error
        except (LinkTimeout, LinkRefused) as error:
            unanswered = Unavailable if call.route.unit == "read" else OutcomeUnknown
            raise unanswered(f"{home}, the home of the row, did not answer: {error.detail}") from error
        return _marked(_decode_answer(reply), home)

    def methods(self, router: Router, invoke: Run, serving: Callable[[], bool]) -> dict[str, Method]:
        """The link method that this region serves to the others."""

        async def run(_caller: str, payload: Any) -> bytes:
            if not serving():
                raise NotHome(f"{self._region} is starting or stopping")
            passed = _decode_passed(payload)
            route, path = router.find(passed.method, passed.path)
            request = Request(passed.method, passed.path, passed.query, passed.headers, passed.body)
            request.principal = passed.principal
            # In a task of its own: whoever asked may give up, the unit must not end in the middle for that.
            task = asyncio.get_running_loop().create_task(invoke(route, request, path, passed.left_s))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return _encode(await asyncio.shield(task))

        return {"invoke": run}


def _marked(answer: Answer, home: str) -> Answer:
    told = any(name == HOME_HEADER for name, _ in answer.headers)
    return answer if told else Answer(answer.status, [*answer.headers, (HOME_HEADER, home)], answer.body)
