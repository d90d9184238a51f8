"""A region comes back with an empty disk after its peers have dropped their journals: it joins while load runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.local.cluster import Cluster

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
APP = """
from dataclasses import dataclass

from proa import App

app = App(
    "notes",
    regions=["eu-west-1", "us-east-1", "ap-southeast-1"],
    lease_s=2,
    journal_retention_s=0.5,
    journal_retention_max_s=2,
)


@dataclass
class Note:
    id: str
    text: str = ""


notes = app.table("notes", Note, key="id")


@app.put("/notes/{id}")
async def write(id: str, body: Note) -> Note:
    await notes.put(body)
    return body


@app.get("/notes/{id}")
async def read(id: str) -> Note:
    return await notes.get(id)
"""
pytestmark = pytest.mark.processes


def status(cluster, region):
    with urllib.request.urlopen(f"{cluster.region_url(region)}/_proa/status", timeout=5) as answer:
        return json.load(answer)


async def until(condition, within_s=30):
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.05)


async def write(client, names):
    for name in names:
        body = json.dumps({"id": name, "text": "x" * 50}).encode()
        assert (await client.send(Request("PUT", f"/notes/{name}", body), 5)).status == 200


async def write_on(client, written):
    """Load that goes on until it is cancelled."""
    while True:
        name = f"load-{len(written)}"
        await write(client, [name])
        written.append(name)


def test_a_region_that_lost_its_disk_joins_by_a_snapshot_under_load_and_has_everything(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    async def main():
        async with Cluster(str(tmp_path), tmp_path / "state", lease_s=2) as cluster:
            client, written = HttpClient(cluster.region_url(EU)), []
            await write(client, [f"old-{number}" for number in range(300)])
            load = asyncio.create_task(write_on(client, written))
            try:
                await until(lambda: status(cluster, EU)["floors"].get(f"{EU}/1", 0) >= 300)
                await cluster.kill(AP)
                shutil.rmtree(Path(cluster.data_dir(AP)))
                await cluster.restart(AP)
                await until(lambda: status(cluster, AP)["ready"])
                joined = status(cluster, AP)
            finally:
                load.cancel()
            last = written[-1]
            await until(lambda: status(cluster, AP)["cursors"][f"{EU}/1"] >= status(cluster, EU)["head"])
            reader = HttpClient(cluster.region_url(AP))
            for name in ("old-0", "old-299", written[0], last):
                assert (await reader.send(Request("GET", f"/notes/{name}"), 5)).status == 200
            reader.close()
            client.close()
            return joined

    joined = asyncio.run(main())
    assert joined["floors"][f"{EU}/1"] >= 300
    assert joined["origin"] == f"{AP}/2"
