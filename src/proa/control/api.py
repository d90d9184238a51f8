"""The control API: the desk over HTTP, as an ASGI app under `/_proa/control`. JSON in and out, problem+json for errors.

Every call carries an operator's token as `Authorization: Bearer NAME.TOKEN`; a cookie is never looked at, so no other
site can act through a browser. Guessing is slowed down per client address and name, before any hash is computed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from proa.control import operators
from proa.control.desk import Asked, Desk, Word
from proa.control.ends import swear_ended
from proa.control.operators import Operator, OperatorRole
from proa.control.parts import Parts
from proa.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ProaError,
    TooManyRequests,
    Unauthorized,
    Unprocessable,
)
from proa.ports import Clock

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LostWrites = Callable[[], Awaitable[Any]]
"""The region's own list of parked commits, for `/lost`."""
T = TypeVar("T")

PREFIX = "/_proa/control"
BODY_MAX = 64 * 1024
FAILURES_MAX = 10
WINDOW_S = 60.0
CALLERS_MAX = 10_000


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a plan is called off."""

    reason: str = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason, for the audit log."""

    why: str = ""


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process whose end an operator swears to."""

    node: str
    boot: str


class Call(msgspec.Struct, frozen=True):
    """One request, parsed as far as it needs no rights."""

    method: str
    path: tuple[str, ...]
    who: Operator
    body: bytes
    query: Mapping[str, str] = {}

    def asked(self, kind: type[T]) -> T:
        """The query's parameters as `kind`; what is not named there is left out."""
        try:
            return msgspec.convert(self.query, type=kind, strict=False)
        except msgspec.ValidationError as error:
            raise Unprocessable(str(error)) from error

    def read(self, kind: type[T]) -> T:
        """The body as `kind`; an empty one stands for all defaults."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise Unprocessable(str(error)) from error
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from error

    def need(self, role: OperatorRole) -> Operator:
        """The caller, who must have `role`."""
        if not self.who.may(role):
            raise Forbidden(f"{self.who.name} is a {self.who.role}; this needs a {role}")
        return self.who


Answers = Callable[[Call], Awaitable[Any]]
"""Answers the calls below one part of the path."""
NO_PARTS: Mapping[str, Answers] = {}


class Attempts:
    """Failed authentications per caller within a window; too many, and the caller waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def check(self, caller: str) -> None:
        """Raise TooManyRequests where `caller` failed too often of late."""
        recent = self._recent(caller)
        if len(recent) >= FAILURES_MAX:
            wait_s = recent[0] + WINDOW_S - self._clock.monotonic()
            raise TooManyRequests("too many failed authentications", headers={"Retry-After": str(int(wait_s) + 1)})

    def failed(self, caller: str) -> None:
        """Note one more failure; the memory is bounded, whoever asks."""
        if len(self._failed) >= CALLERS_MAX:
            self._failed = {name: self._recent(name) for name in self._failed if self._recent(name)}
        if len(self._failed) < CALLERS_MAX:
            self._failed[caller] = [*self._recent(caller), self._clock.monotonic()]

    def _recent(self, caller: str) -> list[float]:
        since = self._clock.monotonic() - WINDOW_S
        return [at for at in self._failed.get(caller, ()) if at > since]


class ControlApi:
    """The ASGI app. `lost` serves the region's parked commits, where it has any to tell of.

    `below` answers the calls under a first part of the path of their own.
    """

    def __init__(
        self, me: str, parts: Parts, lost: LostWrites | None = None, below: Mapping[str, Answers] = NO_PARTS
    ) -> None:
        self._parts = parts
        self._desk = Desk(me, parts)
        self._lost = lost
        self._below = below
        self._attempts = Attempts(parts.clock)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            who = await self._authenticate(scope)
            path = tuple(part for part in scope["path"].removeprefix(PREFIX).split("/") if part)
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            call = Call(scope["method"], path, who, await _body(receive), query)
            status, value = 200, await self._answer(call)
        except ProaError as error:
            await _reply(send, error.status, problem(error), "application/problem+json", _headers(error))
            return
        await _reply(send, status, value, "application/json", {})

    async def _answer(self, call: Call) -> Any:
        if call.path and (answers := self._below.get(call.path[0])):
            return await answers(call)
        match call.method, call.path:
            case "GET", ("status",):
                return await self._desk.status()
            case "GET", ("plans",):
                return {"plans": await self._desk.plans()}
            case "GET", ("audit",):
                return await self._desk.log()
            case "GET", ("lost",) if self._lost:
                return await self._lost()
            case "POST", path:
                return await self._act(call, path)
            case _, ("status" | "plans" | "audit" | "failback" | "ends", *_):
                raise MethodNotAllowed(f"{call.method} is not served at {'/'.join(call.path)}")
            case _:
                raise NotFound(f"the control API has no {'/'.join(call.path)!r}")

    async def _act(self, call: Call, path: tuple[str, ...]) -> Any:
        match path:
            case ("plans",):
                plan = await self._desk.request(call.need("operator"), call.read(Asked))
            case ("failback",):
                plan = await self._desk.failback(call.need("operator"), call.read(Asked))
            case ("plans", plan_id, "approve"):
                plan = await self._desk.approve(call.need("approver"), plan_id, call.read(Word))
            case ("plans", plan_id, "abort"):
                plan = await self._desk.abort(call.need("operator"), plan_id, call.read(Reason).reason)
            case ("ends",):
                who, end = call.need("approver"), call.read(End)
                await swear_ended(self._parts, end.node, end.boot, who.name)
                return {"node": end.node, "boot": end.boot, "ended": True}
            case _:
                raise NotFound(f"the control API has no {'/'.join(path)!r} to post to")
        situation = self._parts.view.situation
        return self._desk.show(situation, plan, self._parts.clock.monotonic())

    async def _authenticate(self, scope: Message) -> Operator:
        given = {name.lower(): value for name, value in scope["headers"]}.get(b"authorization", b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        address = (scope.get("client") or ("unknown", 0))[0]
        caller = f"{address} {token.rpartition('.')[0][:64]}"
        self._attempts.check(caller)
        who = await operators.verify(self._parts.store, token.strip()) if scheme.lower() == "bearer" else None
        if who is None:
            self._attempts.failed(caller)
            raise Unauthorized("send an operator's token", headers={"WWW-Authenticate": 'Bearer realm="proa control"'})
        return who


def problem(error: ProaError) -> dict[str, Any]:
    """An error as RFC 9457 has it."""
    return {
        "type": f"urn:proa:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "code": error.code,
    }


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_MAX:
            raise PayloadTooLarge(f"the control API takes at most {BODY_MAX} bytes")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return body


def _headers(error: ProaError) -> dict[str, str]:
    marks = {"proa-not-started": "true"} if error.not_started else {}
    return error.headers | marks | ({"Retry-After": "1"} if error.status == 503 else {})


async def _reply(send: Send, status: int, value: Any, content_type: str, headers: dict[str, str]) -> None:
    named = {"content-type": content_type, "cache-control": "no-store"} | headers
    raw = [(name.lower().encode(), text.encode()) for name, text in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": msgspec.json.encode(value)})
