"""From events to metrics: which counter and which histogram each event feeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from proa.observe.hub import Subscriber
from proa.observe.metrics import Registry
from proa.runtime.events import (
    CommitsApplied,
    CommitsParked,
    MessageHandled,
    MessagesAdopted,
    RequestRefused,
    RowsDiverged,
    RuleMatched,
    TablesCompared,
    TickFailed,
    TickFired,
    TickGivenUp,
    TicksSkipped,
    UnitConfirmed,
    UnitFinished,
)


def measured_events(metrics: Registry) -> Subscriber:
    """A subscriber of the hub that keeps `metrics`."""
    tells: dict[type, Subscriber] = {kind: partial(tell, metrics) for kind, tell in _TELLS.items()}
    tells[UnitFinished] = _units(metrics)

    def on_event(event: msgspec.Struct) -> None:
        kind = event.__class__
        if tell := tells.get(kind):
            tell(event)
        elif counter := getattr(kind, "counted", ""):
            names: tuple[str, ...] = getattr(kind, "labels", ())
            metrics.count(counter, *((name, str(getattr(event, name))) for name in names))

    return on_event


def _applied(metrics: Registry, event: CommitsApplied) -> None:
    metrics.count("proa_commits_applied_total", ("peer", event.peer), by=event.count)
    for lag in event.lags_s:
        metrics.observe("proa_replication_lag_seconds", lag, ("peer", event.peer))


def _compared(metrics: Registry, event: TablesCompared) -> None:
    metrics.count("proa_repair_rounds_total", ("peer", event.peer))
    metrics.count("proa_repair_rows_compared_total", ("peer", event.peer), by=event.rows)
    metrics.count("proa_repair_exchanged_bytes_total", ("peer", event.peer), by=event.exchanged)


def _diverged(metrics: Registry, event: RowsDiverged) -> None:
    metrics.count("proa_repair_rows_diverged_total", ("peer", event.peer), by=event.found)
    metrics.count("proa_repair_rows_mended_total", ("peer", event.peer), by=event.mended)


def _confirmed(metrics: Registry, event: UnitConfirmed) -> None:
    metrics.observe("proa_peer_wait_seconds", event.waited_s, ("route", event.route))


def _parked(metrics: Registry, event: CommitsParked) -> None:
    metrics.count("proa_commits_parked_total", by=event.count)


def _handled(metrics: Registry, event: MessageHandled) -> None:
    metrics.count("proa_messages_handled_total", ("queue", event.queue))
    metrics.observe("proa_message_age_seconds", event.age_s, ("queue", event.queue))


def _adopted(metrics: Registry, event: MessagesAdopted) -> None:
    metrics.count("proa_messages_adopted_total", ("queue", event.queue), ("home", event.region), by=event.count)


def _fired(metrics: Registry, event: TickFired) -> None:
    of = ("schedule", event.schedule)
    metrics.count("proa_ticks_total", of, ("outcome", "fired"))
    metrics.observe("proa_tick_duration_seconds", event.took_s, of)
    metrics.observe("proa_tick_late_seconds", event.late_s, of)


def _tick_failed(metrics: Registry, event: TickFailed) -> None:
    metrics.count("proa_ticks_total", ("schedule", event.schedule), ("outcome", "failed"))


def _tick_given_up(metrics: Registry, event: TickGivenUp) -> None:
    metrics.count("proa_ticks_total", ("schedule", event.schedule), ("outcome", "given up"))


def _ticks_skipped(metrics: Registry, event: TicksSkipped) -> None:
    metrics.count("proa_ticks_total", ("schedule", event.schedule), ("outcome", "skipped"), by=event.count)


def _refused(metrics: Registry, event: RequestRefused) -> None:
    metrics.count("proa_requests_refused_total", ("route", event.route), ("code", event.error))


def _matched(metrics: Registry, event: RuleMatched) -> None:
    action = "block" if event.blocked else "count"
    metrics.count("proa_firewall_matches_total", ("rule", event.rule), ("action", action))


# Events that are only counted, each under its own labels, say so themselves (`counted`).
_TELLS: Mapping[type, Callable[[Registry, Any], None]] = {
    CommitsApplied: _applied,
    UnitConfirmed: _confirmed,
    CommitsParked: _parked,
    TablesCompared: _compared,
    RowsDiverged: _diverged,
    RequestRefused: _refused,
    RuleMatched: _matched,
    MessageHandled: _handled,
    MessagesAdopted: _adopted,
    TickFailed: _tick_failed,
    TickFired: _fired,
    TickGivenUp: _tick_given_up,
    TicksSkipped: _ticks_skipped,
}


def _units(metrics: Registry) -> Subscriber:
    """Counts and times units; the series of a route and status are looked up once, for this is told of each request."""
    kept: dict[tuple[str, int], Callable[[float], None]] = {}

    def series(route: str, status: int) -> Callable[[float], None]:
        count = metrics.counter("proa_units_total", ("route", route), ("status", str(status)))
        took = metrics.histogram("proa_unit_duration_seconds", ("route", route))

        def told(took_s: float) -> None:
            count()
            took.observe(took_s)

        return told

    def on_unit(event: msgspec.Struct) -> None:
        assert isinstance(event, UnitFinished)
        key = (event.route, event.status)
        if key not in kept:
            kept[key] = series(*key)
        kept[key](event.took_s)
        if event.replayed:
            metrics.count("proa_units_replayed_total", ("route", event.route))

    return on_unit
