"""The witness itself is killed or paused under load.

Charges wait or are refused meanwhile, preferences go on, no charge is lost or doubled, and all goes on when it is back.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from proa.chaos import ledger
from proa.chaos.account import acknowledged, duplicates
from proa.chaos.faults import fault, inject, undo
from proa.chaos.launch import load_process
from proa.chaos.load import LoadPlan
from proa.chaos.readback import absent_everywhere
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request, load_workload
from proa.local.cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "payments"
STRONG = ["charges", "accounts"]

pytestmark = pytest.mark.processes


async def prefer(cluster):
    """Write a row that needs no global store, and read it through the edge once it has reached every region."""
    client = HttpClient(cluster.edge_url)
    path = "/customers/c1/preferences"
    written = await client.send(Request("PUT", path, b'{"language": "fr"}'), 3)
    deadline = time.monotonic() + 3
    while not (read := await client.send(Request("GET", path), 3)).ok and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    client.close()
    return written.status, read.status


async def lose_the_witness(tmp_path, how):
    file = EXAMPLE / "drill.py"
    async with Cluster(str(EXAMPLE), tmp_path / "state", lease_s=1) as cluster:
        urls = {name: cluster.region_url(name) for name in cluster.regions}
        plan = LoadPlan(str(file), cluster.edge_url, urls, 100, 7, 1, str(tmp_path / "records"))
        async with load_process(plan, {}) as load:
            await load.go()
            await asyncio.sleep(1.5)
            await inject(cluster, fault(how, cluster.witness))
            await asyncio.sleep(1.5)
            preferred = await prefer(cluster)
            await undo(cluster, fault(how, cluster.witness))
            _ = [tick async for tick in load.ticks()]
            records = load.records()
        paths = {answer.read for answers in acknowledged(records).values() for answer in answers}
        absent = await absent_everywhere(urls, paths, 3)
        dirs = [cluster.data_dir(name) for name in cluster.regions]
        counts, broken = ledger.audit(await cluster.stored(STRONG), dirs, load_workload(file), STRONG)
    return records, preferred, absent, counts, broken


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_without_the_witness_charges_wait_or_are_refused_and_nothing_is_lost(tmp_path, how):
    records, preferred, absent, counts, broken = asyncio.run(lose_the_witness(tmp_path, how))
    assert preferred == (200, 200)
    assert any(not record.ok for record in records if record.kind == "first")
    assert all(gone == frozenset() for gone in absent.values())
    assert (duplicates(counts), broken) == (0, [])
    assert set(acknowledged(records)) <= set(counts)
    start = min(record.due for record in records)
    late = [record for record in records if record.kind == "first" and record.due > start + 6]
    assert late
    assert all(record.ok for record in late), "all goes on when the witness is back"
