"""HTTP over the simulated network: raw ASGI at the far end, nothing parsed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from proa.declare.http import Request
from proa.edge.routes import NOT_STARTED
from proa.runtime.gateway import INTERNAL, Gateway
from proa.simulation.client import Reply
from proa.simulation.history import NEVER
from proa.simulation.network import Network, settle
from proa.simulation.process import Life

NO_HEADERS: Mapping[str, str] = {}
THROTTLED = Reply(503, {NOT_STARTED: "true", "retry-after": "1"}, b"")


class Door(Protocol):
    """A host's front door."""

    def page(self, path: str) -> Reply | None:
        """What can be answered at once, without a task of its own."""
        ...

    async def answer(self, request: Request) -> Reply: ...


class Http:
    """Requests between hosts: answered, refused where nobody listens, reset where the process dies, else never."""

    def __init__(self, network: Network, now: Callable[[], float]) -> None:
        self._network = network
        self._now = now
        self._loop = network.loop
        self._open: dict[Life, dict[asyncio.Future[Reply], str]] = {}

    async def request(self, source: str, target: str, request: Request, timeout_s: float | None = None) -> Reply:
        """One request to a host's front door.

        Raises:
            ConnectionRefusedError: nobody listens there; nothing was sent.
            ConnectionResetError: whoever listened died before it answered.
            TimeoutError: nothing came within `timeout_s`.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        what = f"{request.method} {request.path}"
        self._network.send(
            source,
            target,
            what,
            request.body,
            lambda host: self._arrive(host, source, request, future),
            once=True,  # a connection delivers a request once; clients and the edge repeat it themselves
        )
        if timeout_s is not None:
            self._loop.limit(future, timeout_s, lambda: TimeoutError(f"{target} did not answer"))
        return await future

    def _arrive(self, host: Any, source: str, request: Request, future: asyncio.Future[Reply]) -> None:
        life = host.life
        if life is None or life.http is None:
            self._fail(host.name, source, future, ConnectionRefusedError(f"nobody listens at {host.name}"))
        elif host.refuses():
            self._hand_back(life, source, THROTTLED, future)
        elif (page := life.http.page(request.path)) and not life.halted:
            self._hand_back(life, source, page, future)
        else:
            self._open.setdefault(life, {})[future] = source
            life.spawn(self._answer(life, source, request, future))

    async def _answer(self, life: Any, source: str, request: Request, future: asyncio.Future[Reply]) -> None:
        reply = await life.http.answer(request)
        self._open[life].pop(future, None)
        if reply.left_at == NEVER:  # the edge hands on when a region gave it away
            reply = msgspec.structs.replace(reply, left_at=self._now())
        self._hand_back(life, source, reply, future)

    def _hand_back(self, life: Life, source: str, reply: Reply, future: asyncio.Future[Reply]) -> None:
        self._network.send(life.name, source, f"{reply.status}", reply.body, lambda _: settle(future, reply, None))

    def reset(self, life: Life) -> None:
        """The process is gone and its machine says so to everybody who waits for it."""
        for future, source in self._open.pop(life, {}).items():
            self._fail(life.name, source, future, ConnectionResetError(f"{life.name} died"))

    def _fail(self, source: str, target: str, future: asyncio.Future[Reply], error: Exception) -> None:
        self._network.send(source, target, type(error).__name__, b"", lambda _: settle(future, None, error))


class RegionDoor:
    """A region's gateway: its own pages directly, everything else as ASGI."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def page(self, path: str) -> Reply | None:
        found = self._gateway.page(path) if path.startswith(INTERNAL) else None
        return Reply(found.status, NO_HEADERS, found.body) if found else None

    async def answer(self, request: Request) -> Reply:
        answer: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:
            answer.update(message)

        await self._gateway(_scope(request), receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer["headers"]}
        return Reply(answer["status"], headers, answer["body"])


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
