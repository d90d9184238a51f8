"""A TCP relay between all nodes: the distance between regions, and their blackout.

Every (caller, target) pair has a listener of its own, so that the relay knows whose bytes it carries. In a blackout of
a node its bytes are swallowed: what arrives is thrown away, nothing is refused, closed or reset, and new connections
end in the kernel's backlog, which is what a client of a region without power sees. After the blackout a connection
that lost bytes is dropped, since a stream with a hole cannot continue.

The supervisor starts `python -m proa.chaos.relay` and talks to it over its standard input and output alone: the first
line holds the routes, each later line a command, each answered by a line. Nothing that detects faults shares that pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Literal, cast

import msgspec

from proa.runtime.config import Address

QUEUE_BYTES_MAX = 4 << 20
"""How much one direction may hold on its way before the sender is asked to wait."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Route(msgspec.Struct, frozen=True):
    """One listener: whom it serves, where it leads, and how long a byte takes to get there."""

    caller: str
    target: str
    listen: Address
    to: Address
    delay_s: float = 0.0

    def touches(self, nodes: set[str]) -> bool:
        """Whether one of `nodes` is at either end."""
        return self.caller in nodes or self.target in nodes


class Command(msgspec.Struct, frozen=True):
    """What the supervisor asks. `close` and `open` follow a node's process, as its own kernel would."""

    do: Literal["blackout", "heal", "close", "open"]
    node: str


class End(asyncio.Protocol):
    """One end of a passage: what it receives, its twin sends after the route's delay."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        self.twin: End = self
        self.transport: asyncio.Transport | None = None
        self._queue: deque[tuple[float, Callable[[], None], int]] = deque()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._pass_on(lambda: self.twin.write(data), len(data))
        if self._queued_bytes > QUEUE_BYTES_MAX and self.transport:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._pass_on(self.twin.write_eof, 0)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._pass_on(self.twin.reset if exc else self.twin.close, 0)

    def pause_writing(self) -> None:
        if self.twin.transport:
            self.twin.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.twin.transport:
            self.twin.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self.transport:
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport and self.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def close(self) -> None:
        if self.transport:
            self.transport.close()
        self.passage.ended()

    def reset(self) -> None:
        if self.transport:
            sock: socket.socket = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()
        self.passage.ended()

    def swallow(self) -> bool:
        """Throw away what is on its way; whether there was any."""
        lost = bool(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return lost

    def _pass_on(self, act: Callable[[], None], size: int) -> None:
        if self.passage.dark:
            self.passage.holed = True
        elif self.passage.route.delay_s <= 0:
            act()
        else:
            loop = asyncio.get_running_loop()
            self._queue.append((loop.time() + self.passage.route.delay_s, act, size))
            self._queued_bytes += size
            self._timer = self._timer or loop.call_later(self.passage.route.delay_s, self._deliver)

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._queue and self._queue[0][0] <= loop.time():
            _, act, size = self._queue.popleft()
            self._queued_bytes -= size
            act()
        if self._queue:
            self._timer = loop.call_at(self._queue[0][0], self._deliver)
        if self._queued_bytes <= QUEUE_BYTES_MAX and self.transport:
            self.transport.resume_reading()


class Passage:
    """One relayed connection: two ends, and whether a blackout made a hole in it."""

    def __init__(self, route: Route, ended: Callable[[Passage], None]) -> None:
        self.route = route
        self.dark = False
        self.holed = False
        self.near = End(self)
        self.far = End(self)
        self.near.twin, self.far.twin = self.far, self.near
        self._ended = ended

    async def open(self, client: socket.socket) -> None:
        """Connect to the target, then let bytes flow; a refusal reaches the client as a reset."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.far, self.route.to.host, self.route.to.port)
        except OSError:
            await loop.connect_accepted_socket(lambda: self.near, client)
            self.far.connection_lost(ConnectionRefusedError())
        else:
            await loop.connect_accepted_socket(lambda: self.near, client)

    def darken(self) -> None:
        """Begin a blackout; what is on its way is lost."""
        self.dark = True
        lost = [end.swallow() for end in (self.near, self.far)]
        self.holed = self.holed or any(lost)

    def lighten(self) -> None:
        """End the blackout; a passage with a hole cannot continue."""
        self.dark = False
        if self.holed:
            self.drop()

    def drop(self) -> None:
        """Reset both ends."""
        self.near.reset()
        self.far.reset()

    def ended(self) -> None:
        if self.near.transport is None or self.far.transport is None:
            self._ended(self)


class Door:
    """One route's listening socket: accepting, or only bound (blackout), or closed (the target's process is gone)."""

    def __init__(self, route: Route, admit: Callable[[Route, socket.socket], None]) -> None:
        self.route = route
        self._admit = admit
        self._socket: socket.socket | None = None
        self._accepting = False

    def settle(self, *, bound: bool, accepting: bool) -> None:
        """Get into the wanted state from whichever it is in."""
        loop = asyncio.get_running_loop()
        if self._socket and self._accepting and not accepting:
            loop.remove_reader(self._socket)
        if self._socket and not bound:
            self._socket.close()
            self._socket = None
        if bound and not self._socket:
            self._socket = _listen(self.route.listen)
        if self._socket and accepting and not self._accepting:
            loop.add_reader(self._socket, self._accept)
        self._accepting = accepting

    def _accept(self) -> None:
        assert self._socket
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._socket.accept()
            client.setblocking(False)
            self._admit(self.route, client)


class Relay:
    """All doors and passages, and which nodes are dark or gone."""

    def __init__(self, routes: list[Route]) -> None:
        self._dark: set[str] = set()
        self._gone: set[str] = set()
        self._doors = [Door(route, self._admit) for route in routes]
        self._passages: set[Passage] = set()
        self._opening: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Open every door."""
        self._settle()

    def perform(self, command: Command) -> None:
        """Do what the supervisor asks."""
        match command.do:
            case "blackout":
                self._dark.add(command.node)
            case "heal":
                self._dark.discard(command.node)
            case "close":
                self._gone.add(command.node)
            case "open":
                self._gone.discard(command.node)
        self._settle()

    def stop(self) -> None:
        """Close every door and drop every connection."""
        for door in self._doors:
            door.settle(bound=False, accepting=False)
        for passage in list(self._passages):
            passage.drop()

    def _settle(self) -> None:
        for door in self._doors:
            dark = door.route.touches(self._dark)
            bound = dark or door.route.target not in self._gone
            door.settle(bound=bound, accepting=bound and not dark)
        for passage in list(self._passages):
            dark = passage.route.touches(self._dark)
            if dark and not passage.dark:
                passage.darken()
            elif passage.dark and not dark:
                passage.lighten()

    def _admit(self, route: Route, client: socket.socket) -> None:
        passage = Passage(route, self._passages.discard)
        passage.dark = route.touches(self._dark)
        self._passages.add(passage)
        task = asyncio.get_running_loop().create_task(passage.open(client))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)


def _listen(address: Address) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address.host, address.port))
    listener.listen(512)
    listener.setblocking(False)
    return listener


async def serve(source: asyncio.StreamReader, answer: Callable[[str], None]) -> None:
    """Relay until the supervisor closes its end of the pipe."""
    relay = Relay(msgspec.json.decode(await source.readline(), type=list[Route]))
    relay.start()
    answer("ready")
    while line := await source.readline():
        relay.perform(msgspec.json.decode(line, type=Command))
        answer("done")
    relay.stop()


async def _main() -> None:
    source = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    await serve(source, lambda word: print(word, flush=True))  # noqa: T201 - the answer to the supervisor


if __name__ == "__main__":
    import signal

    import uvloop

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the group; the supervisor decides
    uvloop.run(_main())
