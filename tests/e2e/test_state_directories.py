"""What becomes of a region whose disk was lost, put back to an earlier state, or damaged."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.errors import NodeFailed
from proa.local.cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "payments"
EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"

pytestmark = pytest.mark.processes


async def ask(url, method, path, body=b""):
    client = HttpClient(url)
    try:
        return await client.send(Request(method, path, body), 5)
    finally:
        client.close()


async def prefer(cluster, customer, region=EU):
    answer = await ask(cluster.region_url(region), "PUT", f"/customers/{customer}/preferences", b'{"language": "fr"}')
    assert answer.ok, answer


async def status(cluster, region):
    return json.loads((await ask(cluster.region_url(region), "GET", "/_proa/status")).body)


async def knows(cluster, region, customer, within_s=20):
    deadline = time.monotonic() + within_s
    while not (await ask(cluster.region_url(region), "GET", f"/customers/{customer}/preferences")).ok:
        assert time.monotonic() < deadline, f"{region} never had {customer}"
        await asyncio.sleep(0.05)


async def everybody_knows(cluster, *customers):
    for region in (EU, US, AP):
        for customer in customers:
            await knows(cluster, region, customer)


def damage(folder):
    for file in folder.iterdir():
        file.write_bytes(b"\0" * 8192)


def run(tmp_path, scenario):
    async def main():
        async with Cluster(str(EXAMPLE), tmp_path / "state", lease_s=1) as cluster:
            await scenario(cluster)

    asyncio.run(main())


def test_a_region_that_lost_its_disk_begins_a_new_life_and_gets_everything_back(tmp_path):
    async def scenario(cluster):
        await prefer(cluster, "before")
        await everybody_knows(cluster, "before")
        await cluster.kill(EU)
        shutil.rmtree(cluster.data_dir(EU))
        await cluster.restart(EU)
        assert (await status(cluster, EU))["origin"] == f"{EU}/2"
        await knows(cluster, EU, "before", within_s=1)  # it serves only once it has caught up
        await prefer(cluster, "after")
        await everybody_knows(cluster, "before", "after")

    run(tmp_path, scenario)


def test_commits_made_on_a_disk_that_was_put_back_are_not_taken_for_ones_already_seen(tmp_path):
    async def scenario(cluster):
        data, backup = Path(cluster.data_dir(EU)), tmp_path / "backup"
        await prefer(cluster, "old")
        await everybody_knows(cluster, "old")
        await cluster.kill(EU)
        shutil.copytree(data, backup)
        await cluster.restart(EU)
        await prefer(cluster, "forgotten")
        await everybody_knows(cluster, "forgotten")
        await cluster.kill(EU)
        shutil.rmtree(data)
        shutil.copytree(backup, data)
        await cluster.restart(EU)
        assert (await status(cluster, EU))["origin"] == f"{EU}/2"
        await prefer(cluster, "new")
        await everybody_knows(cluster, "old", "forgotten", "new")

    run(tmp_path, scenario)


def test_a_damaged_file_is_refused_by_name_and_the_others_go_on(tmp_path):
    async def scenario(cluster):
        await prefer(cluster, "kept")
        await everybody_knows(cluster, "kept")
        await cluster.kill(EU)
        damage(Path(cluster.data_dir(EU)))
        with pytest.raises(NodeFailed, match="PROA-S002"):
            await cluster.restart(EU)
        await prefer(cluster, "more", US)
        await knows(cluster, AP, "more")

    run(tmp_path, scenario)
