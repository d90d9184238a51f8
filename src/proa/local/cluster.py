"""The supervisor: one whole system of processes on this machine, for `proa dev`, drills, the demo and tests.

It starts a witness, the regions, an edge and (where there is distance, or blackouts are wanted) a relay; it knows their
processes and nothing of what they decide. When it sees a region's process end it says so to the global store, because
a supervisor that saw the exit knows what others would have to wait for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, Unpack, cast

import msgspec

from proa.app import App
from proa.chaos import ledger
from proa.chaos.relay import Command
from proa.chaos.system import Stored
from proa.control import operators
from proa.control.ends import swear_ended
from proa.control.operators import OperatorRole
from proa.control.parts import Parts
from proa.errors import NodeFailed, ProaError
from proa.local.layout import CLIENT, Layout, Options, lay_out
from proa.local.lock import StateLock
from proa.local.plane import declared, ends, rules_of
from proa.local.process import Child, python
from proa.local.stores import in_database
from proa.nodes.site import shared_parts
from proa.ports import GlobalStore
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import Address, ClusterConfig, save
from proa.runtime.global_client import GlobalClient
from proa.runtime.link import TcpLink

if TYPE_CHECKING:
    from proa.engines.postgres.global_store import PostgresGlobalStore

CONFIG = "cluster.json"
SUPERVISOR = "supervisor"
"""The name under which it acts, in the audit log too."""
SCAN_WITHIN_S = 5.0
"""So long a whole table of the global store's database may take."""


class NodeReady(msgspec.Struct, frozen=True):
    """A node's process serves."""

    node: str
    pid: int
    took_s: float


class NodeEnded(msgspec.Struct, frozen=True):
    """A node's process ended; `expected` where the supervisor had asked it to."""

    node: str
    code: int
    expected: bool


class EndConfirmed(msgspec.Struct, frozen=True):
    """The control plane was told that this life of a region is over."""

    node: str
    boot: str


class EndUnconfirmed(msgspec.Struct, frozen=True):
    """The control plane could not be told; it waits for the region's lease."""

    node: str
    detail: str


class Ready(msgspec.Struct):
    """What a node says once it serves."""

    ready: str
    boot: str = ""


Log = Callable[[msgspec.Struct], None]


def _silent(_: msgspec.Struct) -> None:
    """Nobody listens."""


class Cluster:
    """A running system; use it as `async with Cluster(app, state_dir) as cluster`. See `layout.Options`."""

    def __init__(self, app_path: str, state_dir: Path | str, *, log: Log = _silent, **options: Unpack[Options]) -> None:
        self.app_path = str(Path(app_path).resolve()) if Path(app_path).exists() else app_path
        self.state_dir = Path(state_dir).resolve()
        self._log = log
        self._options = options
        self._lock = StateLock(self.state_dir)
        self._app: App | None = None
        self._layout: Layout | None = None
        self._children: dict[str, Child] = {}
        self._relay: Child | None = None
        self._boots: dict[str, str] = {}
        self._expected: set[str] = set()
        self._stopping = False
        self._relay_turn = asyncio.Lock()
        self._afterwards: set[asyncio.Task[None]] = set()
        self._link: TcpLink | None = None
        self._store: PostgresGlobalStore | None = None

    # What there is.

    @property
    def config(self) -> ClusterConfig:
        assert self._layout is not None
        return self._layout.config

    @property
    def app(self) -> App:
        """The app as the supervisor imported it."""
        assert self._app is not None
        return self._app

    @property
    def config_path(self) -> Path:
        return self.state_dir / CONFIG

    @property
    def regions(self) -> tuple[str, ...]:
        return self.config.regions()

    @property
    def witness(self) -> str:
        """The witness's node name."""
        return self.config.node("witness")

    @property
    def edge_url(self) -> str:
        """The clients' door."""
        return _url(self.config.nodes[self.config.node("edge")].http)

    def region_url(self, name: str) -> str:
        """A region's own HTTP address, past the edge; cut off in a blackout like all of its addresses."""
        return _url(self.config.http_address(CLIENT, name))

    def data_dir(self, name: str) -> str:
        """The folder that holds a node's data."""
        return self.config.nodes[name].data_dir

    def pid(self, name: str) -> int:
        """The process of a node."""
        return self._children[name].pid

    def running(self, name: str) -> bool:
        """Whether the node's process exists."""
        return self._children[name].running

    def link(self) -> TcpLink:
        """A link of the supervisor's own to every node, past the relay."""
        self._link = self._link or TcpLink(
            SUPERVISOR, self.config.secret, lambda node: self.config.nodes[node].link, SystemEntropy()
        )
        return self._link

    def global_store(self) -> GlobalStore:
        """The global store, over that link or in the database that is configured."""
        return self._database() or GlobalClient(self.link(), SystemClock(), self.witness)

    def _database(self) -> PostgresGlobalStore | None:
        if self.config.global_store and self._store is None:
            self._store = in_database(self.config.global_store, timeout_s=SCAN_WITHIN_S)
        return self._store

    async def stored(self, tables: Collection[str]) -> Stored:
        """The rows of tables of the global store, as the witness's disk or the database has them."""
        store = self._database()
        if store is None:
            return await asyncio.to_thread(ledger.stored, self.data_dir(self.witness), tables)
        scanned = {table: await store.scan(table) for table in tables}
        return {
            table: [(row.key, row.value) for row in rows if row.value is not None] for table, rows in scanned.items()
        }

    async def operator(self, name: str, role: str) -> str:
        """Add an operator of one of `operators.ROLE_NAMES`, or be refused; the token."""
        return await operators.add(self.global_store(), name, cast(OperatorRole, role), SystemEntropy(), SUPERVISOR)

    def _parts(self) -> Parts:
        """The control plane as the supervisor sees it, read anew."""
        return shared_parts(self.global_store(), rules_of(self.app, self.config), ends())

    # Start and stop.

    async def __aenter__(self) -> Self:
        self._lock.acquire()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        self._app = declared(self.app_path)
        self._layout = lay_out(self.app_path, self._app.regions, self.state_dir, self._options)
        save(self.config, self.config_path)
        if database := self._database():
            await database.prepared()  # whoever starts a system is told why it cannot be reached, if it cannot
        if self._layout.routes:
            await self._start_relay(self._layout)
        await self._spawn_all()

    async def stop(self) -> None:
        """End every process: the clients' door first, the global store last."""
        self._stopping = True
        self._expected.update(self._children)
        for names in (("edge",), self._region_names(), ("witness",)):
            await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))
        for task in self._afterwards:
            task.cancel()
        if self._link:
            await self._link.close()
        if self._store:
            await self._store.close()
        if self._relay:
            await self._relay.stop()
        self._lock.release()

    async def _spawn_all(self) -> None:
        """Start all nodes together; the first failure is raised as it is and ends the others' start."""
        starts = [asyncio.create_task(self._spawn(name)) for name in self.config.nodes]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    def _region_names(self) -> tuple[str, ...]:
        return self._layout.config.regions() if self._layout else ()

    async def _spawn(self, name: str) -> None:
        began = time.monotonic()
        argv = python("proa.local.node", name, "--config", str(self.config_path), "--parent", str(os.getpid()))
        child = Child(name, argv, self.state_dir / "logs" / f"{name}.log", self._on_end)
        self._children[name] = child
        self._boots.pop(name, None)
        self._expected.discard(name)
        await child.start()
        self._boots[name] = _ready(name, await child.heard()).boot
        self._log(NodeReady(name, child.pid, time.monotonic() - began))

    async def _start_relay(self, layout: Layout) -> None:
        log = self.state_dir / "logs" / "relay.log"
        self._relay = Child("relay", python("proa.chaos.relay"), log, lambda _: None)
        await self._relay.start()
        await self._relay.say(msgspec.json.encode(layout.routes))
        await self._relay.heard()

    # Faults and repairs.

    async def kill(self, name: str) -> None:
        """End a node at once (SIGKILL)."""
        self._expected.add(name)
        await self._children[name].kill()

    async def pause(self, name: str) -> None:
        """Stop a node's process without ending it (SIGSTOP)."""
        self._children[name].signal(signal.SIGSTOP)

    async def resume(self, name: str) -> None:
        """Let a paused node go on (SIGCONT)."""
        self._children[name].signal(signal.SIGCONT)

    async def restart(self, name: str) -> None:
        """Stop a node cleanly if it runs, and start it on what is on its disk; returns when it is ready."""
        self._expected.add(name)
        await self._children[name].stop()
        await self._relay_do("open", name)
        await self._spawn(name)

    async def blackout(self, name: str) -> None:
        """Swallow all bytes to and from a node, silently."""
        await self._relay_do("blackout", name, needed=True)

    async def heal(self, name: str) -> None:
        """End a node's blackout."""
        await self._relay_do("heal", name, needed=True)

    async def _relay_do(
        self, do: Literal["blackout", "heal", "close", "open"], node: str, *, needed: bool = False
    ) -> None:
        if self._relay and self._relay.running:
            async with self._relay_turn:
                await self._relay.say(msgspec.json.encode(Command(do, node)))
                await self._relay.heard()
        elif needed:
            raise NodeFailed("there is no relay; start the system with relay=True for blackouts")

    # The end of a process.

    def _on_end(self, child: Child) -> None:
        self._log(NodeEnded(child.name, child.returncode or 0, child.name in self._expected))
        if not self._stopping:
            task = asyncio.get_running_loop().create_task(self._after_end(child.name, self._boots.get(child.name)))
            self._afterwards.add(task)
            task.add_done_callback(self._afterwards.discard)

    async def _after_end(self, name: str, boot: str | None) -> None:
        await self._relay_do("close", name)
        if not (boot and name in self.regions and self.config.confirm_ends):
            return
        try:
            await swear_ended(self._parts(), name, boot, SUPERVISOR)
            self._log(EndConfirmed(name, boot))
        except ProaError as error:
            self._log(EndUnconfirmed(name, str(error)))


def _ready(name: str, line: bytes) -> Ready:
    try:
        return msgspec.json.decode(line, type=Ready)
    except msgspec.DecodeError as error:
        raise NodeFailed(f"{name} said {line[:200]!r} where it should have said that it is ready") from error


def _url(address: Address | None) -> str:
    assert address is not None
    return f"http://{address}"
