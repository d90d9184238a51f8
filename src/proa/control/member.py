"""The member: one node's beat. It renews the lease, reports what the others need to know, and obeys the roles.

A beat is one compare-and-set of the node's own row. A region's rests on the version of the roles too, so from the
moment its right is revoked no renewal gets through; it goes on reporting, with the counter standing still. The lease is
counted from before the beat was sent. What the roles ask of the region itself (hold, drain, catch up, rejoin) is
decided by `core.duty` and performed here, so every region obeys on its own and no controller commands it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from proa.control.events import ControlPlaneBack, ControlPlaneLost, DutyFailed, LifeSuperseded, RegionRejoined
from proa.control.ledger import STORE_AWAY, strong
from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core import lease
from proa.core.duty import CatchUp, Drain, Duty, Hold, Rejoin, StopBefore, duties
from proa.core.replicate.journal import Key
from proa.core.roles import NODES, ROLES, ROLES_KEY, Assignment, Node, NodeKind, Observation
from proa.core.situation import Known
from proa.errors import ProaError, RegionFenced
from proa.ports import Batch, Committed, RegionControl

RACES_MAX = 5
CATCH_UP_S = 10.0
PAUSE_MIN_S = 0.01


class Life(msgspec.Struct, frozen=True):
    """Who this process is: the node, this boot of it, and what it runs (for parity)."""

    name: str
    kind: NodeKind
    boot: str
    version: str = ""
    schema: str = ""


def nothing_seen() -> dict[str, Observation]:
    """For a node that observes nobody."""
    return {}


class Member:
    """Beats for one node. `seen` gives its observations; `acting` the routing in effect, where the node is an edge."""

    def __init__(
        self,
        life: Life,
        parts: Parts,
        *,
        region: RegionControl | None = None,
        seen: Callable[[], Mapping[str, Observation]] = nothing_seen,
        acting: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._life = life
        self._parts = parts
        self._seen = seen
        self._acting = acting
        self._obedience = Obedience(region, parts, self.poke) if region else None
        self._wake = Wake()
        self._version = 0
        self._told: Node | None = None
        self._lost = False
        self._lease_until = 0.0
        self._not_before: float | None = None
        self._begun = False
        self._asked = (0, 0)
        """The versions of the roles and the plan that the view brought last: nothing else asks anything of a region."""

    def poke(self) -> None:
        """Beat now: something worth reporting changed."""
        self._wake.ring()

    async def run(self) -> None:
        """Beat for ever.

        Raises:
            RegionFenced: this process must not act any more; it should end, and may start again.
        """
        unsubscribe = self._parts.view.subscribe(self._changed)
        try:
            while True:
                started = self._parts.clock.monotonic()
                await self.beat()
                due_s = self._parts.rules.beat_s * (0.9 + self._parts.entropy.random() / 10)
                await self._wake.wait(max(PAUSE_MIN_S, started + due_s - self._parts.clock.monotonic()))
        finally:
            unsubscribe()
            if self._obedience:
                self._obedience.stop()

    async def beat(self) -> bool:
        """Report and renew once; whether the store took it."""
        try:
            for _ in range(RACES_MAX):
                self._obey()
                if await self._send():
                    return self._answered()
                await self._parts.view.poll(0)
                self._check_life()
        except STORE_AWAY as error:
            if not self._lost:
                self._parts.telemetry.emit(ControlPlaneLost("member", error.detail))
            self._lost = True
        return False

    def _answered(self) -> bool:
        if self._lost:
            self._parts.telemetry.emit(ControlPlaneBack("member"))
        self._lost = False
        return True

    def _changed(self) -> None:
        situation = self._parts.view.situation
        asked = (situation.roles_version, situation.plan_version)
        if asked != self._asked and self._obey():
            self.poke()
        self._asked = asked

    def _obey(self) -> bool:
        """Do what the roles ask; whether anything about it changed."""
        assignment = self._parts.view.situation.assignment
        if self._obedience is None or assignment is None:
            return False
        return self._obedience.obey(0.0 if self._life.name in assignment.revoked else self._lease_until)

    async def _send(self) -> bool:
        situation = self._parts.view.situation
        known = situation.nodes.get(self._life.name)
        self._begin(known)
        node = self._node(known)
        version = max(self._version, known.version if known else 0)
        reads: dict[Key, int] = {(NODES, node.name): version}
        if self._obedience:
            reads[ROLES, ROLES_KEY] = situation.roles_version
        beat = [strong(NODES, node.name, node)]
        # No id: the version that it read says whether it was taken, and a beat that is told again would say nothing.
        batch = Batch("", reads, beat, routine=self._routine(node))
        sent_at = self._parts.clock.monotonic()
        result = await self._parts.store.commit(batch)
        if not isinstance(result, Committed):
            return False
        self._version, self._told = result.seq, node
        if self._renews(situation.assignment):
            self._renewed(situation.assignment, lease.holder_until(sent_at, node.lease_s))
        return True

    def _renews(self, assignment: Assignment | None) -> bool:
        return assignment is None or self._life.name not in assignment.revoked

    def _renewed(self, assignment: Assignment | None, until: float) -> None:
        if self._obedience and assignment and self._parts.clock.monotonic() >= (self._not_before or 0.0):
            self._lease_until = until
            self._obedience.assume(assignment, until)

    def _routine(self, node: Node) -> bool:
        """Whether nobody waits for this beat: it says nothing new, or only how far this node is while no plan asks."""
        told, plan = self._told, self._parts.view.situation.plan
        if told is None or not node.repeats(told):
            return False
        return node.cursors == told.cursors or not (plan and plan.open)

    def _counter(self, known: Known | None) -> int:
        """The last renewal's: as this process told it, unless the row has changed since."""
        if known and known.version > self._version:
            return known.node.counter
        return self._told.counter if self._told else 0

    def _node(self, known: Known | None) -> Node:
        situation = self._parts.view.situation
        counter = self._counter(known)
        epoch, revision = self._acting() if self._acting else (0, 0)
        node = Node(
            name=self._life.name,
            kind=self._life.kind,
            boot=self._life.boot,
            counter=counter + 1 if self._renews(situation.assignment) else counter,
            lease_s=situation.rules.lease_s,
            epoch=epoch,
            revision=revision,
            ready=True,
            version=self._life.version,
            schema=self._life.schema,
            seen=dict(self._seen()),
        )
        return self._obedience.report(node) if self._obedience else node

    def _begin(self, known: Known | None) -> None:
        """Before the first beat: another life's process, whose end nobody confirmed, may still hold the lease."""
        if self._begun or self._obedience is None:
            return
        self._begun = True
        if known and not known.node.ended and known.node.origin not in ("", self._obedience.origin):
            self._not_before = self._parts.clock.monotonic() + lease.patience_s(known.node.lease_s)

    def _check_life(self) -> None:
        """A beat was refused: is the row still this process's own?"""
        known = self._parts.view.situation.nodes.get(self._life.name)
        if known is None or not self._version:
            return
        if known.node.boot != self._life.boot:
            self._end("another process acts as this node")
        if known.node.ended:
            self._end("the end of this process was confirmed")

    def _end(self, why: str) -> None:
        self._parts.telemetry.emit(LifeSuperseded(self._life.name, why))
        if self._obedience:
            self._obedience.stop()
        raise RegionFenced(f"{self._life.name}: {why}; this process may not act any more")


class Obedience:
    """A region's side: it assumes roles, performs its duties one by one, and reports how far it is."""

    def __init__(self, region: RegionControl, parts: Parts, poke: Callable[[], None]) -> None:
        self._region = region
        self._parts = parts
        self._poke = poke
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, int] = {}
        self._drained: tuple[int, int] | None = None
        self._rejoined = 0
        self._stopped = 0
        self._acted = (0, 0)
        self._caught_up: CatchUp | None = None
        self._assumed: tuple[Assignment, float] | None = None

    @property
    def origin(self) -> str:
        """The region's present life."""
        return self._region.origin

    def obey(self, lease_until: float) -> bool:
        """Act on the present roles and start what they ask; whether what there is to report changed."""
        situation = self._parts.view.situation
        assert situation.assignment is not None
        self.assume(situation.assignment, lease_until)
        before = (self._acted, self._held, self._drained)
        asked = duties(situation, self._region.name, self._rejoined, self._stopped)
        for duty in asked:
            self._perform(duty, situation.assignment)
        if not any(isinstance(duty, Rejoin) for duty in asked):
            self._acted = (situation.assignment.epoch, situation.assignment.revision)
        return before != (self._acted, self._held, self._drained)

    def assume(self, assignment: Assignment, lease_until: float) -> None:
        """Hand roles and lease to the region."""
        if self._assumed != (assignment, lease_until):
            self._assumed = (assignment, lease_until)
            self._region.assume(assignment, lease_until)

    def report(self, node: Node) -> Node:
        """The beat with what the region has to say."""
        cursors, origin = self._region.cursors(), self._region.origin
        assignment = self._parts.view.situation.assignment
        drained = self._drained
        if drained and (assignment is None or assignment.revoked.get(node.name) != drained[0]):
            drained = None
        return msgspec.structs.replace(
            node,
            origin=origin,
            whole_since=self._region.whole_since,
            epoch=self._acted[0],
            revision=self._acted[1],
            head=drained[1] if drained else cursors.get(origin, 0),
            cursors=cursors,
            held=self._held,
            drained=drained[0] if drained else None,
            stopped=self._stopped,
            ready=self._region.health().ready,
        )

    def stop(self) -> None:
        """The process must not act any more: take the lease away and end what is under way."""
        if self._parts.view.situation.assignment:
            self.assume(self._parts.view.situation.assignment, 0.0)
        for task in self._tasks.values():
            task.cancel()

    def _perform(self, duty: Duty, assignment: Assignment) -> None:
        match duty:
            case Hold(origins):
                self._hold(origins)
            case Drain(epoch) if self._drained is None or self._drained[0] != epoch:
                self._start(f"drain {epoch}", lambda: self._drain(epoch))
            case CatchUp(plan) if duty != self._caught_up:
                self._start(f"catch up {plan}", lambda: self._catch_up(duty))
            case StopBefore(epoch):
                self._start(f"stop before {epoch}", lambda: self._stop_before(epoch))
            case Rejoin(epoch):
                self._start(f"rejoin {epoch}", lambda: self._rejoin(assignment))
            case _:
                pass

    def _hold(self, origins: frozenset[str]) -> None:
        if origins != self._held.keys():
            cursors = self._region.hold(origins)
            self._held = {origin: cursors.get(origin, 0) for origin in sorted(origins)}

    async def _stop_before(self, epoch: int) -> None:
        await self._region.stop_before(epoch)
        self._stopped = epoch

    async def _drain(self, epoch: int) -> None:
        self._drained = (epoch, await self._region.drain(epoch))

    async def _catch_up(self, duty: CatchUp) -> None:
        if await self._region.catch_up(duty.goal, CATCH_UP_S):
            self._caught_up = duty

    async def _rejoin(self, assignment: Assignment) -> None:
        await self._region.rejoin(assignment)
        self._rejoined = assignment.epoch
        self._drained = None
        event = RegionRejoined(self._region.name, self._region.origin, assignment.epoch)
        self._parts.telemetry.emit(event)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin `work` unless it is under way; it is asked for again until it is done."""
        self._tasks = {other: task for other, task in self._tasks.items() if not task.done()}
        if name not in self._tasks:
            self._tasks[name] = asyncio.ensure_future(self._finish(name, work))

    async def _finish(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ProaError as error:
            self._parts.telemetry.emit(DutyFailed(self._region.name, name, error.detail))
            await self._parts.clock.sleep(self._parts.rules.beat_s)
        self._poke()  # report it, and let what is done allow the next thing
