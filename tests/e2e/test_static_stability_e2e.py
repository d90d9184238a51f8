"""Real processes: the control plane goes with the global store, then the other region too, all under load.

The region that is left serves whatever does not need them, as if nothing had happened; the rest it refuses.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from itertools import count

import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.local.cluster import Cluster

APP = """
from dataclasses import dataclass
from proa import ApiKeys, App, Cache, Concurrency, Context, Rule, Throttle

@dataclass
class Note:
    id: str
    text: str = ""

app = App("notes", regions=["eu", "us"], lease_s=1)
app.throttle(Throttle(10**6))
app.concurrency(Concurrency(limit=500))
app.firewall(Rule(name="hostile", patterns=["sql"]))
keys = app.authenticate(ApiKeys()).keys
notes = app.table("notes", Note, key="id")
shown = app.table("shown", Note, key="id", mode="home")
stock = app.table("stock", Note, key="id", mode="strong")
letters = app.queue("letters", Note)

@letters.consumer()
async def read_letter(note: Note) -> None: ...

@app.post("/keys", auth=None)
async def give(ctx: Context) -> str:
    return await keys.issue("ada", ctx)

@app.post("/notes", idempotent=True)
async def write(note: Note) -> Note:
    await notes.put(note)
    return note

@app.get("/notes/{id}")
async def read(id: str) -> Note:
    return await notes.get(id)

@app.get("/kept", auth=None, cache=Cache(0.1))
async def kept() -> str:
    return (await notes.get("first")).text

@app.post("/letters", idempotent=True)
async def send(note: Note) -> None:
    await letters.send(note)

async def last_known() -> str:
    return "unknown"

@app.get("/stock", timeout_s=1, fallback=last_known)
async def left() -> str:
    return (await stock.get("first")).text

@app.post("/stock", idempotent=True, timeout_s=1)
async def take(note: Note) -> None:
    await stock.put(note)

@app.post("/shown", idempotent=True, timeout_s=1)
async def show(note: Note) -> None:
    await shown.put(note)
"""
LOCAL = {"POST /notes", "GET /notes/first", "GET /kept", "POST /letters", "GET /stock"}
"""What needs neither the control plane nor the global store; the last one is answered by its fallback then."""
LEASED = {"POST /stock", "POST /shown"}
DOWN_S = 1.5
"""Longer than any lease lasts, and than any answer takes."""


class Load:
    """Clients of one region that ask for everything in turn; how requests ended, by what was there then."""

    def __init__(self, url, key):
        self._client = HttpClient(url)
        self._headers = (("x-api-key", key),)
        self._numbers = count()
        self.ended = {}

    async def ask(self, what, id_=""):
        method, path = what.split()
        number = next(self._numbers)
        body = json.dumps({"id": id_ or str(number)}).encode() if method == "POST" else b""
        return await self._client.send(Request(method, path, body, f"k{number}" if body else "", self._headers), 3)

    async def served(self, what):
        """Ask until it is: roles are given out when a system has just started."""
        async with asyncio.timeout(20):
            while not (await self.ask(what, "first")).ok:
                await asyncio.sleep(0.05)

    async def client(self, what, phase, done):
        while not done.is_set():
            answer = await self.ask(what)
            self.ended.setdefault((phase[-1], what), Counter())[answer.status] += 1


async def drama(tmp_path):
    async with Cluster(str(tmp_path), tmp_path / "state") as cluster:
        url, phase, done = cluster.region_url("eu"), ["all there"], asyncio.Event()
        key = json.loads((await HttpClient(url).send(Request("POST", "/keys", b"{}"), 3)).body)
        load = Load(url, key)
        for what in ("POST /notes", "POST /stock", "POST /shown"):
            await load.served(what)
        clients = [asyncio.create_task(load.client(what, phase, done)) for what in (*LOCAL, *LEASED)]
        await asyncio.sleep(DOWN_S)
        for node, name in ((cluster.witness, "no control plane"), ("us", "alone")):
            phase.append(f"losing {node}")
            await cluster.kill(node)
            await asyncio.sleep(DOWN_S)
            phase.append(name)
            await asyncio.sleep(DOWN_S)
        done.set()
        await asyncio.gather(*clients)
        return load.ended, await load.ask("GET /stock")


@pytest.mark.processes
def test_a_region_serves_all_that_needs_no_control_plane_when_that_is_gone_under_load(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    ended, stock = asyncio.run(drama(tmp_path))
    phases = {phase for phase, _ in ended}
    assert {"all there", "no control plane", "alone"} <= phases
    served = {what: {204 if what == "POST /letters" else 200} for what in LOCAL}
    for phase in phases:
        assert {what: set(ended[phase, what]) for what in LOCAL} == served
    assert [set(ended["all there", what]) for what in LEASED] == [{204}, {204}]
    for phase in ("no control plane", "alone"):
        assert all(set(ended[phase, what]) <= {503, 504} for what in LEASED)
    assert stock.headers["proa-degraded"] == "handler=last_known"
