"""One region: what the control plane may ask of it, and how it starts and ends.

It is complete without a control plane: reads and `any` tables work as soon as the store has an identity. The control
plane drives it through `ports.RegionControl`; which process it runs in is somebody else's business. Its parts are made
in `runtime.composition`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from proa.app import App
from proa.core.replicate.stamp import Versions
from proa.core.roles import Assignment
from proa.ports import HealthReport, Method
from proa.runtime.composition.background import background
from proa.runtime.composition.foundation import Ports, foundation
from proa.runtime.composition.front import front
from proa.runtime.composition.replication import replication
from proa.runtime.composition.units import units
from proa.runtime.events import ClockJudged
from proa.runtime.handover import Handover
from proa.runtime.health import HealthMonitor, facts, warnings
from proa.runtime.pages import pages, register_gauges
from proa.runtime.readiness import Readiness
from proa.runtime.rejoining import Rejoining
from proa.runtime.status import RegionStatus, status
from proa.runtime.unit import Frame, Unit

START_WAIT_S = 1.0


class Beside(Protocol):
    """A part of a region that works by itself, from its start to its end."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Region:
    """The runtime of one region; `ports.RegionControl` for the control plane that lives beside it.

    Whoever works with a part asks for it by name; those that the app has no use for are None.
    """

    def __init__(self, app: App, name: str, data_dir: Path, ports: Ports) -> None:
        self.app, self.name, self.clock, self._ports = app, name, ports.clock, ports
        base = foundation(app, name, data_dir, ports)
        self.authority, self.store, self.metrics = base.authority, base.store, base.metrics
        commits = replication(base)
        self.replicator, self.compactor, self.repairer = commits.replicator, commits.compactor, commits.repairer
        running = units(base, commits)
        self.invoker, self.sessions, self.confirmations = running.invoker, running.sessions, running.confirmations
        self.secrets, self.calls = running.secrets, running.calls
        beside = background(base, commits, running)
        self.messages, self.events, self.scheduler = beside.messages, beside.events, beside.scheduler
        self.effects, self.sagas = beside.effects, beside.sagas
        self.duplicates, self.streams = beside.duplicates, beside.streams
        self.readiness = Readiness(base.store, self.replicator, base.authority)
        self.rejoining = Rejoining(base, self.replicator, self.readiness, self.sessions)
        self.handover = Handover(name, base.authority, base.store, self.rejoining.set_aside, ports.hub)
        self.monitor = HealthMonitor(app.checks.values(), self._check_unit, lambda: facts(self), ports.clock, ports.hub)
        self.monitor.warnings = lambda: warnings(self)
        door = self._front = front(base, commits, running, self.readiness, pages(self))
        self.router, self.gateway, self.authenticator = door.router, door.gateway, door.authenticator
        register_gauges(self)

    def _check_unit(self) -> Unit:
        return self.invoker.new_unit(None, Frame(self.invoker.unit_id()))

    # Life.

    @property
    def serving(self) -> bool:
        """Whether it has caught up since it was started, and was not stopped."""
        return self.readiness.serving

    async def start(self) -> None:
        """Begin to replicate and to check; serve once caught up. The store must have its identity.

        Returns when the region serves, or after a second: a long catch-up goes on behind it.

        Raises:
            EventIncompatible: an event is declared so that those that may still be around cannot be read.
        """
        if self.events:
            await self.events.verify()
        for lifespan in self._front.lifespans:
            await lifespan.start()
        self.replicator.start()
        self.monitor.start()
        for part in self._beside():
            part.start()
        self.compactor.start()
        coming_up = self.readiness.start()
        self.repairer.start()
        await asyncio.wait([coming_up], timeout=START_WAIT_S)

    def _beside(self) -> Iterator[Beside]:
        """What works beside the requests, as far as the app declares anything for it."""
        declared = (self.events, self.duplicates, self.streams, self.messages, self.scheduler)
        for part in (*declared, self.calls, self.authenticator, self.secrets):
            if part is not None:
                yield part

    async def stop(self) -> None:
        """Answer what was begun, flush, and close."""
        self.handover.end()
        for part in (self.readiness, self.compactor, self.replicator, self.repairer, self.monitor, *self._beside()):
            part.stop()
        if self._front.cache:
            self._front.cache.stop()
        for lifespan in self._front.lifespans:
            await lifespan.stop()
        await self.store.close()

    def methods(self) -> dict[str, Method]:
        """The link methods that this region serves."""
        messages = self.messages.methods() if self.messages else {}
        return self.replicator.methods() | self.repairer.methods() | messages | self._front.methods

    # `ports.RegionControl`.

    @property
    def origin(self) -> str:
        return self.store.origin

    @property
    def whole_since(self) -> int:
        return self.store.whole_since

    def cursors(self) -> Versions:
        return self.store.cursors()

    def health(self) -> HealthReport:
        return self.monitor.report(ready=self.readiness.ready())

    def assume(self, assignment: Assignment, lease_until: float) -> None:
        before = self.authority.epoch
        self.authority.newborn = self.store.identity is not None and self.store.identity.incarnation == 1
        self.authority.assume(assignment, lease_until)
        self.rejoining.come_to_terms(self.authority.assignment)
        if not assignment.cuts:
            self.sessions.epoch = max(self.sessions.epoch, assignment.epoch)
        if self.authority.epoch > before:
            self.handover.begin(assignment)

    async def stop_before(self, epoch: int) -> None:  # noqa: ARG002 - the store asks for the epoch at each commit
        await self.store.flush()

    async def drain(self, epoch: int) -> int:
        if epoch >= self.authority.epoch:
            self.authority.draining = True
        return await self.store.flush()

    def hold(self, origins: frozenset[str]) -> Versions:
        terms, applied = self.replicator.terms, self.store.applied()
        held = sorted(origins - {self.origin})
        terms.limits = {origin: terms.limits.get(origin, applied.get(origin, 0)) for origin in held}
        self.authority.expect(promotion=bool(origins))
        return dict(terms.limits)

    async def catch_up(self, targets: Versions, timeout_s: float) -> bool:
        return await self.replicator.catch_up(targets, timeout_s)

    async def rejoin(self, assignment: Assignment) -> None:
        await self.rejoining.rejoin(assignment)

    def note_store_time(self, store_now: float) -> None:
        """Compare this clock with the global store's; beyond the declared bound this region refuses its own writes."""
        off_s = abs(self.clock.now() - store_now)
        if (off := off_s > self.app.clock_bound_ms / 1000) != self.authority.clock_off:
            self.authority.clock_off = off
            self._ports.hub.emit(ClockJudged(off_s, within_bound=not off))

    def status(self) -> RegionStatus:
        """The figures of this region at this moment."""
        return status(self)
