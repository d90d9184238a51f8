"""The region's front door: raw ASGI in, one `Request` inside, an answer out.

Everything under `/_proa/` belongs to Proa (health, metrics, status, control) and is never reached through the edge.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec

from proa.declare.handlers import Route
from proa.declare.http import Answer, Request
from proa.errors import BadRequest, Draining, MethodNotAllowed, NotFound, PayloadTooLarge, ProaError
from proa.runtime.answers import problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Invoke = Callable[[Route, Request, Mapping[str, str]], Awaitable[Answer]]
Page = Callable[[], Answer]

INTERNAL = "/_proa/"
NO_PATH: Mapping[str, str] = {}


class Router:
    """Finds the route of a method and path: fixed paths in one look-up, templates in declared order."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in routes:
            if "{" in route.path:
                _, methods = self._templates.setdefault(route.path, (_pattern(route.path), {}))
            else:
                methods = self._fixed.setdefault(route.path, {})
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its path parameters.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: one has, for other methods.
        """
        methods, parameters = self._methods(path)
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise MethodNotAllowed(f"{path} takes {allowed}, not {method}", headers={"allow": allowed})
        return route, parameters

    def _methods(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        if (methods := self._fixed.get(path)) is not None:
            return methods, NO_PATH
        for pattern, methods in self._templates.values():
            if match := pattern.fullmatch(path):
                return methods, match.groupdict()
        raise NotFound(f"no route has the path {path}")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    escaped = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+)" for index, part in enumerate(parts)]
    return re.compile("".join(escaped))


class Gateway:
    """The ASGI application of one region. `pages` are Proa's own answers; `mounts` other ASGI apps under `/_proa/`."""

    def __init__(
        self,
        region: str,
        routes: Sequence[Route],
        invoke: Invoke,
        pages: Mapping[str, Page],
        *,
        max_body_bytes: int,
        serving: Callable[[], bool],
    ) -> None:
        self._region = (b"proa-region", region.encode())
        self._router = Router(routes)
        self._invoke = invoke
        self._pages = {INTERNAL + name: page for name, page in pages.items()}
        self._max_body_bytes = max_body_bytes
        self._serving = serving
        self.mounts: dict[str, Asgi] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith(INTERNAL):
            await self._internal(path, scope, receive, send)
        else:
            await self._send(send, await self._answer(scope, receive), scope["method"])

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            if not self._serving():
                raise Draining("the region is starting or stopping")
            route, path = self._router.find(scope["method"], scope["path"])
            return await self._invoke(route, await self._request(scope, receive), path)
        except ProaError as error:
            return problem(error, "")

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await self._body(headers, receive)
        return Request(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, body)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """The whole body; refused as soon as its announced or real size exceeds the limit."""
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            raise PayloadTooLarge(f"the body has {int(announced):,} bytes; at most {self._max_body_bytes:,} are taken")
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
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
        headers += [(b"content-length", str(len(answer.body)).encode()), self._region]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


def json_page(value: Any, status: int = 200, kind: str = "application/json") -> Answer:
    """One of Proa's own answers."""
    return Answer(status, [("content-type", kind), ("cache-control", "no-store")], msgspec.json.encode(value))
