"""Payments under load while the global store is away: what both tests of it send beside the load, and look at after."""

import asyncio
import time
from pathlib import Path

from proa.chaos import ledger
from proa.chaos.account import acknowledged, duplicates
from proa.chaos.readback import absent_everywhere
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request, load_workload

EXAMPLE = Path(__file__).parents[2] / "examples" / "payments"
DRILL = EXAMPLE / "drill.py"
STRONG = ["charges", "accounts"]


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


async def audited(cluster, urls, records):
    """Of what was acknowledged, what is absent by region; the rows by key; and what the workload's check says."""
    paths = {answer.read for answers in acknowledged(records).values() for answer in answers}
    absent = await absent_everywhere(urls, paths, 3)
    dirs = [cluster.data_dir(name) for name in cluster.regions]
    counts, broken = ledger.audit(await cluster.stored(STRONG), dirs, load_workload(DRILL), STRONG)
    return absent, counts, broken


def assert_only_refusals(records, audit, back_at):
    """Some charges were refused; none was lost or doubled, and from `back_at` on all succeed."""
    absent, counts, broken = audit
    assert any(not record.ok for record in records if record.kind == "first")
    assert all(gone == frozenset() for gone in absent.values())
    assert (duplicates(counts), broken) == (0, [])
    assert set(acknowledged(records)) <= set(counts)
    late = [record for record in records if record.kind == "first" and record.due > back_at]
    assert late
    assert all(record.ok for record in late), "all goes on when the global store is back"
