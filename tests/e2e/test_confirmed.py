"""The active region dies under load, and its disk with it: nothing that a second region had confirmed is missing."""

from __future__ import annotations

import asyncio
import json
import shutil
import time

import msgspec
import pytest

from proa.chaos import ledger
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.core.plan import Loss, Plan
from proa.core.roles import PLANS
from proa.local.cluster import Cluster

APP = """
from dataclasses import dataclass
from proa import App, Objectives

app = App("ledger", regions=["eu-west-1", "us-east-1"], topology="active-passive", witness="eu-central-1",
          failover="automatic", acknowledge="peer", objectives=Objectives(rto_s=10, rpo_s=0))


@dataclass
class Entry:
    id: str
    amount: int = 1


entries = app.table("entries", Entry, key="id")


@app.post("/entries", idempotent=True, timeout_s=2)
async def book(entry: Entry) -> Entry:
    await entries.put(entry)
    return entry


@app.get("/entries/{id}")
async def read(id: str) -> Entry:
    return await entries.get(id)
"""
ACTIVE, STANDBY = "eu-west-1", "us-east-1"
WRITERS = 8

pytestmark = pytest.mark.processes


class Load:
    """Clients that book one entry after the other through the edge, and remember what they were told."""

    def __init__(self, url):
        self.url = url
        self.told = []
        self.going = True

    async def write(self, writer):
        client, number = HttpClient(self.url), 0
        try:
            while self.going:
                number += 1
                name = f"{writer}-{number}"
                answer = await client.send(Request("POST", "/entries", json.dumps({"id": name}).encode(), name), 3)
                if answer.ok:
                    self.told.append(name)
                else:
                    await asyncio.sleep(0.02)
        finally:
            client.close()

    async def run(self):
        await asyncio.gather(*(self.write(writer) for writer in range(WRITERS)))


async def until(condition, within_s=20):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.05)


def entries(cluster, region):
    return {row["id"] for row in ledger.rows(cluster.data_dir(region), ["entries"])["entries"]}


async def lose_under_load(state_dir, app):
    async with Cluster(str(app), state_dir, rtt_ms=10, lease_s=2, confirm_ends=False) as cluster:
        load = Load(cluster.edge_url)
        running = asyncio.create_task(load.run())
        await until(lambda: len(load.told) > 300)
        await cluster.kill(ACTIVE)
        shutil.rmtree(cluster.data_dir(ACTIVE))
        told_before = len(load.told)
        plan = await promoted(cluster)
        load.going = False
        await running
        return told_before, load.told, entries(cluster, STANDBY), plan


async def promoted(cluster):
    """The plan, once it is done."""
    deadline = time.monotonic() + 30
    while True:
        plans = [msgspec.msgpack.decode(row.value, type=Plan) for row in await cluster.global_store().scan(PLANS)]
        if plans and plans[-1].step == "done":
            return plans[-1]
        assert time.monotonic() < deadline, plans
        await asyncio.sleep(0.1)


def test_nothing_confirmed_is_missing_when_the_active_region_and_its_disk_are_gone(tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "app.py").write_text(APP)
    told_before, told, held, plan = asyncio.run(lose_under_load(tmp_path / "state", app))
    assert told_before > 300
    assert set(told) - held == set()
    assert (plan.loss, plan.unheard, plan.approval.by) == (Loss(), (), "policy")
