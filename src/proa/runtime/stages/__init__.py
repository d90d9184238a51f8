"""The stages of admission: each drives one pure policy for the routes that declare it."""

from __future__ import annotations

from collections.abc import Mapping

from proa.app import App
from proa.observe.metrics import Registry
from proa.ports import Clock, Telemetry
from proa.runtime.admission import CrossOrigin, Maker, read_body
from proa.runtime.stages.deadline import deadlines


def cross_origin(app: App) -> CrossOrigin | None:
    """What answers browsers for other sites' pages, where the app lets any."""
    if app.front.cors is None:
        return None
    from proa.runtime.stages import cors

    return cors.CrossOrigin(app.front.cors)


def makers(app: App, clock: Clock, telemetry: Telemetry, metrics: Registry) -> Mapping[str, Maker]:
    """The makers of an app's stages, by the stage's name; those that no route declares are not even loaded."""
    made: dict[str, Maker] = {"deadline": deadlines(clock), "body": lambda _route: read_body}
    if app.front.throttles or any(route.throttles for route in app.routes):
        from proa.runtime.stages.throttle import throttling

        made |= throttling(app, clock)
    if app.front.rules:
        from proa.runtime.stages.firewall import walls

        made |= walls(app, telemetry)
    if app.front.concurrency or any(route.concurrency for route in app.routes):
        from proa.runtime.stages.concurrency import slots

        made |= slots(app, clock, metrics)
    return made
