"""A scenario: one case from the beginning of its world to the verdict.

Clients near every region act at instants drawn from the seed while faults come and go; then everything is healed, the
world must settle, and the checkers judge what clients were told against what the stores hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from functools import cache
from random import Random

import msgspec

from proa.app import App
from proa.chaos import workload
from proa.errors import AppNotFound, NodeFailed, PlanRefused
from proa.simulation.case import Case, Moment, Run
from proa.simulation.client import Client
from proa.simulation.faults.disks import ROT
from proa.simulation.faults.injector import Injector
from proa.simulation.history import Violation
from proa.simulation.loop import Deadlock, run
from proa.simulation.machines import stream
from proa.simulation.person import People
from proa.simulation.profiles import called, draw
from proa.simulation.story import story
from proa.simulation.workloads.catalogue import (
    all_for,
    collisions,
    drawn,
    fitting,
    retained,
    verdict,
    without_idle_streams,
)
from proa.simulation.workloads.pace import instants
from proa.simulation.workloads.workload import Workload
from proa.simulation.world import World

PROBE_EVERY_S = 1.0
"""Observers and the edge look less often at what is in doubt than they do by default: that is much of a run's cost."""
BEAT_EVERY_S = 2.0
"""So do nodes beat, where neither lease nor RPO ask for more; what is news to others they report at once anyway."""
HOLD_DOWN_S = 3.0
"""Roles may move back soon, so that they do within a run."""
SETTLE_S = 60.0
PATIENCE_S = 20.0
"""How long after the last request the slowest client may still be trying."""


def run_case(app: App, case: Case, *, timeline: bool = False) -> Run:
    """Run one case in a world of its own."""
    if case.faults is None:
        faults = draw(case.profile, case.seed, app.regions, case.duration_s, dependencies=tuple(app.dependencies))
        case = msgspec.structs.replace(case, faults=faults)
    order = Random(f"{case.seed}/order") if case.order == "seeded" else None  # noqa: S311 - to be repeated
    return run(_Scenario(app, case, timeline=timeline).play(), order)


def _authored(target: str, app: App) -> workload.Workload:
    authors = _authors_kind(target, app)()
    authors.small = True
    return authors


@cache
def _authors_kind(target: str, app: App) -> type[workload.Workload]:
    """The class that the app's `drill.py` declares; a process that runs many cases loads it once."""
    return type(workload.workload_of(target, app))


def acting(workloads: Sequence[Workload], app: App, seed: int) -> list[Workload]:
    """Those of the workloads that act in the run of a seed, on the app as that run has it."""
    return drawn(fitting(workloads, app), stream(seed, "workloads"))


class _Scenario:
    """The course of one case."""

    def __init__(self, app: App, case: Case, *, timeline: bool) -> None:
        self._app = app
        self._case = case
        able = all_for(app, None) or all_for(app, _authored(case.app, app))
        if not able:
            raise AppNotFound(f"{case.app}: no workload fits it")
        kept = retained(app, case.seed)
        self._workloads = acting(able, kept, case.seed)
        self._world = World(
            without_idle_streams(kept, self._workloads),
            case.seed,
            hold_down_s=HOLD_DOWN_S,
            probe_every_s=PROBE_EVERY_S,
            beat_every_s=BEAT_EVERY_S,
            timeline=timeline,
        )
        self._found: list[Violation] = []

    async def play(self) -> Run:
        """Everything, in order."""
        world = self._world
        try:
            async with AsyncExitStack() as stack:
                for each in self._workloads:
                    stack.enter_context(each.surroundings())
                    world.documents.update(each.documents())
                await stack.enter_async_context(world)
                await self._acts()
                await self._ends()
        except (AssertionError, NodeFailed, Deadlock) as error:
            self._found.append(Violation("the system comes up and settles", str(error)))
        return self._account()

    async def _acts(self) -> None:
        """Clients act while faults happen."""
        world, case = self._world, self._case
        self._clients = [self._client(number, region) for number, region in enumerate(self._app.regions)]
        for each in self._workloads:
            await each.setup(self._clients[0])
        world.begin_story()
        injector = Injector(world, case.faults or ())
        beside = [
            asyncio.ensure_future(injector.run()),
            asyncio.ensure_future(People(world, world.stream("people")).run()),
        ]
        acts = await self._pace()
        if acts:
            await asyncio.wait(acts, timeout=PATIENCE_S)
        for task in (*beside, *acts):
            task.cancel()
        for ended in await asyncio.gather(*beside, *acts, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended  # a defect of the simulation itself, or of a workload

    async def _pace(self) -> list[asyncio.Task[None]]:
        """Begin each act at its instant. What it does depends on its own draw alone, not on how many there are."""
        world, case, began, draws = self._world, self._case, self._world.now, self._world.stream("acts")
        due = instants(world.stream("instants"), case.requests, case.duration_s)
        acts: list[asyncio.Task[None]] = []
        for instant, draw_of_act in sorted((instant, draws.getrandbits(32)) for instant in due):
            await asyncio.sleep(max(0.0, began + instant - world.now))
            own = Random(draw_of_act)  # noqa: S311 - to be repeated
            client, chosen = own.choice(self._clients), own.choice(self._workloads)
            acts.append(asyncio.create_task(chosen.act(client, own)))
        return acts

    async def _ends(self) -> None:
        """Heal everything; what is then true must stay so."""
        world = self._world
        world.note("world", "everything is healed")
        world.heal()
        for each in self._workloads:
            await each.attend(world)
        await self._settles()
        if any(fault.kind == ROT for fault in self._case.faults or ()):
            await world.repaired()
            if self._app.schedules:  # they go on
                await world.settle(SETTLE_S)
        final = world.final()
        for each in self._workloads:
            await each.finish(self._clients[0], final)
        self._found += verdict(self._app, self._workloads, world.history, final)

    async def _settles(self) -> None:
        """Wait for it; where two lost disks at once left a region that cannot go on by itself, with people's help."""
        world = self._world
        try:
            await world.settle(SETTLE_S)
        except AssertionError:
            if not (self._emptied() or await self._released()):
                raise
            await world.settle(SETTLE_S)

    def _emptied(self) -> list[str]:
        """A region that cannot set its late commits aside any more needs its disk emptied (see `CutBelowFloor`)."""
        world = self._world
        spoilt = [name for name in self._app.regions if (found := world.region(name)) and found.readiness.spoilt]
        for name in spoilt:
            world.replace_disk(name)
        return spoilt

    async def _released(self) -> list[str]:
        """A new life of a disk is told not to wait for members of its in-sync set that have lost theirs, too."""
        released: list[str] = []
        for name in self._app.regions:
            with suppress(PlanRefused):
                await self._world.release(name)
                released.append(name)
        return released

    def _client(self, number: int, region: str) -> Client:
        world, name = self._world, f"client-{number}"
        return Client(
            name,
            region,
            world.send,
            lambda: world.now,
            world.history,
            regions=self._app.regions,
            rng=world.stream(name),
        )

    def _account(self) -> Run:
        world = self._world
        violations = (*world.violations, *self._found)
        return Run(
            case=self._case,
            violations=violations,
            operations=len(world.history),
            operations_ok=sum(operation.outcome == "ok" for operation in world.history),
            coverage=dict(world.faults_fired)
            | ({"row mended": world.mended} if world.mended else {})
            | {called(name): calls for name in self._app.dependencies if (calls := world.dependency(name).calls)}
            | collisions(self._workloads, world.history),
            trace_hash=world.trace_hash,
            simulated_s=round(world.now, 3),
            timeline=self._story(violations),
        )

    def _story(self, violations: Sequence[Violation]) -> tuple[Moment, ...]:
        """The timeline, if it was asked for."""
        world = self._world
        if world.timeline is None:
            return ()
        return story(world.timeline, world.history, violations, world.story_began_s)
