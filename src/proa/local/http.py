"""A region's HTTP port: uvicorn inside our own process, stopping when we say so."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

import uvicorn

from proa.errors import PortTaken
from proa.runtime.config import Address
from proa.runtime.gateway import Asgi

BACKLOG = 2048
DRAIN_S = 3


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def http_server(app: Asgi, address: Address) -> AsyncGenerator[None]:
    """Serve `app` while the block runs; at its end finish what was begun.

    Raises:
        PortTaken: somebody listens there.
    """
    listener = _listener(address)
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] - our ASGI types are plainer than uvicorn's
        http="httptools",
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
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _listener(address: Address) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(f"cannot listen on {address}: {error.strerror}") from error
