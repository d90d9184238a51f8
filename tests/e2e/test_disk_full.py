"""The disk that everybody shares is full: writes are refused by name, reads and processes go on, and it passes."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.local.cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "payments"
EU = "eu-west-1"
PREFERENCES = ("/customers/{}/preferences", b'{"language": "fr"}')
ACCOUNT = ("/accounts/{}", b'{"limit": 1000, "currency": "EUR"}')

pytestmark = pytest.mark.processes


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 MB of its own, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs rights that this user has not")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(file):
    with file.open("wb", buffering=0) as blocks:
        while True:
            try:
                blocks.write(b"x" * 65536)
            except OSError:
                return


async def put(url, what, name):
    path, body = what
    client = HttpClient(url)
    try:
        return (await client.send(Request("PUT", path.format(name), body), 5)).status
    finally:
        client.close()


async def get(url, what, name):
    client = HttpClient(url)
    try:
        return (await client.send(Request("GET", what[0].format(name)), 5)).status
    finally:
        client.close()


async def until_both_written(url, within_s=15):
    deadline = time.monotonic() + within_s
    while (await put(url, PREFERENCES, "b"), await put(url, ACCOUNT, "b")) != (200, 200):
        assert time.monotonic() < deadline, "it did not recover"
        await asyncio.sleep(0.1)


def test_a_full_disk_refuses_writes_keeps_reads_and_passes(small_disk):
    async def main():
        async with Cluster(str(EXAMPLE), small_disk / "state", lease_s=2) as cluster:
            url = cluster.region_url(EU)
            assert (await put(url, PREFERENCES, "a"), await put(url, ACCOUNT, "a")) == (200, 200)
            await asyncio.to_thread(fill, small_disk / "fill")
            refused = [await put(url, PREFERENCES, str(i) + "z" * 400) for i in range(3)]
            assert (refused[-1], await put(url, ACCOUNT, "z" * 400)) == (507, 507)
            await asyncio.sleep(3)  # longer than the lease: every node has met the full disk in its own work
            assert (await get(url, PREFERENCES, "a"), await get(url, ACCOUNT, "a")) == (200, 200)
            assert all(cluster.running(name) for name in cluster.config.nodes)
            (small_disk / "fill").unlink()
            await until_both_written(url)

    asyncio.run(main())
