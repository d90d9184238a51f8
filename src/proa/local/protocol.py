"""The region's side of one HTTP connection: uvicorn's, and what it leaves out.

A client that sends its head byte by byte would hold a connection for ever, one that never ends it would fill memory,
and one that goes away would leave its handler working for nobody. The first is answered 408 by a sweep over all
connections, the second 431, and for the third the gateway is told (`ON_GONE`).
"""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from proa.declare.front import Front
from proa.runtime.gateway import ON_GONE, Receive, Scope, Send

SWEEP_SHARE = 0.25
"""How often connections are swept, as a share of the time that a head is given."""
_ENDLESS = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LARGE = [(b"content-length", b"0"), (b"connection", b"close")]


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `head_since` is when the head began that is not yet whole, None while there is none."""

    app: Any  # uvicorn's types of it are not all known

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None, *, front: Front
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_head_bytes = front.max_head_bytes
        self._received = 0
        self.head_since: float | None = self.loop.time()

    def data_received(self, data: bytes) -> None:
        if self.head_since is None:
            super().data_received(data)
            return
        self._received += len(data)
        super().data_received(data)
        if self._received > self._max_head_bytes:
            self._cut_if_begun_before(float("inf"), _ENDLESS)

    def on_message_begin(self) -> None:
        if self.head_since is None:
            self.head_since = self.loop.time()
            self._received = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.head_since = None
        if self._received > self._max_head_bytes and self._head_bytes() > self._max_head_bytes:
            self.app, served = _too_large, self.app
            super().on_headers_complete()
            self.app = served
        else:
            super().on_headers_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def cut_if_slow(self, begun_before: float) -> None:
        """End the connection if it is still sending a head that it began before this time."""
        self._cut_if_begun_before(begun_before, _SLOW)

    def _cut_if_begun_before(self, time: float, last_words: bytes) -> None:
        if self.head_since is not None and self.head_since < time and not self.transport.is_closing():
            self.transport.write(last_words)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        cycle = self.cycle
        waited_for = bool(cycle) and not cycle.response_complete
        super().connection_lost(exc)
        if waited_for and (tell := cycle.scope.get(ON_GONE)):
            tell()  # pyright: ignore[reportGeneralTypeIssues] - the gateway's, see `ON_GONE`


async def _too_large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 431, "headers": _LARGE})
    await send({"type": "http.response.body"})
