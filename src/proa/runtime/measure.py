"""From events to metrics: which counter and which histogram each event feeds."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proa.observe.hub import Subscriber
from proa.observe.metrics import Registry
from proa.runtime.events import (
    CommitsApplied,
    CommitsParked,
    RowsDiverged,
    TablesCompared,
    UnitConfirmed,
    UnitFinished,
)


def measured_events(metrics: Registry) -> Subscriber:
    """A subscriber of the hub that keeps `metrics`."""
    unit = _units(metrics)

    def on_event(event: msgspec.Struct) -> None:
        kind = event.__class__
        if kind is UnitFinished:
            unit(event)
        elif isinstance(event, CommitsApplied):
            metrics.count("proa_commits_applied_total", ("peer", event.peer), by=event.count)
            for lag in event.lags_s:
                metrics.observe("proa_replication_lag_seconds", lag, ("peer", event.peer))
        elif isinstance(event, UnitConfirmed):
            metrics.observe("proa_peer_wait_seconds", event.waited_s, ("route", event.route))
        elif isinstance(event, CommitsParked):
            metrics.count("proa_commits_parked_total", by=event.count)
        elif isinstance(event, TablesCompared):
            metrics.count("proa_repair_rounds_total", ("peer", event.peer))
            metrics.count("proa_repair_rows_compared_total", ("peer", event.peer), by=event.rows)
            metrics.count("proa_repair_exchanged_bytes_total", ("peer", event.peer), by=event.exchanged)
        elif isinstance(event, RowsDiverged):
            metrics.count("proa_repair_rows_diverged_total", ("peer", event.peer), by=event.found)
            metrics.count("proa_repair_rows_mended_total", ("peer", event.peer), by=event.mended)

    return on_event


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
