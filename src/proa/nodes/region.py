"""A region: the runtime, the control plane's region side, and one front door for both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from proa.control.api import Answers, ControlApi
from proa.control.bootstrap import bootstrap
from proa.control.controller import Controller
from proa.control.errands import EffectsApi, SagasApi
from proa.control.incarnation import register
from proa.control.insync import Keeper
from proa.control.member import Life
from proa.control.noting import Noting
from proa.control.parity import Parity
from proa.control.parts import Parts
from proa.control.queues import QueuesApi
from proa.control.releases import Releases
from proa.control.replays import ReplaysApi
from proa.control.schedules import SchedulesApi
from proa.control.settling import Settling
from proa.control.tables import TablesApi
from proa.core.incarnation import Disk
from proa.core.roles import INSYNC, NODES, PLANS, ROLES
from proa.nodes.plane import background, eyes_and_beat, life_of, until_reached
from proa.nodes.site import Running, Site, shared_parts
from proa.ports import Identity
from proa.runtime.composition.foundation import Ports
from proa.runtime.reapply import Reapply
from proa.runtime.records import Records
from proa.runtime.region import Region

CONTROL = "/_proa/control"


@asynccontextmanager
async def serve(site: Site) -> AsyncGenerator[Running]:
    """Serve the app as the region at `site`; yields once clients and peers are answered."""
    async with site.global_store() as store, site.blocking() as run_blocking:
        ports = Ports(
            site.clock,
            site.entropy,
            site.link,
            store,
            site.hub,
            run_blocking,
            site.outside,
            site.secrets,
            site.dependencies,
        )
        region = Region(site.app, site.name, site.data_dir, ports)
        shared = shared_parts(store, site.rules, site, waking=[ROLES, PLANS, NODES, INSYNC])
        life = life_of(site, "region")
        region.gateway.mounts[CONTROL] = ControlApi(site.name, shared, region.store.parked, parts_below(region, shared))
        try:
            async with site.serve_http(region.gateway):
                await until_reached(site.clock, lambda: bootstrap(store, shared.rules, shared.entropy, by=site.name))
                await _take_identity(region, shared)
                async with site.serve_link(region.methods()), _governed(site, life, region, shared):
                    yield Running(life.boot, shared, region, region.store.abandon)
        finally:
            await region.stop()


def parts_below(region: Region, shared: Parts) -> dict[str, Answers]:
    """The parts of the control API that a region answers for itself."""
    records = Records(region.app, region.name, region.store)
    settling = Settling(region.name, shared, Reapply(region, records, shared.clock))
    note = Noting(region.name, shared)
    return {
        "insync": Releases(shared),
        "tables": TablesApi(region, records, settling, note),
        "queues": QueuesApi(region, note),
        "schedules": SchedulesApi(region, note),
        "replays": ReplaysApi(region, note),
        "effects": EffectsApi(region, note),
        "sagas": SagasApi(region, note),
    }


async def _take_identity(region: Region, shared: Parts) -> None:
    """Learn which life of its disk this is, and keep it durably; the same way again for each rejoining."""
    region.rejoining.register = _registrar(region, shared, fresh=True)
    rolled_back = await region.rejoining.rolled_back()
    await region.store.assume(await until_reached(shared.clock, _registrar(region, shared, fresh=rolled_back)))


def _heard(region: Region, shared: Parts, parity: Parity) -> None:
    """Tell the runtime what the control tables say: the store's time, the roles, and each region of itself."""
    situation = shared.view.situation
    region.note_store_time(situation.store_s)
    region.invoker.globally.note_roles(situation.assignment, situation.roles_version)
    nodes = situation.nodes
    reports = {name: nodes[name].node for name in shared.rules.regions if name in nodes}
    region.handover.heard(reports)
    parity.heard(reports)


def _registrar(region: Region, shared: Parts, *, fresh: bool) -> Callable[[], Awaitable[Identity]]:
    async def registered() -> Identity:
        known = region.store.identity
        disk = Disk(known.incarnation, known.nonce, region.store.head) if known else None
        issued = Identity(*await register(shared.store, region.name, disk, shared.entropy, fresh=fresh))
        return known.followed(issued) if known and known.incarnation == issued.incarnation else issued

    return registered


@asynccontextmanager
async def _governed(site: Site, life: Life, region: Region, shared: Parts) -> AsyncGenerator[None]:
    """Replicate and beat, observe the others, and carry plans forward."""
    while shared.view.situation.assignment is None:
        await shared.view.poll(0)
    async with site.probing() as probe:
        observer, member = eyes_and_beat(life, probe, shared, region=region)
        controller = Controller(region.name, shared)
        keepers = [Keeper(region.name, region.confirmations, shared)] if region.confirmations else []
        parity = Parity(region.name, life.schema, site.hub)
        region.invoker.globally.note_roles(shared.view.situation.assignment, shared.view.situation.roles_version)
        shared.view.subscribe(lambda: _heard(region, shared, parity))
        await member.beat()  # roles, holds and cuts must be known before peers' commits are applied
        await region.start()
        async with background(
            [shared.view.run(), observer.run(), member.run(), controller.run(), *(keeper.run() for keeper in keepers)]
        ):
            yield
