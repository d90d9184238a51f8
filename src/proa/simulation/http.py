"""HTTP over the simulated network: raw ASGI at the far end, nothing parsed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from proa.declare.http import Request
from proa.runtime.gateway import Asgi
from proa.simulation.client import Reply
from proa.simulation.network import Network, settle
from proa.simulation.process import Life

Door = Callable[[Request], Awaitable[Reply]]
"""A host's front door."""


class Http:
    """Requests between hosts: answered, refused where nobody listens, reset where the process dies, else never."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._open: dict[Life, dict[asyncio.Future[Reply], str]] = {}

    async def request(self, source: str, target: str, request: Request) -> Reply:
        """One request to a host's front door; wait for it with a time-out of your own.

        Raises:
            ConnectionRefusedError: nobody listens there; nothing was sent.
            ConnectionResetError: whoever listened died before it answered.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()

        def arrive(host: Any) -> None:
            life = host.life
            if life is None or life.http is None:
                self._fail(target, source, future, ConnectionRefusedError(f"nobody listens at {target}"))
            else:
                self._open.setdefault(life, {})[future] = source
                life.spawn(self._answer(life, source, request, future))

        self._network.send(source, target, request.method + " " + request.path, request.body, arrive)
        return await future

    async def _answer(self, life: Any, source: str, request: Request, future: asyncio.Future[Reply]) -> None:
        reply = await life.http(request)
        self._open[life].pop(future, None)
        self._network.send(life.name, source, f"{reply.status}", reply.body, lambda _: settle(future, reply, None))

    def reset(self, life: Life) -> None:
        """The process is gone and its machine says so to everybody who waits for it."""
        for future, source in self._open.pop(life, {}).items():
            self._fail(life.name, source, future, ConnectionResetError(f"{life.name} died"))

    def _fail(self, source: str, target: str, future: asyncio.Future[Reply], error: Exception) -> None:
        self._network.send(source, target, type(error).__name__, b"", lambda _: settle(future, None, error))


def door_of(app: Asgi) -> Door:
    """An ASGI application as a door."""

    async def door(request: Request) -> Reply:
        answer: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:
            answer.update(message)

        await app(_scope(request), receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer["headers"]}
        return Reply(answer["status"], headers, answer["body"])

    return door


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
