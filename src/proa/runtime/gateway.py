"""The region's front door: raw ASGI in, one `Request` inside, an answer out.

Everything under `/_proa/` belongs to Proa (health, metrics, status, control) and is never reached through the edge.
Everything else is let in, or not, by `runtime.admission`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec

from proa.app import App
from proa.declare.http import MOUNT_HEADER, Answer, Request
from proa.declare.identity import Principal
from proa.errors import BadRequest, NotFound, PayloadTooLarge, RequestTooSlow
from proa.runtime.admission import Admission, Read
from proa.runtime.answers import problem
from proa.runtime.eager import within

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Page = Callable[[], Answer]

INTERNAL = "/_proa/"
ON_GONE = "proa.on_gone"
"""Where a request's scope holds what its server calls if the client breaks off; other servers do not know of it."""


class Gateway:
    """The ASGI application of one region. `pages` are Proa's own answers; `mounts` other ASGI apps under `/_proa/`."""

    def __init__(self, app: App, region: str, admission: Admission, pages: Mapping[str, Page]) -> None:
        self._admission = admission
        self._pages = {INTERNAL + name: page for name, page in pages.items()}
        self._max_body_bytes = app.max_body_bytes
        self._body_s = app.front.body_timeout_s
        safe = app.front.answer_headers
        self._safe_names = frozenset(safe)
        self._region = ("proa-region", region)
        self._always = [_encoded(header) for header in (*safe.items(), self._region)]
        self.mounts: dict[str, Asgi] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith(INTERNAL):
            await self._internal(path, scope, receive, send)
        else:
            request = _request(scope)
            answer = await self._answer(request, scope, receive)
            if answer:
                await self._send(send, answer, request.method)

    async def _answer(self, request: Request, scope: Scope, receive: Receive) -> Answer | None:
        """The answer; None where the client went away, and what was begun for it was stopped."""
        gone = False
        task = asyncio.current_task()

        def leave() -> None:
            nonlocal gone
            if task and request.recallable:
                gone = True
                task.cancel()

        scope[ON_GONE] = leave
        try:
            return await self._admission.answer(request, lambda: self._read(request.headers, receive))
        except asyncio.CancelledError:
            if not gone:
                raise
            return None

    # `runtime.lambda_events.Front`.

    def answer(self, request: Request, read: Read) -> Awaitable[Answer]:
        """The answer to a request that came by another way than ASGI."""
        return self._admission.answer(request, read)

    async def judge(self, request: Request) -> Principal | None:
        """Who sends a request, if it would be let in; see `Admission.judge`."""
        return await self._admission.judge(request)

    def headers(self, answer: Answer) -> list[tuple[str, str]]:
        """The headers with which an answer leaves the region."""
        always = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._unsaid(answer)]
        return [*answer.headers, ("content-length", str(len(answer.body))), *always]

    async def _read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        try:
            return await within(lambda: self._body_s, self._body(headers, receive))
        except TimeoutError:
            raise RequestTooSlow(f"the body was not complete after {self._body_s:g} s") from None

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """The whole body; refused as soon as its announced or real size exceeds the limit."""
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            raise PayloadTooLarge(f"the body has {int(announced):,} bytes; at most {self._max_body_bytes:,} are taken")
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body") and len(body) <= self._max_body_bytes:
            message = await receive()
            body += message.get("body", b"")
        if len(body) > self._max_body_bytes:
            raise PayloadTooLarge(f"the body has more than {self._max_body_bytes:,} bytes")
        if message["type"] == "http.disconnect":
            raise BadRequest("the client went away before the body was complete")
        return body

    async def _internal(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        for prefix, mounted in self.mounts.items():
            if path.startswith(prefix):
                await mounted(scope, receive, send)
                return
        answer = self.page(path) or problem(NotFound(f"{path} is no page of this region"), "")
        await self._send(send, answer, scope["method"])

    def page(self, path: str) -> Answer | None:
        """One of Proa's own pages, as it is now."""
        page = self._pages.get(path)
        return page() if page else None

    async def _send(self, send: Send, answer: Answer, method: str) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        headers += self._unsaid(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})

    def _unsaid(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        """What every answer carries, but for what this one says itself, and what may be shown in a mounted one."""
        names = [name for name, _ in answer.headers]
        said = self._safe_names.intersection(names)
        if MOUNT_HEADER in names:
            said |= {"content-security-policy"}  # pages of other applications bring scripts and styles along
        return [header for header in self._always if header[0].decode() not in said] if said else self._always


def _encoded(header: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = header
    return name.encode("latin-1"), value.encode("latin-1")


def _request(scope: Scope) -> Request:
    """The head of a request; its body is read when admission wants it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if len(headers) != len(scope["headers"]):
        headers = _combined(scope["headers"])
    client = scope.get("client")
    peer = client[0] if client else ""
    return Request(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, b"", peer)


def _combined(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Repeated headers as one (RFC 9110 5.3): nobody can hide a second key or credential behind the first."""
    found: dict[str, str] = {}
    for raw, value in pairs:
        name, between = raw.decode("latin-1"), "; " if raw == b"cookie" else ", "
        found[name] = f"{found[name]}{between}{value.decode('latin-1')}" if name in found else value.decode("latin-1")
    return found


def json_page(value: Any, status: int = 200, kind: str = "application/json") -> Answer:
    """One of Proa's own answers."""
    return Answer(status, [("content-type", kind), ("cache-control", "no-store")], msgspec.json.encode(value))
