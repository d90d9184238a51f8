"""Links: the only way from node to node, over one TCP connection per direction.

A frame is a four-byte big-endian length and a msgpack array. The caller opens with a hello (its name, the cluster's
secret, the protocol version); then calls `[id, method, payload, deadline_s]` and replies `[id, ok, value]` are
multiplexed. Ids carry the connection's own random prefix, so that a reply to a former life is never taken for one's
own. A call that was not sent raises LinkDown; one whose reply did not come raises LinkTimeout: its outcome is unknown.
"""

from __future__ import annotations

import asyncio
import hmac
import struct
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from proa.errors import LinkDown, LinkRefused, LinkTimeout, ProaError, of_code
from proa.ports import Entropy, Method
from proa.runtime.config import Address

PROTOCOL = 1
FRAME_MAX = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 1.0
_LENGTH = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class _Frames(asyncio.Protocol):
    """Cuts the byte stream into frames and hands each to `on_frame`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            size = _LENGTH.unpack_from(self._buffer)[0]
            if size > FRAME_MAX:
                self.abort()
                return
            if len(self._buffer) < 4 + size:
                return
            frame = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            self._receive(frame)

    def _receive(self, frame: bytes) -> None:
        try:
            self.on_frame(_decode(frame))
        except (ValueError, TypeError, IndexError):
            self.abort()

    def on_frame(self, message: Any) -> None:
        raise NotImplementedError

    def send(self, message: Any) -> None:
        if self.transport and not self.transport.is_closing():
            body = _encode(message)
            self.transport.write(_LENGTH.pack(len(body)) + body)

    def abort(self) -> None:
        if self.transport:
            self.transport.abort()


class _Caller(_Frames):
    """The calling end of one connection."""

    def __init__(self, node: str, hello: list[Any], prefix: str) -> None:
        super().__init__()
        self._node = node
        self._hello = hello
        self._prefix = prefix
        self._count = 0
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(self._hello)

    def on_frame(self, message: Any) -> None:
        call, ok, value = message
        future = self._waiting.pop(call, None)
        if future and not future.done():
            if ok:
                future.set_result(value)
            else:
                future.set_exception(error_of(self._node, value))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkTimeout(f"the connection to {self._node} was lost before the reply"))
        self._waiting.clear()

    async def call(self, method: str, payload: Any, timeout_s: float) -> Any:
        self._count += 1
        call = f"{self._prefix}{self._count}"
        future = self._waiting[call] = asyncio.get_running_loop().create_future()
        self.send([call, method, payload, timeout_s])
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise LinkTimeout(f"{self._node} did not answer {method} within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(call, None)


class TcpLink:
    """`ports.Link` over TCP. `resolve` gives a node's address at the moment of connecting."""

    def __init__(self, name: str, secret: str, resolve: Callable[[str], Address], entropy: Entropy) -> None:
        self._hello = [PROTOCOL, name, secret]
        self._resolve = resolve
        self._entropy = entropy
        self._connections: dict[str, _Caller] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def call(self, node: str, method: str, payload: Any, *, timeout_s: float = 1.0) -> Any:
        connection = self._connections.get(node)
        if connection is None or connection.closed:
            connection = await self._connection(node, timeout_s)
        return await connection.call(method, payload, timeout_s)

    async def _connection(self, node: str, timeout_s: float) -> _Caller:
        async with self._opening.setdefault(node, asyncio.Lock()):
            connection = self._connections.get(node)
            if connection is None or connection.closed:
                connection = self._connections[node] = await self._open(node, min(timeout_s, CONNECT_TIMEOUT_S))
            return connection

    async def _open(self, node: str, timeout_s: float) -> _Caller:
        address = self._resolve(node)
        prefix = self._entropy.token(4) + "-"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Caller(node, self._hello, prefix), address.host, address.port
                )
        except (OSError, TimeoutError) as error:
            raise LinkDown(f"cannot connect to {node} at {address}: {error or 'timed out'}") from error
        return connection

    async def close(self) -> None:
        for connection in self._connections.values():
            connection.abort()


class _Served(_Frames):
    """The answering end of one connection; it answers nothing before a right hello."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__()
        self._server = server
        self._caller: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._server.connections.discard(self)

    def on_frame(self, message: Any) -> None:
        if self._caller is None:
            self._greet(*message)
            return
        call, method, payload, deadline_s = message
        task = asyncio.get_running_loop().create_task(self._answer(call, method, payload, deadline_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _greet(self, protocol: int, name: str, secret: str) -> None:
        if protocol != PROTOCOL or not hmac.compare_digest(secret.encode(), self._server.secret.encode()):
            self.abort()
            return
        self._caller = name

    async def _answer(self, call: str, method: str, payload: Any, deadline_s: float) -> None:
        assert self._caller is not None
        try:
            async with asyncio.timeout(deadline_s):
                value = await self._server.method(method)(self._caller, payload)
            self.send([call, True, value])
        except TimeoutError:
            pass  # the caller has given up: a late reply would only cost
        except ProaError as error:
            self.send([call, False, [error.code, error.detail]])
        except Exception as error:  # noqa: BLE001 - a defect here must not take the connection down
            self.send([call, False, [LinkRefused.code, f"{self._server.name} failed in {method}: {error!r}"]])


class LinkServer:
    """Serves methods to other nodes."""

    def __init__(self, name: str, secret: str, methods: Mapping[str, Method]) -> None:
        self.name = name
        self.secret = secret
        self.methods = dict(methods)
        self.connections: set[_Served] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Served(self), host, port)

    def method(self, name: str) -> Method:
        if name not in self.methods:
            raise LinkRefused(f"{self.name} serves no method {name!r}")
        return self.methods[name]

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()


def error_of(node: str, value: Any) -> ProaError:
    """The error that another node answered with, as (code, detail)."""
    code, detail = value
    return of_code(code, f"{detail} (from {node})", LinkRefused)
