"""Replication: what brings commits to a region, keeps its journal short, and knows how fresh the region is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from proa.core.replicate.snapshot import joinable
from proa.core.residency import resident
from proa.runtime.compactor import Compactor, Keep
from proa.runtime.composition.foundation import Foundation
from proa.runtime.freshness import Freshness
from proa.runtime.repairer import Repairer
from proa.runtime.replicator import Replicator

if TYPE_CHECKING:
    from proa.runtime.passage import Passage


class Replication(msgspec.Struct, frozen=True):
    """The parts that deal with other regions' commits, and with other regions about one's own."""

    replicator: Replicator
    compactor: Compactor
    repairer: Repairer
    freshness: Freshness


def replication(base: Foundation) -> Replication:
    """Make the parts, and let the replicator report to those that listen."""
    ports, name, authority = base.ports, base.name, base.authority
    replicator = _replicator(base)
    made = Replication(
        replicator,
        Compactor(_keep(base), base.store, replicator, authority, ports.clock, ports.hub),
        Repairer(base.app, name, base.store, ports.link, ports.clock, ports.hub),
        Freshness(name, base.peers, base.stores, ports.link, ports.clock, authority),
    )
    replicator.on_pulled = made.freshness.heard
    replicator.clock_sound = lambda: not authority.clock_off
    base.store.listeners.torn = made.repairer.mend
    return made


def _replicator(base: Foundation) -> Replicator:
    ports = base.ports
    return Replicator(
        base.name,
        base.peers,
        base.store,
        ports.link,
        ports.clock,
        ports.hub,
        clock_bound_s=base.app.clock_bound_ms / 1000,
        passage=_passage(base),
    )


def _passage(base: Foundation) -> Passage | None:
    """What watches over rows that only some regions may hold, where there are any."""
    if not (parts := _parts(base)):
        return None
    from proa.runtime.passage import Passage  # an app without such rows never needs it

    return Passage(base.name, base.store, parts)


def _parts(base: Foundation) -> list[str]:
    """The parts of tables that only some regions may hold."""
    return [name for name in base.app.kept() if resident(name)]


def _keep(base: Foundation) -> Keep:
    app = base.app
    return Keep(app.journal_retention_s, app.journal_retention_max_s, for_ever=not joinable(app.regions, _parts(base)))
