"""The machines of a world: hosts, their processes, the network between them, and an account of what happened.

Nodes are put together by `proa.nodes`, exactly as processes are. A process that is killed leaves its steps where they
stand; one that ends by itself is started again, as by a supervisor.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from proa.app import App
from proa.core.route import RoutePolicy
from proa.core.situation import Rules
from proa.errors import ProaError, UsageError
from proa.nodes import edge, region, witness
from proa.runtime.composition.foundation import STORE_FILE
from proa.runtime.events import JournalCompacted, SnapshotMerged
from proa.runtime.region import Region
from proa.simulation import archive
from proa.simulation.archive import Archive
from proa.simulation.case import Moment
from proa.simulation.dependencies import SimDependencies, SimDependency
from proa.simulation.disk import Disk
from proa.simulation.history import Violation
from proa.simulation.host import Host, Outside, Serve
from proa.simulation.http import Http
from proa.simulation.loop import Killed, SimLoop
from proa.simulation.network import Lane, Network
from proa.simulation.outside import SimOutside, SimSecrets
from proa.simulation.process import Life, Trap
from proa.simulation.router import EdgeRouter
from proa.simulation.site import SimSite

WITNESS = "witness"
EDGE = "edge"
CLIENT = "client"
OPERATOR = "operator"
OUTSIDE = "outside"
"""Where all other systems are; `partition("eu-west-1", "outside")` keeps a region from its identity provider."""
NEAR_S = 0.002
"""One way between a client and the edge, and between the edge and a region."""
RESTART_S = 0.5
ARCHIVED_S = 600.0
"""Where journals are kept for less than this, a world keeps what they drop."""


class Machines:
    """Everything that runs, and what it left behind. `power_on` first."""

    loop: SimLoop
    network: Network
    http: Http
    nodes: dict[str, Host]
    router: EdgeRouter

    def __init__(
        self, app: App, seed: int, rules: Rules, policy: RoutePolicy, *, rtt_ms: float, timeline: bool
    ) -> None:
        self.app = app
        self.seed = seed
        self.rules = rules
        self.policy = policy
        self.faults_fired: Counter[str] = Counter()
        self.in_flight = 0
        self.timeline: list[Moment] | None = [] if timeline else None
        self.violations: list[Violation] = []
        self.failure: BaseException | None = None
        self.lost_at: dict[str, float] = {}
        """The origins whose disk is gone, and since when their commits could reach nobody."""
        self.archive: Archive = {}
        """What disks that are gone had dropped from their journals."""
        self.documents: dict[str, bytes] = {}
        """What other systems answer, by address."""
        self.rotten = False
        """Whether rows were spoilt on a disk."""
        self.stale = False
        """Whether the edge's agent takes no new assignment."""
        self.story_began_s = 0.0
        self._dependencies = {
            name: SimDependency(self.stream(f"dependency {name}"), self.fired) for name in app.dependencies
        }
        self._rtt_s = rtt_ms / 1000
        self._began_s = 0.0
        self._trace: list[float | str | int] = []  # flat: a world is full of arrivals, and the collector walks tuples
        self._ended: list[Life] = []
        self._left: list[asyncio.Task[Any]] = []

    @property
    def now(self) -> float:
        """Seconds since the world began, in true time."""
        return self.loop.now_s - self._began_s

    def stream(self, purpose: str) -> Random:
        """The seed's random stream for one purpose."""
        return stream(self.seed, purpose)

    def region(self, name: str) -> Region | None:
        """The runtime of a region that serves; None while it does not."""
        life = self.nodes[name].life
        return life.running.region if life is not None and life.running else None

    # On and off.

    def power_on(self) -> None:
        """Build everything and start every node.

        Raises:
            UsageError: this is no loop of virtual time.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimLoop):
            raise UsageError("a World runs in virtual time: decorate the test with `simulated`")
        self.loop = loop
        self._began_s = loop.now_s
        self._folder = Path(tempfile.mkdtemp(prefix="proa-world-", dir=_quick_folder()))
        self.network = Network(loop, self.stream("network"), self.fired, self._trace.extend)
        self.http = Http(self.network, lambda: self.now)
        self.nodes = {name: self._host(name, serve, store) for name, serve, store in self._plan_of_nodes()}
        self.network.hosts = {**self.nodes, **{name: Outside(name) for name in (CLIENT, OPERATOR, OUTSIDE)}}
        self._lay_distances()
        for name in self.nodes:
            self.start(name)

    def power_off(self) -> None:
        """End every process; nothing of it is left, in memory or on disk."""
        for host in self.nodes.values():
            if host.life:
                host.life.kill()
                self._ended.append(host.life)
                host.life = None
        self._left += [task for task in asyncio.all_tasks(self.loop) if (life := _owner(task)) and life.dead]
        for task in self._left:
            if (life := _owner(task)) is not None:
                with suppress(BaseException):  # whatever its code does about that, it does as who is dead
                    life.run(task.get_coro().close)  # pyright: ignore[reportOptionalMemberAccess]
        for life in self._ended:
            for steps in life.unfinished:
                with suppress(BaseException):
                    steps.close()
            if life.running:
                life.running.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _plan_of_nodes(self) -> Iterator[tuple[str, Serve, str | None]]:
        yield WITNESS, witness.serve, witness.STORE
        for name in self.app.regions:
            yield name, region.serve, STORE_FILE
        yield EDGE, self._serve_edge, None

    def _host(self, name: str, serve: Serve, store: str | None) -> Host:
        disk = Disk(self._folder / name, self.stream(f"disk {name}"), self.loop, self.fired, store)
        disk.on_crash = lambda: self._die(name)
        return Host(name, disk, serve, self.stream(f"throttle {name}"), self.fired)

    def _serve_edge(self, site: SimSite) -> Any:
        self.router = EdgeRouter(
            site, self.policy, self.stream("edge"), takes_news=lambda: not self.stale, fired=self.fired
        )
        site.serve_requests(self.router)
        return edge.serve(site, self.router, self.router.on_applied)

    def _lay_distances(self) -> None:
        for way in permutations([*self.nodes, CLIENT, OPERATOR, OUTSIDE], 2):
            near = bool({CLIENT, OPERATOR, OUTSIDE, EDGE} & set(way))
            self.network.lanes[way] = Lane(way, NEAR_S if near else self._rtt_s / 2)

    # Processes.

    def start(self, name: str) -> None:
        """Start the node's process, if it has none."""
        host = self.nodes[name]
        host.wanted = True
        if host.life is None:
            host.boot(self.loop, self.stream(f"{name} {host.boots}"), self._sprung, self._site_of, self._exited)

    def kill(self, name: str) -> None:
        """End the node's process at once; it stays down until `start` or `heal`."""
        host = self.nodes[name]
        host.wanted = False
        life = host.life
        if life is not None:
            self._bury(host, life)

    def _bury(self, host: Host, life: Life) -> None:
        self._left += [task for task in asyncio.all_tasks(self.loop) if _owner(task) is life]
        self._ended.append(life)
        self._origin(host)
        life.kill()
        host.life = None
        if not any(way[0] == host.name for way in self.network.cut):
            self.http.reset(life)
        host.disk.crashed()

    def _die(self, name: str) -> None:
        """The process ends from within its own code."""
        self.note(name, "died in the middle of a step")
        self.kill(name)
        self._revive(self.nodes[name])
        raise Killed

    def _sprung(self, life: Life, trap: Trap, amount: float) -> None:
        self.fired(f"{trap} at a port call")
        self.note(life.name, f"{trap} at a port call")
        match trap:
            case "pause":
                life.stall(amount)
            case "jump":
                self.jump(life.name, amount)
            case "kill":
                self._die(life.name)

    def _exited(self, host: Host, life: Life, error: BaseException | None) -> None:
        """A process ended by itself: its supervisor starts it again."""
        if host.life is not life:
            return
        if error is not None and not isinstance(error, (ProaError, Killed)):
            self.violations.append(Violation("no process fails", f"{host.name} ended with {error!r}"))
            self.failure = error
        self.note(host.name, f"ended: {error}")
        self._bury(host, life)
        self._revive(host)

    def _revive(self, host: Host) -> None:
        host.wanted = True
        self.loop.after(RESTART_S, lambda: self.start(host.name) if host.wanted else None)

    def _site_of(self, host: Host, life: Life) -> SimSite:
        reach = SimDependencies(life, self._dependencies)
        site = SimSite(self.app, self.rules, life, host.disk, self.network, self.http, reach)
        site.outside = SimOutside(life, self.network, OUTSIDE, self.documents)
        site.secrets = SimSecrets(site.outside)
        if host.name in self.app.regions and self.app.journal_retention_s < ARCHIVED_S:
            archive.prepare(host.disk.path / STORE_FILE)
            site.hub.subscribe(self._compaction)
        if self.timeline is not None:
            site.hub.subscribe(lambda event: self._event(host.name, event))
        return site

    def _origin(self, host: Host) -> str | None:
        """The origin that a region writes under, or wrote under when it last ran."""
        life = host.life
        if life is not None and life.running and life.running.region:
            host.origin = life.running.region.origin
        return host.origin

    def jump(self, name: str, seconds: float) -> None:
        """Set the node's wall clock forward or back."""
        self.nodes[name].clock.offset_s += seconds

    # Account.

    @property
    def trace_hash(self) -> str:
        """A digest of every message that arrived, in order."""
        return hashlib.blake2b(msgspec.msgpack.encode(self._trace), digest_size=16).hexdigest()

    def fired(self, kind: str) -> None:
        """A fault had its effect; it counts where requests were under way."""
        if self.in_flight:
            self.faults_fired[kind] += 1

    def begin_story(self) -> None:
        """From here on the timeline counts; how the system came up is left out of it."""
        self.story_began_s = self.now
        if self.timeline is not None:
            self.timeline.clear()

    def note(self, who: str, what: str) -> None:
        """A line for the timeline."""
        if self.timeline is not None:
            self.timeline.append(Moment(round(self.now - self.story_began_s, 3), who, what))

    def _compaction(self, event: msgspec.Struct) -> None:
        """For the coverage of a batch of runs: that journals were compacted, and snapshots taken."""
        if isinstance(event, JournalCompacted):
            self.fired("journal compacted")
        elif isinstance(event, SnapshotMerged):
            self.fired("joined by a snapshot")

    def _event(self, who: str, event: msgspec.Struct) -> None:
        if getattr(event, "severity", "info") != "debug":
            said = ", ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(event).items())
            self.note(who, f"{type(event).__name__}: {said}")


def stream(seed: int, purpose: str) -> Random:
    """A seed's random stream for one purpose."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - to be repeated, never a secret


def _owner(task: asyncio.Task[Any]) -> Any:
    return getattr(task, "owner", None)


def _quick_folder() -> str | None:
    """Memory, where the system offers it: the files of a world are gone at its end anyhow."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it
