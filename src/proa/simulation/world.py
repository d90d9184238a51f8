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
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import combinations, product
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from proa.app import App
from proa.chaos.workload import Request as ClientRequest
from proa.core.plan import Plan
from proa.core.residency import holders
from proa.core.route import RoutePolicy
from proa.core.situation import Situation
from proa.declare.http import Request
from proa.errors import NotFound, ProaError
from proa.nodes.plane import rules_for
from proa.runtime.region import Region
from proa.runtime.repairer import Compared
from proa.simulation.client import Reply
from proa.simulation.damage import Damage
from proa.simulation.escapes import guarded
from proa.simulation.history import Final, Operation
from proa.simulation.loop import run
from proa.simulation.machines import CLIENT, EDGE, WITNESS
from proa.simulation.operator import Operators
from proa.simulation.process import EPOCH_S, Life
from proa.simulation.state import final_of

if TYPE_CHECKING:
    from proa.runtime.streams import Streams

T = TypeVar("T")
SOON_S = 10.0
"""Messages that are due within this time are handled before a world has settled."""
REPAIRS_MAX = 5
START_WITHIN_S = 30.0
LOOK_S = 0.1
REQUEST_TIMEOUT_S = 10.0
Invariant = Callable[["World"], Any]


def simulated(test: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """Make a plain function of an `async` test that uses a `World`."""

    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> T:
        return run(test(*args, **kwargs))

    return plain


async def _left_if_refused(work: Awaitable[object]) -> None:
    with suppress(ProaError):
        await work


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


class World(Damage):
    """One simulated system; use it as `async with World(app, seed=7) as world:` under `simulated`."""

    def __init__(  # noqa: PLR0913 - the settings of a world, each by name
        self,
        app: App,
        seed: int = 0,
        *,
        lease_s: float | None = None,
        failover: Literal["approval", "automatic"] | None = None,
        hold_down_s: float | None = None,
        rtt_ms: float = 60.0,
        probe_every_s: float | None = None,
        beat_every_s: float | None = None,
        timeline: bool = False,
    ) -> None:
        rules = rules_for(app, WITNESS, EDGE, lease_s=lease_s, failover=failover, hold_down_s=hold_down_s)
        policy = RoutePolicy()
        if probe_every_s is not None:
            # Whoever looks seldom makes up its mind sooner: a region must be found lost well within a lease.
            health = msgspec.structs.replace(
                rules.health, interval_s=probe_every_s, doubt_interval_s=probe_every_s, fail_after=2
            )
            rules = msgspec.structs.replace(rules, health=health)
            policy = RoutePolicy(probe_every_s=probe_every_s, probe_doubted_every_s=probe_every_s)
        if beat_every_s is not None:
            rules = msgspec.structs.replace(rules, beat_max_s=beat_every_s)
        super().__init__(app, seed, rules, policy, rtt_ms=rtt_ms, timeline=timeline)
        self.history: list[Operation] = []
        self.mended = 0
        """Rows that regions found to be different and mended."""
        self._always: list[Invariant] = []
        self._finally: list[Invariant] = []
        self._stack = ExitStack()

    # Life.

    async def __aenter__(self) -> Self:
        self.power_on()
        try:
            self._guard = self._stack.enter_context(guarded(self._inside, self._author_rng, self.app))
            self._operators = Operators(self)
            await self._gone(self._not_begun, START_WITHIN_S)
        except BaseException:
            self._end()
            raise
        return self

    def _end(self) -> None:
        """Nothing is left behind: neither guards nor processes nor files."""
        self._stack.close()
        self.power_off()

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

    # What the test sees.

    def __getitem__(self, name: str) -> Door:
        if name not in self.nodes:
            raise KeyError(f"there is no node {name!r}; there are {', '.join(self.nodes)}")
        return Door(self, name)

    @property
    def edge(self) -> Door:
        """Where clients enter."""
        return Door(self, EDGE)

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
        return (await self._operators.log())["entries"]

    @property
    def _situation(self) -> Situation:
        life = self.nodes[WITNESS].life
        return life.running.shared.view.situation if life is not None and life.running else self._operators.situation

    def final(self) -> Final:
        """What every store holds on its disk at this moment."""
        folders = {name: host.disk.path for name, host in self.nodes.items()}
        final = final_of(self.app, folders, self.lost_at, self.archive)
        return msgspec.structs.replace(final, mended=self.rotten, at=EPOCH_S + self.loop.now_s)

    # What people do.

    async def approve(self, who: str = "approver", accept_lost: int | None = None) -> Plan:
        """Approve the plan that waits for it."""
        if self.plan is None:
            raise NotFound("there is no plan")
        return await self._operators.approve(who, self.plan.id, accept_lost)

    async def request(
        self, lost: str = "", target: str = "", who: str = "requester", accept_lost: int | None = None
    ) -> Plan:
        """Ask for a fail-over (active-passive) or an evacuation (active-active)."""
        return await self._operators.request(who, lost, target, accept_lost)

    async def failback(self, target: str = "", who: str = "requester") -> Plan:
        """Ask for a region to be given its role back."""
        return await self._operators.failback(who, target)

    async def release(self, region: str, who: str = "requester", approver: str = "approver") -> None:
        """Let the region's new life ask members of its in-sync set no more whose disks are gone, whatever that loses.

        Raises:
            PlanRefused: there is nothing to release.
        """
        await self._operators.release(who, approver, region)

    # What clients do.

    async def send(self, via: str, request: ClientRequest) -> Reply:
        """Send a client's request to the edge or straight to a region."""
        headers = {name.lower(): value for name, value in request.headers}
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
        """Check after every answer. `check(world)` raises AssertionError or returns what is wrong."""
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

        Messages that are due by then are handled, too.

        Raises:
            AssertionError: they never did; it says what was missing.
        """
        await self._gone(self.unsettled, within_s)
        for name in self.app.regions:
            if (found := self.region(name)) and found.messages:
                found.messages.look_again()
        await self._gone(self.unsettled, within_s)

    async def repaired(self) -> None:
        """Let regions compare all rows and mend them, until they find nothing any more.

        Raises:
            AssertionError: they find something every time.
        """
        for _ in range(REPAIRS_MAX):
            if not sum([await self._compared(one, other) for one, other in combinations(self.app.regions, 2)]):
                return
        raise AssertionError("rows of regions differ, and are not mended")

    async def _compared(self, one: str, other: str) -> int:
        round_ = self.compare(one, other)
        assert round_ is not None, f"{one} does not serve"
        return len((await round_).found)

    def compare(self, one: str, other: str) -> asyncio.Task[Compared] | None:
        """Let a region compare its rows with another one's, and mend them; None where it does not serve."""
        region, life = self.region(one), self.nodes[one].life
        if region is None or life is None or life.halted:
            return None
        return life.run(lambda: life.spawn(self._round(region, other)))

    def rebuild(self) -> None:
        """Have every stream tell everything anew, in each region that serves."""
        for name in self.app.regions:
            region, life = self.region(name), self.nodes[name].life
            if region and region.streams and life and not life.halted:
                life.run(functools.partial(self._rebuild, life, region.streams))

    def _rebuild(self, life: Life, streams: Streams) -> None:
        for stream in streams.names:
            self.note(life.name, f"stream {stream} is built anew")
            life.spawn(_left_if_refused(streams.rebuild(stream)))

    async def _round(self, region: Region, other: str) -> Compared:
        compared = await region.repairer.round(other)
        for found in compared.found:
            self.note(region.name, f"{found.key} is another one in {other}: {'mended' if found.mended else 'left'}")
        self.mended += sum(found.mended for found in compared.found)
        return compared

    def unsettled(self) -> str:
        """What is not settled yet; empty when everything is."""
        return self._not_up() or self._plan_under_way() or self._behind() or self._incomplete() or self._open()

    def _not_up(self) -> str:
        for host in self.nodes.values():
            if host.life is None or host.life.running is None or host.life.halted:
                return f"{host.name} does not serve"
            if (found := host.life.running.region) and not (report := found.health()).ready:
                return f"{host.name} is not ready: {', '.join(report.failing)}"
        sick = [name for name, role in self.roles.items() if role == "active" and not self.router.well(name)]
        return f"the edge takes {sick[0]} for sick" if sick else ""

    def _not_begun(self) -> str:
        """Why a first request might be refused."""
        return self._not_up() or self._unconfirmed()

    def _unconfirmed(self) -> str:
        for name, role in self.roles.items():
            confirmations = role == "active" and (found := self.region(name)) and found.confirmations
            if confirmations and not confirmations.reachable():
                return f"{name} has no region to confirm its commits"
        return ""

    def _plan_under_way(self) -> str:
        plan, assignment = self.plan, self._situation.assignment
        if assignment is None:
            return "there are no roles yet"
        if plan and plan.open and plan.step not in ("request", "gate"):
            return f"plan {plan.id} is at {plan.step}"
        for name in self.app.regions:
            if (found := self.region(name)) and found.authority.epoch != assignment.epoch:
                return f"{name} acts in epoch {found.authority.epoch}, not {assignment.epoch}"
        return ""

    def _anybody_writes(self) -> bool:
        assignment = self._situation.assignment
        return assignment is not None and any(map(assignment.may_write, self.app.regions))

    def _open(self) -> str:
        """Doubled effects, messages and changes are handled as long as some region holds the right to write."""
        if not self._anybody_writes():
            return ""
        running = {name: found for name in self.app.regions if (found := self.region(name))}
        for name, found in running.items():
            if found.duplicates and found.duplicates.waiting:
                return f"{name} knows of {found.duplicates.waiting} doubled effects that nobody has handled"
            if found.messages and (left := found.messages.due(SOON_S)):
                return f"{name} has {left}"
        return self._orphaned(list(running.values())) or self._untold(list(running.values()))

    def _orphaned(self, running: Sequence[Region]) -> str:
        """A queue whose messages of some region nobody hands out."""
        for queue in self.app.queues.values():
            for home in self.app.regions:
                place = queue.place(home)
                if not any(found.authority.may_write_home(place) for found in running):
                    return f"nobody acts for the messages of {queue.name} of {home}"
        return ""

    def _untold(self, running: Sequence[Region]) -> str:
        """An origin of which some stream was not told everything."""
        names = [stream for table in self.app.tables.values() for stream in table.streams]
        told = {(one.stream, one.origin): one for found in running if found.streams for one in found.streams.status()}
        origins = [origin for origin, seq in running[0].cursors().items() if seq]
        for stream, origin in product(names, origins):
            one = told.get((stream, origin))
            if one is None or one.lag or one.walking or one.failing:
                return f"stream {stream} was not told everything of {origin}: {one}"
        return ""

    def _incomplete(self) -> str:
        """A region that lacks rows of a commit which another one has and has not handed over yet."""
        lacking = {
            name: {(gap.origin, gap.seq, part) for gap in found.replicator.lacking for part in gap.parts}
            for name in self.app.regions
            if (found := self.region(name))
        }
        for name, missing in lacking.items():
            for origin, seq, part in sorted(missing):
                if any((origin, seq, part) not in lacking[other] for other in holders(part) if other != name):
                    return f"{name} lacks rows of {origin}:{seq}"
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
