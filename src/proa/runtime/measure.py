"""From events to metrics: which counter and which histogram each event feeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from proa.observe.hub import Subscriber
from proa.observe.metrics import Histogram, Registry
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
    tells[MessageHandled] = _messages(metrics)

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
    MessagesAdopted: _adopted,
    TickFailed: _tick_failed,
    TickFired: _fired,
    TickGivenUp: _tick_given_up,
    TicksSkipped: _ticks_skipped,
}


# Of each request and each message somebody is told: what these feed is looked up once.


def _messages(metrics: Registry) -> Subscriber:
    """Counts messages and their ages, by queue."""
    kept: dict[str, tuple[Callable[[], None], Histogram]] = {}

    def on_message(event: msgspec.Struct) -> None:
        assert isinstance(event, MessageHandled)
        if event.queue not in kept:
            of = ("queue", event.queue)
            count = metrics.counter("proa_messages_handled_total", of)
            kept[event.queue] = count, metrics.histogram("proa_message_age_seconds", of)
        count, ages = kept[event.queue]
        count()
        ages.observe(event.age_s)

    return on_message


def _units(metrics: Registry) -> Subscriber:
    """Counts and times units, by route and status."""
    kept: dict[tuple[str, int], tuple[Callable[[], None], Histogram]] = {}

    def series(route: str, status: int) -> tuple[Callable[[], None], Histogram]:
        count = metrics.counter("proa_units_total", ("route", route), ("status", str(status)))
        return count, metrics.histogram("proa_unit_duration_seconds", ("route", route))

    def on_unit(event: msgspec.Struct) -> None:
        assert isinstance(event, UnitFinished)
        key = (event.route, event.status)
        found = kept.get(key)
        if found is None:
            found = kept[key] = series(*key)
        count, took = found
        count()
        took.observe(event.took_s)
        if event.replayed:
            metrics.count("proa_units_replayed_total", ("route", event.route))

    return on_unit
