"""A small HTTP/1.1 client that measures: one request on one connection, no retry, no redirect, no pool limit.

A load generator that shares a machine with what it loads must cost little, and must not help: an ordinary client's
retries and connection limits would hide what a fault costs. Connections are kept alive and reused, the one used last
first; a request that finds none free opens its own. A connection that breaks fails the request on it.
"""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec

from proa.chaos.workload import Request


class Answer(msgspec.Struct, frozen=True):
    """What came back. `status` 0 means that no answer came, and `error` says why."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request was answered with success."""
        return 200 <= self.status < 300


class _Connection(asyncio.Protocol):
    """One connection; `answer` is the future of the request in flight."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, data: bytes, answer: asyncio.Future[Answer]) -> None:
        """Write the request; `answer` is resolved when the response is whole or the connection ends."""
        assert self._transport is not None
        self._answer = answer
        self._headers, self._body = {}, []
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(Answer(0, error=f"not HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.forget(self)
        self._finish(Answer(0, error=f"connection lost: {exc}" if exc else "connection closed"))

    # the parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer; the final one follows
            return
        keep = self._parser.should_keep_alive()
        # A parser stops for good after a message on some statuses; a fresh one costs less than the doubt.
        self._parser = httptools.HttpResponseParser(self)
        if keep:
            self._client.release(self)
        else:
            self.close()
        self._finish(Answer(status, self._headers, b"".join(self._body)))

    def _finish(self, answer: Answer) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class HttpClient:
    """Sends requests to one address."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._host = address.hostname
        self._port = address.port or 80
        self._authority = f"{self._host}:{self._port}".encode()
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def send(self, request: Request, timeout_s: float) -> Answer:
        """Send once; an answer, or status 0 with the reason."""
        try:
            async with asyncio.timeout(timeout_s):
                connection = self._idle.pop() if self._idle else await self._connect()
                return await self._exchange(connection, request)
        except TimeoutError:
            return Answer(0, error="timed out")
        except OSError as error:
            return Answer(0, error=f"no connection: {error}")

    async def _exchange(self, connection: _Connection, request: Request) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        connection.send(encode(request, self._authority), answer)
        try:
            return await answer
        except asyncio.CancelledError:
            if not answer.done():  # a connection that answered may carry somebody else's request by now
                connection.close()  # an answer that comes later must not be taken for the next request's
            raise

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self), self._host, self._port
        )
        self._open.add(connection)
        return connection

    def release(self, connection: _Connection) -> None:
        """Take a connection back whose answer is whole."""
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """Drop a connection that ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """End all connections."""
        for connection in tuple(self._open):
            connection.close()


def encode(request: Request, authority: bytes) -> bytes:
    """The request as bytes."""
    head = [f"{request.method} {request.path} HTTP/1.1\r\nhost: ".encode() + authority]
    if request.key:
        head.append(b"idempotency-key: " + request.key.encode())
    if request.body:
        head.append(b"content-type: application/json")
    if request.body or request.method not in {"GET", "HEAD"}:
        head.append(b"content-length: %d" % len(request.body))
    head.extend(f"{name}: {value}".encode() for name, value in request.headers)
    return b"\r\n".join(head) + b"\r\n\r\n" + request.body
