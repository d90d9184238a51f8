"""The foundation: what a region is given, and what each of its parts stands on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from proa.app import App
from proa.core.replicate.records import ConflictRecord
from proa.core.residency import resident
from proa.engines.sqlite.log import RunBlocking
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.observe.hub import Hub
from proa.observe.metrics import Registry
from proa.ports import Clock, Dependencies, Entropy, GlobalStore, Link, Outside, Secrets, Telemetry
from proa.runtime.authority import Authority
from proa.runtime.events import MergeRaised, TableRead
from proa.runtime.measure import measured_events

STORE_FILE = "region.db"


class Nowhere:
    """`ports.Outside` and `ports.Secrets` of a region that reaches no other system."""

    async def read(self, name: str) -> tuple[str, ...]:
        raise LookupError(f"no secrets are kept for this region, {name} neither")

    async def get(self, url: str, *, timeout_s: float) -> bytes:  # noqa: ARG002 - the port's
        raise OSError(f"nothing outside can be reached from here, {url} neither")


class Ports(msgspec.Struct, frozen=True):
    """The ends of the world that one region is given."""

    clock: Clock
    entropy: Entropy
    link: Link
    global_store: GlobalStore
    hub: Hub
    run_blocking: RunBlocking
    outside: Outside = Nowhere()
    secrets: Secrets = Nowhere()
    dependencies: Dependencies | None = None


class Foundation(msgspec.Struct, frozen=True):
    """What is declared, the ends of the world, what the region may do, and what it keeps: its rows and its figures."""

    app: App
    name: str
    ports: Ports
    authority: Authority
    store: SqliteRegionStore
    metrics: Registry

    @property
    def peers(self) -> list[str]:
        """The other regions."""
        return [region for region in self.app.regions if region != self.name]

    @property
    def stores(self) -> tuple[SqliteRegionStore, GlobalStore]:
        """Both stores that a unit may commit in."""
        return self.store, self.ports.global_store


def foundation(app: App, name: str, data_dir: Path, ports: Ports) -> Foundation:
    """Open the region's store in a folder."""
    authority, metrics = Authority(name, ports.clock), Registry({"region": name})
    store = SqliteRegionStore(
        data_dir / STORE_FILE,
        name,
        ports.clock,
        ports.run_blocking,
        permit=authority.permit,
        merges=app.merges(),
        schemas=app.schemas(strong=False),
        progress=lambda table, rows: ports.hub.emit(TableRead(table, rows)),
    )
    store.listeners.merge_raised = partial(_tell_of_merge, ports.hub)
    ports.hub.subscribe(measured_events(metrics))
    return Foundation(app, name, ports, authority, store, metrics)


def _tell_of_merge(telemetry: Telemetry, conflict: ConflictRecord) -> None:
    key = "" if resident(conflict.ours.table) else conflict.ours.key
    telemetry.emit(MergeRaised(conflict.ours.table, key, conflict.rule))
