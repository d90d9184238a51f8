"""A region is killed after its commit was synced and before the answer left: the repeated key finds it, once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from proa.chaos import ledger
from proa.chaos.drill import surroundings
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request, load_workload
from proa.local.cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "authorizer"
ACTIVE, STANDBY = "eu-west-1", "us-east-1"
HELD_S = 5
KEY = "the-key"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's"),
]


async def hold_syncs(pid, trace):
    """From now on no sync of this process returns before `HELD_S` seconds have passed after it was done."""
    strace = await asyncio.create_subprocess_exec(
        "strace",
        *("-f", "-p", str(pid), "-o", str(trace), "-e", "trace=fsync,fdatasync"),
        *("-e", f"inject=fsync,fdatasync:delay_exit={HELD_S * 1_000_000}"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert strace.stderr is not None
    assert b"attached" in await asyncio.wait_for(strace.stderr.readline(), 10)
    return strace


async def until(condition, within_s=10):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.01)


async def send(url, within_s):
    shown = (("Authorization", f"Bearer {os.environ['AUTHORIZER_DRILL_TOKEN']}"),)
    body = json.dumps({"device": KEY}).encode()
    client = HttpClient(url)
    try:
        return await client.send(Request("POST", "/sessions", body, KEY, shown), within_s)
    finally:
        client.close()


async def kill_between_sync_and_answer(cluster, trace):
    """Whether the client was answered: its request was committed, the commit synced, and then the region killed."""
    strace = await hold_syncs(cluster.pid(ACTIVE), trace)
    asked = asyncio.create_task(send(cluster.region_url(ACTIVE), 10))
    await until(lambda: trace.exists() and "sync(" in trace.read_text())
    await asyncio.sleep(0.2)  # the sync itself is done long before; what is held is only its return
    assert not asked.done()
    await cluster.kill(ACTIVE)
    await strace.wait()
    return await asked


async def until_ok(url, within_s=15):
    deadline = time.monotonic() + within_s
    while not (answer := await send(url, 3)).ok:
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)
    return answer


def sessions(cluster, region):
    rows = ledger.rows(cluster.data_dir(region), ["sessions"])["sessions"]
    return [row["id"] for row in rows if row["device"] == KEY]


def test_a_commit_that_nobody_was_told_of_is_found_once(tmp_path):
    async def main():
        async with Cluster(str(EXAMPLE), tmp_path / "state", confirm_ends=False) as cluster:
            unanswered = await kill_between_sync_and_answer(cluster, tmp_path / "trace")
            await cluster.restart(ACTIVE)
            found = await until_ok(cluster.edge_url)
            again = await until_ok(cluster.edge_url)
            session = json.loads(found.body)["id"]
            await until(lambda: sessions(cluster, STANDBY) == [session])
            return unanswered, found, again, session, sessions(cluster, ACTIVE)

    with surroundings(load_workload(EXAMPLE / "drill.py")):
        unanswered, found, again, session, kept = asyncio.run(main())
    assert unanswered.status == 0
    assert found.headers["idempotency-replayed"] == "true"
    assert again.body == found.body
    assert kept == [session]
