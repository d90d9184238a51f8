"""The world: a whole multi-region system in one process and in virtual time, with everything that can go wrong.

Regions, witness and edge are put together by `proa.nodes`, exactly as processes are; the world gives them clocks,
entropy, links, disks and front doors, and breaks those. All randomness comes from named streams of one seed, so that a
run repeats itself, and leaving one fault out changes no other.

    @simulated
    async def test_an_order_survives_the_loss_of_its_region():
        async with World(app, seed=7) as world:
            await world["eu-west-1"].post("/orders", {"sku": "a"}, key="k-1")
            await world.settle()
            world.lose("eu-west-1")
            assert (await world.edge.get("/orders/1")).status == 200
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import permutations, product
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from proa.app import App
from proa.chaos.workload import Request as ClientRequest
from proa.control.desk import Asked, Desk, Word
from proa.control.ends import swear_ended
from proa.control.operators import Operator
from proa.core.plan import Plan
from proa.core.roles import Assignment, NodeKind
from proa.core.route import Endpoint, RoutePolicy
from proa.core.situation import Rules
from proa.declare.http import Request
from proa.edge.routes import Routing
from proa.errors import NotFound, ProaError, UsageError
from proa.nodes import edge, region, witness
from proa.nodes.plane import rules_for
from proa.nodes.site import shared_parts
from proa.observe.hub import Hub
from proa.runtime.global_client import GlobalClient
from proa.runtime.region import Region
from proa.simulation.case import Moment
from proa.simulation.client import Reply
from proa.simulation.disk import Disk, When
from proa.simulation.edge import EdgeModel
from proa.simulation.escapes import guarded
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.host import Host, Serve
from proa.simulation.http import Http
from proa.simulation.loop import Killed, SimLoop, run
from proa.simulation.network import Network, SimLink
from proa.simulation.process import Life, Trap
from proa.simulation.site import SimSite
from proa.simulation.state import final_of

T = TypeVar("T")
WITNESS = "witness"
EDGE = "edge"
CLIENT = "client"
OPERATOR = "operator"
NEAR_S = 0.002
"""One way between a client and the edge, and between the edge and a region."""
RESTART_S = 0.5
START_WITHIN_S = 30.0
LOOK_S = 0.1
REQUEST_TIMEOUT_S = 10.0
Invariant = Callable[["World"], Any]
_packed = struct.Struct("<d").pack


def simulated(test: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """Make a plain function of an `async` test that uses a `World`."""

    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> T:
        return run(test(*args, **kwargs))

    return plain


class Door:
    """Where a client sends requests: the edge, or a region's own address."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Reply:
        """One request; `body` is bytes or anything encodable as JSON.

        Raises:
            TimeoutError: nothing came in time; it may have happened.
            ConnectionRefusedError: nobody listens there; it did not happen.
            ConnectionResetError: the region died before it answered; it may have happened.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        asked = ClientRequest(method, path, data, key, tuple((headers or {}).items()))
        async with asyncio.timeout(timeout_s):
            return await self._world.send(self.name, asked)

    get = functools.partialmethod(request, "GET")
    post = functools.partialmethod(request, "POST")
    put = functools.partialmethod(request, "PUT")
    patch = functools.partialmethod(request, "PATCH")
    delete = functools.partialmethod(request, "DELETE")


class World:
    """One simulated system; use it as `async with World(app, seed=7) as world:` under `simulated`."""

    def __init__(
        self,
        app: App,
        seed: int = 0,
        *,
        lease_s: float | None = None,
        failover: Literal["approval", "automatic"] | None = None,
        hold_down_s: float | None = None,
        rtt_ms: float = 60.0,
        probe_every_s: float | None = None,
        timeline: bool = False,
    ) -> None:
        self.app = app
        self.seed = seed
        self.rules = rules_for(app, WITNESS, EDGE, lease_s=lease_s, failover=failover, hold_down_s=hold_down_s)
        self.policy = RoutePolicy()
        if probe_every_s is not None:
            health = msgspec.structs.replace(self.rules.health, interval_s=probe_every_s)
            self.rules = msgspec.structs.replace(self.rules, health=health)
            self.policy = RoutePolicy(probe_every_s=probe_every_s)
        self.history: list[Operation] = []
        self.faults_fired: Counter[str] = Counter()
        self.in_flight = 0
        self.timeline: list[Moment] | None = [] if timeline else None
        self.violations: list[Violation] = []
        self.lost_at: dict[str, float] = {}
        self.failure: BaseException | None = None
        self.stale = False
        self._rtt_s = rtt_ms / 1000
        self._always: list[Invariant] = []
        self._finally: list[Invariant] = []
        self._trace = hashlib.blake2b(digest_size=16)
        self._ended: list[Life] = []
        self._left: list[asyncio.Task[Any]] = []
        self._stack = ExitStack()

    # Life.

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimLoop):
            raise UsageError("a World runs in virtual time: decorate the test with `simulated`")
        self.loop = loop
        self._began_s = loop.now_s
        self._guard = self._stack.enter_context(guarded(self._inside, self._author_rng, self.app))
        self._folder = Path(tempfile.mkdtemp(prefix="proa-world-", dir=_quick_folder()))
        self.network = Network(loop, self.stream("network"), self.fired, self._traced)
        self.http = Http(self.network, lambda: self.now)
        self.nodes = {name: self._host(name, kind, serve) for name, kind, serve in self._plan_of_nodes()}
        self.network.hosts = {**self.nodes, CLIENT: _Outside(CLIENT), OPERATOR: _Outside(OPERATOR)}
        self._lay_distances()
        self._begin_operator()
        for name in self.nodes:
            self.start(name)
        await self._gone(self._not_up, START_WITHIN_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._finally:
                await self.settle()
                self._judge(self._finally)
        finally:
            self._end()
        if kind is None and self._guard:
            raise self._guard[0]

    def _inside(self) -> bool:
        """Whether code of a node is running."""
        return self.loop.current is not None

    def _author_rng(self) -> Random:
        """The stream that an author's own draws come from, in the node that is running."""
        life = self.loop.current
        assert isinstance(life, Life)
        return life.authors

    def _end(self) -> None:
        self._stack.close()
        for name in self.nodes:
            self.kill(name)
        for task in self._left:
            with suppress(BaseException):
                task.get_coro().close()  # pyright: ignore[reportOptionalMemberAccess]
        for life in self._ended:
            for steps in life.unfinished:
                with suppress(BaseException):
                    steps.close()
            if life.running:
                life.running.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _plan_of_nodes(self) -> Iterator[tuple[str, NodeKind, Serve]]:
        yield WITNESS, "witness", witness.serve
        for name in self.app.regions:
            yield name, "region", region.serve
        yield EDGE, "edge", self._serve_edge

    def _host(self, name: str, kind: NodeKind, serve: Serve) -> Host:
        disk = Disk(self._folder / name, self.stream(f"disk {name}"), self.loop, self.fired)
        disk.on_crash = lambda: self._die(name)
        return Host(name, kind, disk, serve, self.stream(f"throttle {name}"), self.fired)

    def _serve_edge(self, site: SimSite) -> Any:
        self.router = _Router(self, site.rules)
        site.serve_requests(self.router)
        return edge.serve(site, self.router, lambda poke: setattr(self.router, "poke", poke))

    def _lay_distances(self) -> None:
        for way in permutations([*self.nodes, CLIENT, OPERATOR], 2):
            near = CLIENT in way or OPERATOR in way or EDGE in way
            self.network.delays[way] = NEAR_S if near else self._rtt_s / 2

    def _begin_operator(self) -> None:
        """A person's own machine: nothing happens to it."""
        host = self.network.hosts[OPERATOR]
        life = host.life = Life(OPERATOR, self.loop, host.clock, self.stream("operator"), _nothing)
        life.methods = {}
        life.link = SimLink(self.network, life)
        parts = shared_parts(GlobalClient(life.link, life, WITNESS), self.rules, _Ends(life))
        self._parts, self.desk = parts, Desk(OPERATOR, parts)
        self._operator = life

    # What the test sees.

    @property
    def now(self) -> float:
        """Seconds since the world began, in true time."""
        return self.loop.now_s - self._began_s

    def stream(self, purpose: str) -> Random:
        """The seed's random stream for one purpose."""
        return Random(f"{self.seed}/{purpose}")  # noqa: S311 - to be repeated, never a secret

    def __getitem__(self, name: str) -> Door:
        if name not in self.nodes:
            raise KeyError(f"there is no node {name!r}; there are {', '.join(self.nodes)}")
        return Door(self, name)

    @property
    def edge(self) -> Door:
        """Where clients enter."""
        return Door(self, EDGE)

    def region(self, name: str) -> Region | None:
        """The runtime of a region that serves; None while it does not."""
        life = self.nodes[name].life
        return life.running.region if life is not None and life.running else None

    def table(self, name: str, table: str) -> dict[str, Any]:
        """The living rows of a table as the region (or, for `strong` tables, the witness) `name` has them."""
        state = self.final()
        return state.strong(table) if name == WITNESS else state.table(name, table)

    @property
    def roles(self) -> dict[str, str]:
        """Each region's role, as the global store has it."""
        assignment = self._situation.assignment
        return dict(assignment.roles) if assignment else {}

    @property
    def plan(self) -> Plan | None:
        """The latest plan."""
        return self._situation.plan

    async def audit(self) -> list[dict[str, Any]]:
        """The audit log."""
        return (await self._as_operator(self.desk.log()))["entries"]

    @property
    def _situation(self) -> Any:
        life = self.nodes[WITNESS].life
        return (life.running.shared if life is not None and life.running else self._parts).view.situation

    @property
    def trace_hash(self) -> str:
        """A digest of every message that arrived, in order."""
        return self._trace.hexdigest()

    def final(self) -> Final:
        """What every store holds on its disk at this moment."""
        return final_of(self.app, {name: host.disk.path for name, host in self.nodes.items()}, self.lost_at)

    # What people do.

    async def approve(self, who: str = "approver", accept_lost: int | None = None) -> Plan:
        """Approve the plan that waits for it."""
        plan = self.plan
        if plan is None:
            raise NotFound("there is no plan")
        by = Operator(who, "approver", "", "")
        return await self._as_operator(self.desk.approve(by, plan.id, Word(accept_lost=accept_lost)))

    async def request(
        self, lost: str = "", target: str = "", who: str = "requester", accept_lost: int | None = None
    ) -> Plan:
        """Ask for a fail-over (active-passive) or an evacuation (active-active)."""
        asked = Asked(lost, target, "asked in a simulation", accept_lost)
        return await self._as_operator(self.desk.request(Operator(who, "operator", "", ""), asked))

    async def failback(self, target: str = "", who: str = "requester") -> Plan:
        """Ask for a region to be given its role back."""
        asked = Asked("", target, "asked in a simulation")
        return await self._as_operator(self.desk.failback(Operator(who, "operator", "", ""), asked))

    async def confirm_end(self, name: str, boot: str) -> None:
        """Swear that this boot of a node is over, as a supervisor that saw its exit does."""
        await self._as_operator(swear_ended(self._parts, name, boot, "supervisor"))

    def _as_operator(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._operator.run(lambda: self._operator.spawn(work))

    # What clients do.

    async def send(self, via: str, request: ClientRequest) -> Reply:
        """Send a client's request to the edge or straight to a region."""
        headers = dict(request.headers)
        if request.body:
            headers.setdefault("content-type", "application/json")
            headers["content-length"] = str(len(request.body))
        if request.key:
            headers["idempotency-key"] = request.key
        path, _, query = request.path.partition("?")
        self.in_flight += 1
        try:
            return await self.http.request(CLIENT, via, Request(request.method, path, query, headers, request.body))
        finally:
            self.in_flight -= 1
            self._judge(self._always)

    # Invariants.

    def always(self, check: Invariant) -> Invariant:
        """Check after every answer and every fault. `check(world)` raises AssertionError or returns what is wrong."""
        self._always.append(check)
        return check

    def finally_(self, check: Invariant) -> Invariant:
        """Check at the end, when the world has settled."""
        self._finally.append(check)
        return check

    def _judge(self, checks: list[Invariant]) -> None:
        for check in checks:
            for problem in check(self) or ():
                raise AssertionError(f"{getattr(check, '__name__', 'invariant')}: {problem}")

    # Waiting.

    async def until(self, came: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait in virtual time until `came()` is true.

        Raises:
            AssertionError: it was not in time.
        """
        await self._gone(lambda: "" if came() else "what was waited for has not come", within_s)

    async def _gone(self, obstacle: Callable[[], str], within_s: float) -> None:
        """Wait until nothing stands in the way; `obstacle` says what does."""
        deadline = self.now + within_s
        while found := obstacle():
            if self.now > deadline:
                raise AssertionError(f"after {within_s:g} s: {found}") from self.failure
            await asyncio.sleep(LOOK_S)

    async def settle(self, within_s: float = 60.0) -> None:
        """Wait until every node runs, no plan is under way, and all regions have each other's commits.

        Raises:
            AssertionError: they never did; it says what was missing.
        """
        await self._gone(self.unsettled, within_s)

    def unsettled(self) -> str:
        """What is not settled yet; empty when everything is."""
        return self._not_up() or self._plan_under_way() or self._behind()

    def _not_up(self) -> str:
        for host in self.nodes.values():
            if host.life is None or host.life.running is None or host.life.halted:
                return f"{host.name} does not serve"
            if (found := host.life.running.region) and not (report := found.health()).ready:
                return f"{host.name} is not ready: {', '.join(report.failing)}"
        sick = [name for name, role in self.roles.items() if role == "active" and not self.router.well(name)]
        return f"the edge takes {sick[0]} for sick" if sick else ""

    def _plan_under_way(self) -> str:
        plan, assignment = self.plan, self._situation.assignment
        if plan and plan.open and plan.step not in ("request", "gate"):
            return f"plan {plan.id} is at {plan.step}"
        for name in self.app.regions:
            if (found := self.region(name)) and found.authority.epoch != assignment.epoch:
                return f"{name} acts in epoch {found.authority.epoch}, not {assignment.epoch}"
        return ""

    def _behind(self) -> str:
        heads = {
            name: {origin: seq for origin, seq in found.cursors().items() if seq}
            for name in self.app.regions
            if (found := self.region(name))
        }
        first = self.app.regions[0]
        other = next((name for name in self.app.regions if heads[name] != heads[first]), None)
        return f"{other} is at {heads[other]} and {first} at {heads[first]}" if other else ""

    # Faults: processes.

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
        site = SimSite(self.app, self.rules, life, host.disk, self.network, self.http)
        if self.timeline is not None:
            site.hub.subscribe(lambda event: self._event(host.name, event))
        return site

    def pause(self, name: str) -> None:
        """Let the node's process stand still, between two of its steps."""
        if (life := self.nodes[name].life) is not None:
            life.pause()

    def resume(self, name: str) -> None:
        """Let it go on."""
        if (life := self.nodes[name].life) is not None and life.halted:
            life.resume()

    def lose(self, name: str) -> None:
        """An outage of the whole region: its process ends and nothing reaches it, silently."""
        self.partition(name, [other for other in self.network.hosts if other != name], kind="region outage")
        self.kill(name)

    def at_port(self, name: str, nth: int, trap: Trap, amount: float = 0.0) -> None:
        """Spring a trap at the node's `nth` port call from now: pause or jump by `amount` seconds, or kill."""
        if (life := self.nodes[name].life) is not None:
            life.set_trap(nth, trap, amount)

    def crash_at_fsync(self, name: str, when: When) -> None:
        """Kill the node before, inside or after its next sync."""
        self.nodes[name].disk.crash = when

    # Faults: network.

    def partition(
        self, a: str | Collection[str], b: str | Collection[str], *, one_way: bool = False, kind: str = "partition"
    ) -> None:
        """Swallow everything from `a` to `b`, and back unless `one_way`."""
        for way in _ways(a, b, one_way=one_way):
            self.network.cut[way] = kind

    def mend(self, a: str | Collection[str], b: str | Collection[str]) -> None:
        """Let everything pass between `a` and `b`."""
        for way in _ways(a, b):
            self.network.cut.pop(way, None)

    def slow(self, a: str | Collection[str], b: str | Collection[str], delay_s: float) -> None:
        """Add about `delay_s` to each message between `a` and `b`; 0 takes it away."""
        for way in _ways(a, b):
            if delay_s:
                self.network.extra[way] = delay_s
            else:
                self.network.extra.pop(way, None)

    def stale_routing(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Let the edge take no new assignment."""
        self.stale = on

    def throttle(self, name: str, share: float) -> None:
        """Let a region refuse this share of requests before their handlers run."""
        self.nodes[name].throttled = share

    # Faults: clocks and disks.

    def drift(self, name: str, rate: float) -> None:
        """Let the node's clocks run faster by `rate` (0.01: one per cent), from now on."""
        host = self.nodes[name]
        host.clock.run_at(1 + rate, self.loop.now_s)
        if host.life is not None:
            self.loop.retime(host.life)

    def jump(self, name: str, seconds: float) -> None:
        """Set the node's wall clock forward or back."""
        self.nodes[name].clock.offset_s += seconds

    def disk(self, name: str) -> Disk:
        """The node's disk."""
        return self.nodes[name].disk

    def give_up(self, name: str) -> None:
        """The region's disk is about to be lost, or put back to an earlier state: what only it holds is lost."""
        if (origin := self._origin(self.nodes[name])) is not None:
            self.lost_at[origin] = self.network.pulled_s.get(name, self._began_s) - self._began_s

    def _origin(self, host: Host) -> str | None:
        """The origin that a region writes under, or wrote under when it last ran."""
        life = host.life
        if life is not None and life.running and life.running.region:
            host.origin = life.running.region.origin
        return host.origin

    def heal(self, name: str | None = None) -> None:
        """Undo everything that was done to a node, or to all; what is down starts again."""
        for healed in [name] if name else list(self.nodes):
            host = self.nodes[healed]
            self.mend(healed, [other for other in self.network.hosts if other != healed])
            self.slow(healed, [other for other in self.network.hosts if other != healed], 0)
            host.disk.slow_s, host.disk.full, host.disk.crash, host.throttled = 0.0, False, None, 0.0
            host.clock.offset_s = 0.0
            self.network.lost_replies.pop(healed, None)
            self.drift(healed, 0.0)
            self.resume(healed)
            self.start(healed)
        if name is None:
            self.network.loss = self.network.duplicate = self.network.reorder = 0.0
            self.stale = False

    # Account.

    def fired(self, kind: str) -> None:
        """A fault had its effect; it counts where requests were under way."""
        if self.in_flight:
            self.faults_fired[kind] += 1

    def note(self, who: str, what: str) -> None:
        """A line for the timeline."""
        if self.timeline is not None:
            self.timeline.append(Moment(round(self.now, 3), who, what))

    def _event(self, who: str, event: msgspec.Struct) -> None:
        if getattr(event, "severity", "info") != "debug":
            said = ", ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(event).items())
            self.note(who, f"{type(event).__name__}: {said}")

    def _traced(self, at_s: float, source: str, target: str, what: str, payload: bytes) -> None:
        self._trace.update(_packed(at_s) + f"{source} {target} {what} ".encode() + payload)


class _Router:
    """The edge's model as the control plane knows an edge."""

    def __init__(self, world: World, rules: Rules) -> None:
        routing = Routing(edge.route_rules(world.app), rules.topology, world.policy)
        endpoints = [Endpoint(name, name, 0) for name in rules.regions]
        self._world = world
        self.poke: Callable[[], None] = lambda: None
        self.model = EdgeModel(
            routing,
            endpoints,
            lambda name, request: world.http.request(EDGE, name, request),
            world.stream("edge"),
            silent=lambda name: not {(EDGE, name), (name, EDGE)}.isdisjoint(world.network.cut),
        )

    def page(self, path: str) -> Reply | None:  # noqa: ARG002 - it serves none of its own
        return None

    async def answer(self, request: Request) -> Reply:
        return await self.model.send(request)

    def well(self, region: str) -> bool:
        """Whether every kind of check finds the region well."""
        return all(cluster.healthy(region) for cluster in self.model.clusters.values())

    @property
    def epoch(self) -> int:
        return self.model.epoch

    @property
    def revision(self) -> int:
        return max(0, self.model.revision)

    async def apply(self, assignment: Assignment) -> bool:
        if self._world.stale:
            self._world.fired("stale routing")
            return False
        if applied := self.model.apply(assignment):
            self.poke()
        return applied


def _nothing(life: Life, trap: Trap, amount: float) -> None:
    """Nothing happens to a person's own machine."""


class _Outside:
    """A host of the world's own people."""

    def __init__(self, name: str) -> None:
        from proa.simulation.process import HostClock

        self.name = name
        self.clock = HostClock()
        self.life: Life | None = None


class _Ends:
    """An operator's ends of the world."""

    def __init__(self, life: Life) -> None:
        self.clock = self.entropy = life
        self.hub = Hub()


def _ways(a: str | Collection[str], b: str | Collection[str], *, one_way: bool = False) -> Iterator[tuple[str, str]]:
    first, second = [a] if isinstance(a, str) else sorted(a), [b] if isinstance(b, str) else sorted(b)
    for x, y in product(first, second):
        if x != y:
            yield x, y
            if not one_way:
                yield y, x


def _owner(task: asyncio.Task[Any]) -> Any:
    return getattr(task, "owner", None)


def _quick_folder() -> str | None:
    """Memory, where the system offers it: the files of a world are gone at its end anyhow."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it
