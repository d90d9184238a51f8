"""Record what the real Envoy does: plays every script (or those named) against it and writes the traces.

    PYTHONPATH=tests python tests/simulation/edge/record.py [NAME ...]

Regions are stand-ins in this process, each behind a socket of its own; times are real, so let nothing else run.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
from typing import Self

import aiohttp
import msgspec
from edge_scripts import SCRIPTS
from edge_trace import KINDS, NUMBER, RULES, TRACES, Moment, Player, Script, Seen, Stand, State, Trace, is_check
from yarl import URL

from proa.core.roles import Assignment
from proa.core.route import Endpoint
from proa.edge.agent import EdgeAgent
from proa.edge.envoy import Bootstrap
from proa.edge.process import find_envoy
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock
from proa.runtime.config import Address
from support.ports import free_port

REGION = "proa-region"


class Site:
    """A stand's socket: listening, or closed, or so full that new connections hang."""

    def __init__(self, stand: Stand, tried: dict[str, list[str]]) -> None:
        self.stand = stand
        self.port = free_port()
        self._tried = tried
        self._listening: list[socket.socket] = []
        self._accepting: asyncio.Task | None = None
        self._connections: set[asyncio.Task] = set()

    def settle(self) -> None:
        """Listen as the stand's state says."""
        loop = asyncio.get_running_loop()
        link = self.stand.state.link
        if link in ("gone", "dark") or not self._accepting:
            self._close()
            if link == "dark":
                self._fill()
            elif link != "gone":
                self._listening = [self._bound(512)]
                self._accepting = loop.create_task(self._accept(self._listening[0]))

    def _close(self) -> None:
        if self._accepting:
            self._accepting.cancel()
            self._accepting = None
        for each in self._listening:
            each.close()
        self._listening = []

    def _bound(self, backlog: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    def _fill(self) -> None:
        """The kernel drops what asks for a connection once the backlog is full."""
        self._listening = [self._bound(0)]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._listening.append(filler)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=client)
            task = loop.create_task(self._serve(reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        lost = asyncio.ensure_future(self._lost())
        try:
            while True:
                await asyncio.wait({reading, lost}, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    break
                writer.write(await self._answer(await reading))
                reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            reading.cancel()
            lost.cancel()
            writer.transport.abort()

    async def _lost(self) -> None:
        """Wait until the region loses its idle connections."""
        life = self.stand.life
        while life == self.stand.life:
            await self.stand.change()

    async def _answer(self, head: bytes) -> bytes:
        first, *rest = head.decode("latin1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest if line)}
        if not is_check(path):
            self._tried[headers[NUMBER]].append(self.stand.name)
        status, own = (await self.stand.answer(check=is_check(path))).reply(path)
        return _bytes(status, {REGION: self.stand.name, "content-length": "2", **own}, "" if method == "HEAD" else "{}")


def _bytes(status: int, headers: dict[str, str], body: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} x\r\n{lines}\r\n{body}".encode()


class Recording(Player):
    """Envoy before the script's stands."""

    def __init__(self, script: Script, folder: str) -> None:
        super().__init__(script)
        self.sites = {name: Site(stand, self.tried) for name, stand in self.stands.items()}
        self._listen = Address("127.0.0.1", free_port())
        self.agent = self._agent(folder)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._turning: list[asyncio.Task] = []

    def _agent(self, folder: str) -> EdgeAgent:
        script, admin = self.script, Address("127.0.0.1", free_port())
        spec = Bootstrap(self._listen, admin, folder, script.topology, len(self.sites), RULES, script.policy)
        endpoints = [Endpoint(name, "127.0.0.1", site.port) for name, site in self.sites.items()]
        return EdgeAgent(spec, endpoints, clock=SystemClock(), telemetry=Hub())

    def become(self, moment: Moment) -> None:
        super().become(moment)
        self.sites[moment.region].settle()

    def turn(self, assignment: Assignment) -> None:
        self._turning.append(asyncio.ensure_future(self.agent.apply(assignment)))

    async def send(self, kind: str, number: str) -> tuple[int, str]:
        method, path, headers = KINDS[kind]
        url = URL(f"http://{self._listen}{path}", encoded=True)
        async with self._session.request(method, url, headers={**headers, NUMBER: number}) as reply:
            await reply.read()
            return reply.status, reply.headers.get(REGION, "")

    async def __aenter__(self) -> Self:
        for site in self.sites.values():
            site.settle()
        await self.agent.start()
        await self.agent.apply(self.script.assignment)
        while not all(region.healthy for region in (await self.agent.stats()).regions.values()):
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self.agent.stop()
        for name in self.sites:
            self.become(Moment(0, name, State("gone")))
        await asyncio.sleep(0.01)


async def record(script: Script, folder: str) -> tuple[Seen, ...]:
    """What Envoy makes of a script."""
    async with Recording(script, folder) as recording:
        return await recording.play()


def save(trace: Trace) -> None:
    """Write a trace; one with few requests as people read it."""
    plain = msgspec.json.encode(trace)
    file = TRACES / f"{trace.script.name.replace(',', '').replace(' ', '-')}.json"
    file.write_bytes((plain if trace.script.drawn else msgspec.json.format(plain, indent=1)) + b"\n")


def main(names: list[str]) -> None:
    """Record the scripts of these names; all if there are none."""
    told = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, check=True).stdout
    version = told.split()[-1].split("/")[1]
    for script in SCRIPTS:
        if not names or script.name in names:
            with tempfile.TemporaryDirectory() as folder:
                save(Trace(version, script, asyncio.run(record(script, folder))))
            print(script.name)  # noqa: T201 - a program that a person waits for


if __name__ == "__main__":
    main(sys.argv[1:])
