"""The front: who is let in, which way a request takes to the invoker, and what answers it before that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from proa.ports import Method
from proa.runtime.admission import Admission, Maker
from proa.runtime.composition.foundation import Foundation
from proa.runtime.composition.replication import Replication
from proa.runtime.composition.units import Units
from proa.runtime.gateway import Gateway, Page
from proa.runtime.readiness import Readiness
from proa.runtime.router import Router
from proa.runtime.stages import cross_origin, makers

if TYPE_CHECKING:
    from proa.declare.mount import Lifespan
    from proa.runtime.cached import RouteCache
    from proa.runtime.identity.authenticator import Authenticator


class Front(msgspec.Struct, frozen=True):
    """The parts before the invoker, and the link `methods` by which other regions come to them.

    `lifespans` are those of mounted applications, which are started and stopped with the region.
    """

    router: Router
    gateway: Gateway
    authenticator: Authenticator | None
    cache: RouteCache | None
    methods: dict[str, Method]
    lifespans: list[Lifespan]


def front(
    base: Foundation, replication: Replication, units: Units, readiness: Readiness, pages: Mapping[str, Page]
) -> Front:
    """Make the parts; `pages` are Proa's own answers."""
    router, cache, who = Router(base.app.routes), _cache(base, replication, units), _authenticator(base)
    invoke = cache.invoke if cache else units.invoker.invoke
    admission = Admission(
        router,
        base.app.routes,
        invoke,
        _makers(base, who),
        base.ports.hub,
        serving=readiness.admits,
        cross_origin=cross_origin(base.app),
    )
    gateway = Gateway(base.app, base.name, admission, pages)
    methods = units.forwarder.methods(router, invoke, lambda: readiness.serving)
    return Front(router, gateway, who, cache, methods | (cache.methods() if cache else {}), _lifespans(base))


def _authenticator(base: Foundation) -> Authenticator | None:
    """Who finds out who asks, where the app does not let anybody in."""
    if base.app.authentication is None:
        return None
    from proa.runtime.identity.authenticator import Authenticator  # an app that lets anybody in never needs it
    from proa.runtime.identity.events import measured

    ports = base.ports
    ports.hub.subscribe(measured(base.metrics))
    return Authenticator(base.app.name, base.app.authentication, base.store, ports.outside, ports.clock, ports.hub)


def _makers(base: Foundation, authenticator: Authenticator | None) -> Mapping[str, Maker]:
    """What makes the stages of admission, by their names."""
    stages = makers(base.app, base.ports.clock, base.ports.hub, base.metrics)
    if authenticator is None:
        return stages
    from proa.runtime.identity.stage import maker

    return {**stages, "authenticate": maker(authenticator, base.app.name, base.ports.hub)}


def _cache(base: Foundation, replication: Replication, units: Units) -> RouteCache | None:
    """What keeps answers of routes, where any route lets it."""
    app, ports = base.app, base.ports
    if not any(route.cache for route in app.routes):
        return None
    from proa.runtime.cached import CREDENTIALS, Peers, RouteCache  # an app without such routes never needs it

    peers = Peers(base.peers, ports.link, base.store.cursors, replication.replicator.catch_up)
    key_header = app.authentication.header if app.authentication else ""
    credentials = (*CREDENTIALS, key_header) if key_header else CREDENTIALS
    made = RouteCache(units.invoker.invoke, peers, ports.clock, ports.hub, credentials)
    units.invoker.purging = made.purge_everywhere
    return made


def _lifespans(base: Foundation) -> list[Lifespan]:
    mounts = {route.mount.prefix: route.mount for route in base.app.routes if route.mount}
    if not mounts:
        return []
    from proa.declare.mount import Lifespan

    return [Lifespan(mount) for mount in mounts.values()]
