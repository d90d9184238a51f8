"""Mounting: an ASGI application that exists already, behind the same way in and with the same keys.

A mount is a route for each method, for every path under its prefix. Its handler is the other application: it is given
the whole request, and what it answers is the unit's answer. So a POST with an `Idempotency-Key` runs once in a region
and is replayed from then on, whatever the application does with it; and its handlers may use tables, as those of the
app itself do.

The other application must answer in one piece that fits into memory, and speaks HTTP alone, no websockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from proa.declare.context import Context
from proa.declare.health import HealthCheck
from proa.declare.http import MOUNT_HEADER, Answer, Request
from proa.errors import DeclarationError, ResponseTooLarge

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ANSWER_BYTES_MAX = 16 * 1024 * 1024
_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})
"""Headers that speak of one connection: the server in front writes its own."""


class Mount(msgspec.Struct, frozen=True):
    """An application and the prefix that it is reached under."""

    prefix: str
    app: Asgi

    async def __call__(self, request: Request, ctx: Context | None = None) -> Answer:
        """The application's answer to a whole request.

        Raises:
            ResponseTooLarge: it answers with more than Proa keeps in memory.
        """
        reply = _Reply(self.prefix)
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await reply.finished.wait()
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        await self.app(self._scope(request, ctx), receive, reply.take)
        return reply.answer()

    def _scope(self, request: Request, ctx: Context | None) -> Message:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.headers.get("x-forwarded-proto", "http"),
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query.encode("latin-1"),
            "root_path": self.prefix,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
            "client": (request.peer, 0) if request.peer else None,
            "server": None,
            "state": {},
            "proa.principal": request.principal,
            "proa.context": ctx,
        }


class _Reply:
    """What an application sends, put together."""

    def __init__(self, prefix: str) -> None:
        self.finished = asyncio.Event()
        self._prefix = prefix
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message.get("headers", ())
            ]
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if len(self._body) > ANSWER_BYTES_MAX:
                raise ResponseTooLarge(f"a mounted application may answer {ANSWER_BYTES_MAX:,} bytes")
            if not message.get("more_body"):
                self.finished.set()

    def answer(self) -> Answer:
        kept = [(name, value) for name, value in self._headers if name not in _CONNECTION]
        return Answer(self._status, [*kept, (MOUNT_HEADER, self._prefix)], self._body)


def whole(request: Request, _path: Mapping[str, str], _context: Context) -> Request:
    """A getter: the request itself."""
    return request


def within(_request: Request, _path: Mapping[str, str], context: Context) -> Context:
    """A getter: the unit."""
    return context


def checked_prefix(prefix: str) -> str:
    """The prefix of a mount.

    Raises:
        DeclarationError: it is not one that a path may begin with.
    """
    if not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix or prefix.startswith("/_proa"):
        raise DeclarationError(f"mount {prefix!r}: a prefix is such as /legacy, and not /_proa, which is Proa's own")
    return prefix


def check_of(mount: Mount, path: str) -> HealthCheck:
    """A check that asks the mounted application for `path` under its prefix: it must answer with a 2xx."""

    async def answers() -> bool:
        answer = await mount(Request("GET", mount.prefix + path, "", {"host": "localhost"}, b""))
        return 200 <= answer.status < 300

    return HealthCheck(f"mount {mount.prefix}", answers)


class Lifespan:
    """The start and the end of a mounted application (ASGI's lifespan); one that knows none is taken as it is."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._told: asyncio.Queue[str] = asyncio.Queue()
        self._replied = asyncio.Event()
        self._failed = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Have the application start.

        Raises:
            DeclarationError: it says that it cannot.
        """
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._say("startup")
        if self._failed:
            raise DeclarationError(f"mount {self._mount.prefix}: the application failed to start: {self._failed}")

    async def stop(self) -> None:
        """Have it end what it began."""
        if self._task and not self._task.done():
            await self._say("shutdown")
            await asyncio.wait([self._task], timeout=1.0)
            self._task.cancel()

    async def _say(self, what: str) -> None:
        assert self._task
        self._replied.clear()
        self._told.put_nowait(f"lifespan.{what}")
        replied = asyncio.ensure_future(self._replied.wait())
        await asyncio.wait([replied, self._task], return_when=asyncio.FIRST_COMPLETED)
        replied.cancel()

    async def _run(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._mount.app(scope, self._receive, self._reply)
        except Exception as error:  # noqa: BLE001 - an application without a lifespan raises whatever it likes
            if self._failed:
                self._failed += f" ({error})"

    async def _receive(self) -> Message:
        return {"type": await self._told.get()}

    async def _reply(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._failed = message.get("message") or "it gave no reason"
        self._replied.set()
