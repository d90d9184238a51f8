"""Units: what runs the app's code for requests, and what that code finds in a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from proa.runtime.composition.foundation import Foundation
from proa.runtime.composition.replication import Replication
from proa.runtime.forward import Forwarder
from proa.runtime.invoke import Invoker
from proa.runtime.levels import Levels
from proa.runtime.session import Sessions

if TYPE_CHECKING:
    from proa.runtime.confirm import Confirmations
    from proa.runtime.dependencies import Calls
    from proa.runtime.secrets import Keeper


class Units(msgspec.Struct, frozen=True):
    """The invoker, and what it asks."""

    invoker: Invoker
    sessions: Sessions
    forwarder: Forwarder
    confirmations: Confirmations | None
    secrets: Keeper | None
    calls: Calls | None


def units(base: Foundation, replication: Replication) -> Units:
    """Make the parts, and hand the invoker those that not every app has."""
    ports, name, stores, authority = base.ports, base.name, base.stores, base.authority
    sessions = Sessions(name, stores, replication.replicator, authority, ports.link, ports.clock)
    levels = Levels(stores, authority, replication.freshness, sessions, ports.clock)
    made = Units(
        Invoker(base.app, name, stores, authority, ports.clock, ports.entropy, ports.hub, levels),
        sessions,
        Forwarder(name, authority, ports.link, ports.clock, replication.replicator.reachable),
        _confirmations(base, replication, sessions),
        _secrets(base),
        _calls(base),
    )
    invoker = made.invoker
    invoker.resolve = made.forwarder.resolve
    invoker.confirmations, invoker.secrets, invoker.calls = made.confirmations, made.secrets, made.calls
    return made


def _confirmations(base: Foundation, replication: Replication, sessions: Sessions) -> Confirmations | None:
    """Who waits for other regions, where any route or effect does."""
    if all(one.acknowledge == "region" for one in (*base.app.routes, *base.app.effects.values())):
        return None
    from proa.runtime.confirm import Confirmations  # a region whose routes answer on their own never needs it

    def life() -> tuple[str, str]:
        identity = base.store.identity
        return base.store.origin, identity.nonce if identity else ""

    made = Confirmations(base.name, base.store, life, base.authority, base.ports.clock, lambda: sessions.epoch)
    made.on_wait = replication.replicator.push_for(made).look
    return made


def _secrets(base: Foundation) -> Keeper | None:
    if not base.app.secrets:
        return None
    from proa.runtime.secrets import Keeper  # few apps have any

    ports = base.ports
    return Keeper(base.app.secrets, ports.secrets, ports.clock, ports.hub)


def _calls(base: Foundation) -> Calls | None:
    """How the app's dependencies are called from here, where it has any."""
    if not base.app.dependencies:
        return None
    from proa.runtime.dependencies import Calls, register_gauges  # an app without any never needs it

    ports = base.ports
    made = Calls(base.app.dependencies, ports.clock, ports.entropy, ports.hub.emit, ports.dependencies)
    made.share(base.name, base.app.regions, base.store, base.authority, ports.hub)
    register_gauges(base.metrics, made.standings)
    return made
