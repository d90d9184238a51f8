"""The witness itself is killed or paused under load.

Charges wait or are refused meanwhile, preferences go on, no charge is lost or doubled, and all goes on when it is back.
"""

from __future__ import annotations

import asyncio

import pytest

from proa.chaos.faults import fault, inject, undo
from proa.chaos.launch import load_process
from proa.chaos.load import LoadPlan
from proa.local.cluster import Cluster
from support.payments import DRILL, EXAMPLE, assert_only_refusals, audited, prefer

pytestmark = pytest.mark.processes


async def lose_the_witness(tmp_path, how):
    async with Cluster(str(EXAMPLE), tmp_path / "state", lease_s=1) as cluster:
        urls = {name: cluster.region_url(name) for name in cluster.regions}
        plan = LoadPlan(str(DRILL), cluster.edge_url, urls, 100, 7, 1, str(tmp_path / "records"))
        async with load_process(plan, {}) as load:
            await load.go()
            await asyncio.sleep(1.5)
            await inject(cluster, fault(how, cluster.witness))
            await asyncio.sleep(1.5)
            preferred = await prefer(cluster)
            await undo(cluster, fault(how, cluster.witness))
            _ = [tick async for tick in load.ticks()]
            records = load.records()
        audit = await audited(cluster, urls, records)
    return records, preferred, audit


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_without_the_witness_charges_wait_or_are_refused_and_nothing_is_lost(tmp_path, how):
    records, preferred, audit = asyncio.run(lose_the_witness(tmp_path, how))
    assert preferred == (200, 200)
    assert_only_refusals(records, audit, min(record.due for record in records) + 6)
