"""A region's HTTP port: uvicorn inside our own process, stopping when we say so."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

import uvicorn

from proa.declare.front import Front
from proa.errors import PortTaken
from proa.local.protocol import SWEEP_SHARE, GuardedProtocol
from proa.runtime.config import Address
from proa.runtime.gateway import Asgi

BACKLOG = 2048
DRAIN_S = 3


class _Server(uvicorn.Server):
    """Leaves signals to the process, and waits to be told to stop, where uvicorn's own looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def http_server(app: Asgi, address: Address, front: Front | None = None) -> AsyncGenerator[None]:
    """Serve `app` while the block runs; at its end finish what was begun. `front` bounds what heads may take.

    Raises:
        PortTaken: somebody listens there.
    """
    listener = _listener(address)
    front = front or Front()
    protocol: Any = partial(GuardedProtocol, front=front)
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] - our ASGI types are plainer than uvicorn's
        http=protocol,
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(_sweep(server, front.head_timeout_s))
    try:
        yield
    finally:
        sweeping.cancel()
        server.stop()
        await serving


async def _sweep(server: uvicorn.Server, head_timeout_s: float) -> None:
    """End connections whose heads do not come."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(head_timeout_s * SWEEP_SHARE)
        connections: list[Any] = list(server.server_state.connections)
        for connection in connections:
            connection.cut_if_slow(loop.time() - head_timeout_s)


def _listener(address: Address) -> socket.socket:
    try:
        listener = socket.create_server((address.host, address.port), backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol; without it the body of an answer
    # waits until its head is acknowledged, 40 ms for most clients.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
