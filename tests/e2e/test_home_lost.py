"""Real processes: the home of some rows is killed under load, another region stands in, and the rows come home."""

from __future__ import annotations

import asyncio
import json
import random
import time
from itertools import groupby

import msgspec
import pytest

from proa.chaos import ledger
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.core.home import Place, acting
from proa.core.replicate.journal import Commit
from proa.engines.sqlite.files import SQL
from proa.local.cluster import Cluster

APP = """
from dataclasses import dataclass, field
from proa import App

@dataclass
class Diary:
    id: str
    entries: list[str] = field(default_factory=list)

@dataclass
class Entry:
    key: str

app = App("diaries", regions=["eu", "us", "ap"], lease_s=1)
diaries = app.table("diaries", Diary, key="id", mode="home")

@app.post("/diaries/{id}", idempotent=True, timeout_s=2)
async def write(id: str, entry: Entry) -> int:
    diary = await diaries.get(id, Diary(id))
    await diaries.put(Diary(id, [*diary.entries, entry.key]))
    return len(diary.entries)
"""
REGIONS = ("ap", "eu", "us")
LOST = "eu"
DIARIES = [next(k for k in map(str, range(100)) if acting(Place(k), REGIONS) == region) for region in REGIONS]


class Writer:
    """A client that writes entries into a diary, each until it is acknowledged, and notes by whom."""

    def __init__(self, diary, url, rng):
        self.diary = diary
        self.acknowledged = {}
        self._client = HttpClient(url)
        self._rng = rng

    async def run(self, done):
        for number in range(100_000):
            if done.is_set():
                break
            key = f"{self.diary}-{number}"
            request = Request("POST", f"/diaries/{self.diary}", json.dumps({"key": key}).encode(), key)
            while not done.is_set():
                answer = await self._client.send(request, 3)
                if answer.ok:
                    self.acknowledged[key] = answer.headers["proa-home"]
                    break
                await asyncio.sleep(0.05 + self._rng.random() / 20)
        self._client.close()

    def last_home(self):
        return next(reversed(self.acknowledged.values()), "")


async def until(condition, within_s=40):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.05)


def diaries(cluster, region):
    return {row["id"]: row["entries"] for row in ledger.rows(cluster.data_dir(region), ["diaries"])["diaries"]}


def lost_keys(cluster, region):
    with ledger._reading(cluster.data_dir(region)) as store:
        parked = [msgspec.msgpack.decode(row[-1], type=Commit) for row in store.execute(SQL["parked"])]
    return {commit.outcome.key for commit in parked}


@pytest.mark.processes
def test_nothing_acknowledged_is_missing_but_what_the_lost_list_names(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    async def main():
        async with Cluster(str(tmp_path), tmp_path / "state", hold_down_s=0.5) as cluster:
            done = asyncio.Event()
            writers = [Writer(diary, cluster.edge_url, random.Random(diary)) for diary in DIARIES]
            mine = writers[REGIONS.index(LOST)]
            work = [asyncio.create_task(writer.run(done)) for writer in writers]
            await until(lambda: mine.last_home() == LOST)
            await asyncio.sleep(1)
            await cluster.kill(LOST)
            await until(lambda: mine.last_home() not in (LOST, ""))
            await cluster.restart(LOST)
            await until(lambda: mine.last_home() == LOST)
            done.set()
            await asyncio.gather(*work)
            await until(lambda: len({str(diaries(cluster, region)) for region in REGIONS}) == 1)
            return writers, diaries(cluster, "us"), set().union(*(lost_keys(cluster, region) for region in REGIONS))

    writers, kept, lost = asyncio.run(main())
    for writer in writers:
        entries = kept[writer.diary]
        assert len(entries) == len(set(entries)), "each key counted once"
        assert set(writer.acknowledged) - set(entries) <= lost
        homes = [home for home, _ in groupby(writer.acknowledged.values())]
        own = acting(Place(writer.diary), REGIONS)
        assert homes == ([LOST, homes[1], LOST] if own == LOST else [own])
