"""Background: what runs the app's code beside requests, as far as the app declares anything for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from proa.core.dedupe import Outcome
from proa.ports import Telemetry
from proa.runtime.composition.foundation import Foundation
from proa.runtime.composition.replication import Replication
from proa.runtime.composition.units import Units
from proa.runtime.events import DuplicateFound

if TYPE_CHECKING:
    from proa.runtime.duplicates import DuplicateHandlers
    from proa.runtime.effects import Effects
    from proa.runtime.errands import Ends
    from proa.runtime.event_log import EventLog
    from proa.runtime.messages.dispatcher import Dispatcher
    from proa.runtime.sagas.engine import Sagas
    from proa.runtime.schedules.scheduler import Scheduler
    from proa.runtime.streams import Streams

GetEnds = Callable[[], "Ends"]
"""Gives what all errands share; an app without any never loads it."""


class Background(msgspec.Struct, frozen=True):
    """The parts; None is what the app has no use for."""

    duplicates: DuplicateHandlers | None
    streams: Streams | None
    effects: Effects | None
    sagas: Sagas | None
    messages: Dispatcher | None
    scheduler: Scheduler | None
    events: EventLog | None


def background(base: Foundation, replication: Replication, units: Units) -> Background:
    """Make the parts, and hand the invoker those that units use."""
    ends = cache(partial(_ends, base, units))
    made = Background(
        duplicates=_duplicate_handlers(base, ends),
        streams=_streams(base, ends),
        effects=_effects(base, units, ends),
        sagas=_sagas(base, ends),
        messages=_messages(base, replication, ends),
        scheduler=_scheduler(base, ends),
        events=_event_log(base, ends),
    )
    invoker = units.invoker
    invoker.effects, invoker.sagas = made.effects, made.sagas
    invoker.outbound = invoker.globally.outbound = made.messages
    base.store.listeners.doubled = partial(_tell_of_duplicate, base.ports.hub, made.duplicates)
    if made.streams:
        replication.compactor.needed = made.streams.needed
    return made


def _ends(base: Foundation, units: Units) -> Ends:
    from proa.runtime.errands import Ends

    ports, invoker = base.ports, units.invoker
    return Ends(
        base.name,
        base.store,
        base.authority,
        ports.clock,
        ports.entropy,
        ports.hub,
        invoker.new_unit,
        invoker.unit_id,
        invoker.globally.commit,
        ports.global_store.outcome,
    )


def _duplicate_handlers(base: Foundation, ends: GetEnds) -> DuplicateHandlers | None:
    routes = {route.scope: route for route in base.app.routes if route.on_duplicate}
    if not routes:
        return None
    from proa.runtime.duplicates import DuplicateHandlers

    return DuplicateHandlers(routes, ends())


def _tell_of_duplicate(
    telemetry: Telemetry, handlers: DuplicateHandlers | None, ours: Outcome, theirs: Outcome
) -> None:
    kept, other = sorted((ours, theirs), key=lambda outcome: outcome.unit)
    telemetry.emit(DuplicateFound(kept.scope, (kept.unit, other.unit), (kept.region, other.region)))
    if handlers:
        handlers.look()


def _streams(base: Foundation, ends: GetEnds) -> Streams | None:
    streams = [stream for table in base.app.tables.values() for stream in table.streams.values()]
    if not streams:
        return None
    from proa.runtime.streams import Streams

    return Streams(streams, ends())


def _effects(base: Foundation, units: Units, ends: GetEnds) -> Effects | None:
    if not base.app.effects:
        return None
    from proa.runtime.effects import Effects

    made = Effects(ends(), base.ports.global_store, base.app.tables)
    made.confirmations = units.confirmations
    return made


def _sagas(base: Foundation, ends: GetEnds) -> Sagas | None:
    if not base.app.sagas:
        return None
    from proa.runtime.sagas.engine import Sagas

    return Sagas(base.app.sagas, ends())


def _messages(base: Foundation, replication: Replication, ends: GetEnds) -> Dispatcher | None:
    if not base.app.queues:
        return None
    from proa.runtime.messages.dispatcher import Dispatcher
    from proa.runtime.messages.figures import register_gauges
    from proa.runtime.messages.relay import Relay

    app, ports = base.app, base.ports
    relay = Relay(app.regions, ends(), ports.global_store, ports.link, replication.replicator.copied)
    made = Dispatcher(app.queues.values(), app.regions, ends(), relay)
    register_gauges(base.metrics, made.intakes, ports.clock)
    base.store.listeners.writes = made.told
    return made


def _scheduler(base: Foundation, ends: GetEnds) -> Scheduler | None:
    if not base.app.schedules:
        return None
    from proa.runtime.schedules.scheduler import Scheduler

    return Scheduler(base.app.schedules.values(), ends())


def _event_log(base: Foundation, ends: GetEnds) -> EventLog | None:
    if not base.app.events:
        return None
    from proa.runtime.event_log import EventLog

    return EventLog(base.app.events, base.app.regions, ends(), base.ports.global_store)
