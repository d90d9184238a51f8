"""From events to metrics: which counter and which histogram each event feeds."""

from __future__ import annotations

import msgspec

from proa.observe.hub import Subscriber
from proa.observe.metrics import Registry
from proa.runtime.events import CommitsApplied, CommitsParked, UnitFinished


def measured_events(metrics: Registry) -> Subscriber:
    """A subscriber of the hub that keeps `metrics`."""

    def on_event(event: msgspec.Struct) -> None:
        match event:
            case UnitFinished():
                _unit(metrics, event)
            case CommitsApplied():
                metrics.count("proa_commits_applied_total", ("peer", event.peer), by=event.count)
                for lag in event.lags_s:
                    metrics.observe("proa_replication_lag_seconds", lag, ("peer", event.peer))
            case CommitsParked():
                metrics.count("proa_commits_parked_total", by=event.count)
            case _:
                pass

    return on_event


def _unit(metrics: Registry, event: UnitFinished) -> None:
    route = ("route", event.route)
    metrics.count("proa_units_total", route, ("status", str(event.status)))
    metrics.observe("proa_unit_duration_seconds", event.took_s, route)
    if event.replayed:
        metrics.count("proa_units_replayed_total", route)
