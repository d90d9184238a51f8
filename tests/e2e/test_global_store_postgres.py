"""The global store in PostgreSQL, with real processes: a region is lost; the database itself is killed under load."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from proa.chaos.launch import load_process
from proa.chaos.load import LoadPlan
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.local.cluster import Cluster
from proa.local.stores import emptied
from support.payments import DRILL, EXAMPLE, assert_only_refusals, audited, prefer
from support.postgres import MISSING, installed, server

ROOT = Path(__file__).parents[2]
AWAY_S = 2.0

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(installed() is None, reason=MISSING),
]


def test_a_drill_with_the_global_store_in_postgres_holds_and_can_be_repeated(tmp_path, postgres_server):
    arguments = ["examples/payments", "--how", "kill", "--rate", "100", "--duration-s", "6", "--fault-after-s", "2"]
    command = [sys.executable, "-m", "proa.cli", "drill", *arguments, "--lease-s", "2", "--json"]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / ".env").write_text(f"PROA_GLOBAL_STORE={postgres_server.url}\n")
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["verdict"], report["lost_writes"], report["duplicates"]) == ("held", [], 0)
        assert report["acknowledged"] == 600
    assert not (tmp_path / ".proa" / "payments-drill" / "witness" / "global.db").exists()


def test_a_region_without_any_network_loses_its_way_to_the_database_too(rehearsal, postgres_server):
    rehearsal.global_store = asyncio.run(emptied(postgres_server.url, "blackout"))
    report = rehearsal.drill("authorizer", how="blackout", rate=50, duration_s=10, fault_after_s=2, lease_s=2)
    assert (report.violations, report.verdict) == ([], "held")


def test_without_the_witness_charges_go_on(tmp_path, postgres_server):
    async def main():
        store = await emptied(postgres_server.url, "no witness")
        async with Cluster(str(EXAMPLE), tmp_path / "state", lease_s=1, global_store=store) as cluster:
            await cluster.kill(cluster.witness)
            await asyncio.sleep(2)  # longer than a lease
            plan = LoadPlan(str(DRILL), cluster.edge_url, {}, 20, 2, 1, str(tmp_path / "records"))
            async with load_process(plan, {}) as load:
                await load.go()
                _ = [tick async for tick in load.ticks()]
                return [record.ok for record in load.records() if record.kind == "first"]

    answered = asyncio.run(main())
    assert answered
    assert all(answered)


async def assignment(cluster):
    (row,) = await cluster.global_store().read([(ROLES, ROLES_KEY)])
    return msgspec.msgpack.decode(row.value, type=Assignment)


async def lose_the_database(tmp_path, database):
    async with Cluster(str(EXAMPLE), tmp_path / "state", lease_s=1, global_store=database.url) as cluster:
        urls = {name: cluster.region_url(name) for name in cluster.regions}
        before = await assignment(cluster)
        plan = LoadPlan(str(DRILL), cluster.edge_url, urls, 60, 15, 1, str(tmp_path / "records"))
        async with load_process(plan, {}) as load:
            await load.go()
            await asyncio.sleep(1.5)
            await asyncio.to_thread(database.kill)
            await asyncio.sleep(AWAY_S)
            preferred = await prefer(cluster)
            await asyncio.to_thread(database.start)
            back_at = time.time()
            _ = [tick async for tick in load.ticks()]
            records = load.records()
        audit = await audited(cluster, urls, records)
        after = await assignment(cluster)
        logged = [row.key for row in await cluster.global_store().scan("~audit")]
        await cluster.kill(cluster.regions[0])
        failed_over = await until_epoch_passes(cluster, after)
    return records, preferred, audit, back_at, [before.epoch, after.epoch, failed_over], logged


async def until_epoch_passes(cluster, known):
    """The next epoch, once the loss of a region has made one."""
    deadline = time.monotonic() + 15
    while (now := await assignment(cluster)).epoch <= known.epoch and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return now.epoch


def test_a_database_that_is_killed_under_load_costs_refusals_and_nothing_else(tmp_path):
    with server() as database:
        told = asyncio.run(lose_the_database(tmp_path, database))
    records, preferred, audit, back_at, epochs, logged = told
    assert preferred == (200, 200), "what needs no global store goes on"
    assert_only_refusals(records, audit, back_at + 3)
    assert epochs == sorted(epochs)
    assert epochs[2] > epochs[1], "roles go on from where they were"
    assert len(logged) == len(set(logged))
