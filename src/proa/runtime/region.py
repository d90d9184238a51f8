"""One region: its store, authority, invoker, replicator, health and front door, put together.

It is complete without a control plane: reads and `any` tables work as soon as the store has an identity. The control
plane drives it through `ports.RegionControl`; which process it runs in is somebody else's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from proa.app import App
from proa.core.dedupe import Outcome
from proa.core.replicate.snapshot import joinable
from proa.core.replicate.stamp import Versions, covers
from proa.core.residency import resident
from proa.core.roles import Assignment
from proa.declare.http import Answer
from proa.ports import Clock, HealthReport, Method
from proa.runtime.admission import Admission, Maker
from proa.runtime.compactor import Compactor, Keep
from proa.runtime.composition.foundation import Ports, foundation
from proa.runtime.events import ClockJudged, DuplicateFound
from proa.runtime.forward import Forwarder
from proa.runtime.freshness import Freshness
from proa.runtime.gateway import Gateway, json_page
from proa.runtime.handover import Handover
from proa.runtime.health import HealthMonitor
from proa.runtime.invoke import Invoker
from proa.runtime.levels import Levels
from proa.runtime.readiness import Readiness
from proa.runtime.rejoining import Rejoining
from proa.runtime.repairer import Repairer
from proa.runtime.replicator import Replicator
from proa.runtime.router import Router
from proa.runtime.session import Sessions
from proa.runtime.stages import cross_origin, makers
from proa.runtime.status import RegionStatus, percentile_ms
from proa.runtime.unit import Frame, Unit

if TYPE_CHECKING:
    from proa.declare.mount import Lifespan
    from proa.runtime.cached import RouteCache
    from proa.runtime.confirm import Confirmations
    from proa.runtime.dependencies import Calls
    from proa.runtime.duplicates import DuplicateHandlers
    from proa.runtime.effects import Effects
    from proa.runtime.errands import Ends
    from proa.runtime.event_log import EventLog
    from proa.runtime.identity.authenticator import Authenticator
    from proa.runtime.messages.dispatcher import Dispatcher
    from proa.runtime.passage import Passage
    from proa.runtime.sagas.engine import Sagas
    from proa.runtime.schedules.scheduler import Scheduler
    from proa.runtime.secrets import Keeper
    from proa.runtime.streams import Streams

START_WAIT_S = 1.0


class Beside(Protocol):
    """A part of a region that works by itself, from its start to its end."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Region:
    """The runtime of one region; `ports.RegionControl` for the control plane that lives beside it."""

    def __init__(self, app: App, name: str, data_dir: Path, ports: Ports) -> None:
        self.app = app
        self.name = name
        self._ports = ports
        base = foundation(app, name, data_dir, ports)
        self.authority, self.store, self.metrics = base.authority, base.store, base.metrics
        peers = [region for region in app.regions if region != name]
        self.replicator = Replicator(
            name,
            peers,
            self.store,
            ports.link,
            ports.clock,
            ports.hub,
            clock_bound_s=app.clock_bound_ms / 1000,
            passage=self._passage(),
        )
        for_ever = not joinable(app.regions, self._parts())
        keep = Keep(app.journal_retention_s, app.journal_retention_max_s, for_ever=for_ever)
        self.readiness = Readiness(self.store, self.replicator, self.authority)
        self.compactor = Compactor(keep, self.store, self.replicator, self.authority, ports.clock, ports.hub)
        self.repairer = Repairer(app, name, self.store, ports.link, ports.clock, ports.hub)
        stores = (self.store, ports.global_store)
        freshness = Freshness(name, peers, stores, ports.link, ports.clock, self.authority)
        self.replicator.on_pulled = freshness.heard
        self.replicator.clock_sound = lambda: not self.authority.clock_off
        self.sessions = Sessions(name, stores, self.replicator, self.authority, ports.link, ports.clock)
        self.rejoining = Rejoining(base, self.replicator, self.readiness, self.sessions)
        self.handover = Handover(name, self.authority, self.store, self.rejoining.set_aside, ports.hub)
        levels = Levels(stores, self.authority, freshness, self.sessions, ports.clock)
        reachable = self.replicator.reachable
        self.forwarder = Forwarder(name, self.authority, ports.link, ports.clock, reachable)
        self.invoker = Invoker(app, name, stores, self.authority, ports.clock, ports.entropy, ports.hub, levels)
        self.invoker.resolve = self.forwarder.resolve
        self.confirmations = self._confirmations()
        self.monitor = HealthMonitor(app.checks.values(), self._check_unit, self._facts, ports.clock, ports.hub)
        self.monitor.warnings = self._warnings
        self.router = Router(app.routes)
        self.secrets = self.invoker.secrets = self._secrets()
        self.authenticator = self._authenticator()
        self.calls = self._calls()
        self.cache = self._route_cache()
        self._invoke = self.cache.invoke if self.cache else self.invoker.invoke
        self.gateway = self._front_door()
        self._hear_of_news()
        self.duplicates = self._duplicate_handlers()
        self._lifespans = self._mounted()
        self.streams = self._change_streams()
        if self.streams:
            self.compactor.needed = self.streams.needed
        self.effects = self.invoker.effects = self._effects()
        self.sagas = self.invoker.sagas = self._sagas()
        self.messages = self.invoker.outbound = self._messages()
        self.scheduler = self._scheduler()
        self.events = self._event_log()
        register_gauges(self)

    def _hear_of_news(self) -> None:
        """Have the store and the replicator tell what this region does something about."""
        self.store.on_doubled = self._tell_of_duplicate
        self.store.on_torn = self.repairer.mend

    def _passage(self) -> Passage | None:
        """What watches over rows that only some regions may hold, where there are any."""
        if not (parts := self._parts()):
            return None
        from proa.runtime.passage import Passage  # an app without such rows never needs it

        return Passage(self.name, self.store, parts)

    def _parts(self) -> list[str]:
        """The parts of tables that only some regions may hold."""
        return [name for name in self.app.kept() if resident(name)]

    def _calls(self) -> Calls | None:
        """How the app's dependencies are called from here, where it has any."""
        if not self.app.dependencies:
            return None
        from proa.runtime.dependencies import Calls, register_gauges  # an app without any never needs it

        clock, entropy, hub = self._ports.clock, self._ports.entropy, self._ports.hub
        made = self.invoker.calls = Calls(self.app.dependencies, clock, entropy, hub.emit, self._ports.dependencies)
        made.share(self.name, self.app.regions, self.store, self.authority, hub)
        register_gauges(self.metrics, made.standings)
        return made

    def _confirmations(self) -> Confirmations | None:
        """Who waits for other regions, where any route or effect does."""
        if all(one.acknowledge == "region" for one in (*self.app.routes, *self.app.effects.values())):
            return None
        from proa.runtime.confirm import Confirmations  # a region whose routes answer on their own never needs it

        made = Confirmations(
            self.name, self.store, self._life, self.authority, self._ports.clock, lambda: self.sessions.epoch
        )
        made.on_wait = self.replicator.push_for(made).look
        self.invoker.confirmations = made
        return made

    def _life(self) -> tuple[str, str]:
        identity = self.store.identity
        return self.store.origin, identity.nonce if identity else ""

    def _route_cache(self) -> RouteCache | None:
        """What keeps answers of routes, where any route lets it."""
        if not any(route.cache for route in self.app.routes):
            return None
        from proa.runtime.cached import CREDENTIALS, Peers, RouteCache  # an app without such routes never needs it

        peers = [region for region in self.app.regions if region != self.name]
        known = Peers(peers, self._ports.link, self.cursors, self.catch_up)
        key_header = self.app.authentication.header if self.app.authentication else ""
        credentials = (*CREDENTIALS, key_header) if key_header else CREDENTIALS
        made = RouteCache(self.invoker.invoke, known, self._ports.clock, self._ports.hub, credentials)
        self.invoker.purging = made.purge_everywhere
        return made

    def _front_door(self) -> Gateway:
        pages = {
            "live": lambda: json_page({"status": "pass"}),
            "health": self._health_page,
            "metrics": self._metrics_page,
            "status": lambda: json_page(self.status()),
        }
        admission = Admission(
            self.router,
            self.app.routes,
            self._invoke,
            self._makers(),
            self._ports.hub,
            serving=self.readiness.admits,
            cross_origin=cross_origin(self.app),
        )
        return Gateway(self.app, self.name, admission, pages)

    def _mounted(self) -> list[Lifespan]:
        """The mounted applications, which are started and stopped with the region."""
        mounts = {route.mount.prefix: route.mount for route in self.app.routes if route.mount}
        if not mounts:
            return []
        from proa.declare.mount import Lifespan

        return [Lifespan(mount) for mount in mounts.values()]

    def _makers(self) -> Mapping[str, Maker]:
        """What makes the stages of admission, by their names."""
        stages = makers(self.app, self._ports.clock, self._ports.hub, self.metrics)
        if self.authenticator is None:
            return stages
        from proa.runtime.identity.stage import maker

        return {**stages, "authenticate": maker(self.authenticator, self.app.name, self._ports.hub)}

    def _secrets(self) -> Keeper | None:
        if not self.app.secrets:
            return None
        from proa.runtime.secrets import Keeper  # few apps have any

        ports = self._ports
        return Keeper(self.app.secrets, ports.secrets, ports.clock, ports.hub)

    def _authenticator(self) -> Authenticator | None:
        if self.app.authentication is None:
            return None
        from proa.runtime.identity.authenticator import Authenticator  # an app that lets anybody in never needs it
        from proa.runtime.identity.events import measured

        ports = self._ports
        ports.hub.subscribe(measured(self.metrics))
        return Authenticator(self.app.name, self.app.authentication, self.store, ports.outside, ports.clock, ports.hub)

    def _duplicate_handlers(self) -> DuplicateHandlers | None:
        routes = {route.scope: route for route in self.app.routes if route.on_duplicate}
        if not routes:
            return None
        from proa.runtime.duplicates import DuplicateHandlers

        return DuplicateHandlers(routes, self._errand_ends)

    def _change_streams(self) -> Streams | None:
        streams = [stream for table in self.app.tables.values() for stream in table.streams.values()]
        if not streams:
            return None
        from proa.runtime.streams import Streams

        return Streams(streams, self._errand_ends)

    def _messages(self) -> Dispatcher | None:
        if not self.app.queues:
            return None
        from proa.runtime.messages.dispatcher import Dispatcher
        from proa.runtime.messages.relay import Relay

        ends = self._errand_ends
        relay = Relay(self.app.regions, ends, self._ports.global_store, self._ports.link, self.replicator.copied)
        return Dispatcher(self.app.queues.values(), self.app.regions, ends, relay)

    def _scheduler(self) -> Scheduler | None:
        if not self.app.schedules:
            return None
        from proa.runtime.schedules.scheduler import Scheduler

        return Scheduler(self.app.schedules.values(), self._errand_ends)

    def _event_log(self) -> EventLog | None:
        if not self.app.events:
            return None
        from proa.runtime.event_log import EventLog

        return EventLog(self.app.events, self.app.regions, self._errand_ends, self._ports.global_store)

    def _effects(self) -> Effects | None:
        if not self.app.effects:
            return None
        from proa.runtime.effects import Effects

        made = Effects(self._errand_ends, self._ports.global_store, self.app.tables)
        made.confirmations = self.confirmations
        return made

    def _sagas(self) -> Sagas | None:
        if not self.app.sagas:
            return None
        from proa.runtime.sagas.engine import Sagas

        return Sagas(self.app.sagas, self._errand_ends)

    @cached_property
    def _errand_ends(self) -> Ends:
        """What the parts that run errands share."""
        from proa.runtime.errands import Ends  # an app without any never needs it

        clock, entropy, hub, invoker = self._ports.clock, self._ports.entropy, self._ports.hub, self.invoker
        return Ends(
            self.name,
            self.store,
            self.authority,
            clock,
            entropy,
            hub,
            invoker.new_unit,
            invoker.unit_id,
            invoker.commit_globally,
            self._ports.global_store.outcome,
        )

    @property
    def clock(self) -> Clock:
        """The region's clock."""
        return self._ports.clock

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
        for lifespan in self._lifespans:
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
        if self.cache:
            self.cache.stop()
        for lifespan in self._lifespans:
            await lifespan.stop()
        await self.store.close()

    def methods(self) -> dict[str, Method]:
        """The link methods that this region serves."""
        passed_on = self.forwarder.methods(self.router, self._invoke, lambda: self.serving)
        messages = self.messages.methods() if self.messages else {}
        cached = self.cache.methods() if self.cache else {}
        return self.replicator.methods() | self.repairer.methods() | messages | passed_on | cached

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
        off_s = abs(self._ports.clock.now() - store_now)
        if (off := off_s > self.app.clock_bound_ms / 1000) != self.authority.clock_off:
            self.authority.clock_off = off
            self._ports.hub.emit(ClockJudged(off_s, within_bound=not off))

    def _tell_of_duplicate(self, ours: Outcome, theirs: Outcome) -> None:
        kept, other = sorted((ours, theirs), key=lambda outcome: outcome.unit)
        self._ports.hub.emit(DuplicateFound(kept.scope, (kept.unit, other.unit), (kept.region, other.region)))
        if self.duplicates:
            self.duplicates.look()

    # What it tells of itself.

    def _facts(self) -> dict[str, str]:
        """Failing components that need no asking."""
        facts: dict[str, str] = {}
        if not self.origin:
            facts["store"] = "no incarnation yet"
        if spoilt := self.readiness.spoilt or self.store.damaged:
            facts["store"] = spoilt
        if self.authority.clock_off:
            facts["clock"] = "out of bound"
        if self.authenticator and (issuers := self.authenticator.failing()):
            facts["identity"] = f"no keys to verify tokens of {issuers}"
        if self.secrets and (names := self.secrets.failing()):
            facts["secrets"] = f"cannot be read: {names}"
        return facts

    def _warnings(self) -> dict[str, str]:
        """What people should know of, although it makes the region unfit for nothing."""
        return self.messages.alarms.warnings() if self.messages else {}

    def _check_unit(self) -> Unit:
        return self.invoker.new_unit(None, Frame(self.invoker.unit_id()))

    def status(self) -> RegionStatus:
        """The figures of this region at this moment."""
        lags = sorted(self.replicator.lags_s)
        return RegionStatus(
            region=self.name,
            origin=self.origin,
            role=self.authority.role,
            epoch=self.authority.epoch,
            lease_left_s=round(self.authority.lease_left_s(), 3),
            ready=self.readiness.ready(),
            health=self.health().status,
            failing=list(self.health().failing),
            head=self.store.head,
            cursors=self.cursors(),
            lag_ms={"p50": percentile_ms(lags, 0.5), "p99": percentile_ms(lags, 0.99)},
            backlog=self.replicator.backlog(),
            peers={name: "up" if peer.reachable else "down" for name, peer in self.replicator.peers.items()},
            passed={name: peer.passed for name, peer in self.replicator.peers.items()},
            taking_over=bool(self.authority.tenure and not self.authority.tenure.complete),
            caught_up=covers(self.cursors(), self.readiness.known_elsewhere()),
            duplicates=self.doubled(),
            streams=[msgspec.to_builtins(one) for one in self.streams.status()] if self.streams else [],
            floors=self.store.floors(),
            joining=self.replicator.joiner.needed,
            messages=self.messages.depth_of_all() if self.messages else 0,
            insync=list(self.confirmations.group.counted) if self.confirmations else None,
        )

    def doubled(self) -> dict[str, int]:
        """How many keys two regions finished, and what became of them (see `RegionStatus`)."""
        listed, handled = self.store.duplicates_counted()
        waiting, failing = (self.duplicates.waiting, self.duplicates.failing) if self.duplicates else (0, 0)
        return {"listed": listed, "handled": handled, "waiting": waiting, "failing": failing}

    def _health_page(self) -> Answer:
        page = self.monitor.page(self.name, ready=self.readiness.ready())
        healthy = page["status"] != "fail" and self.readiness.ready()
        return json_page(page, 200 if healthy else 503, "application/health+json")

    def _metrics_page(self) -> Answer:
        answer = json_page(None, kind="text/plain; version=0.0.4")
        answer.body = self.metrics.text().encode()
        return answer


def register_gauges(region: Region) -> None:
    """What a scrape asks a region for."""
    metrics = region.metrics
    metrics.gauge("proa_epoch", lambda: [({}, region.authority.epoch)])
    metrics.gauge("proa_active", lambda: [({}, float(region.authority.may_write_active()))])
    metrics.gauge("proa_duplicates", lambda: [({"state": state}, count) for state, count in region.doubled().items()])
    metrics.gauge("proa_journal_head", lambda: [({"origin": region.origin}, region.store.head)])
    metrics.gauge("proa_journal_floor", lambda: [({"origin": one}, seq) for one, seq in region.store.floors().items()])
    metrics.gauge("proa_cursor", lambda: [({"origin": origin}, seq) for origin, seq in region.cursors().items()])
    metrics.gauge("proa_conflicts_dropped", lambda: [({}, region.store.conflicts_dropped())])
    if confirmations := region.confirmations:
        metrics.gauge("proa_insync_members", lambda: [({}, len(confirmations.group.counted))])
    metrics.gauge(
        "proa_replication_backlog_commits",
        lambda: [({"peer": peer}, count) for peer, count in region.replicator.backlog().items()],
    )
