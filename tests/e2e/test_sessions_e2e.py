"""Real processes, a second region 200 ms away: a session reads its own writes there, and after the loss of a region.

Without the token the other region answers from what it has, which is the past for as long as the commit travels.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from proa.chaos.faults import fault, inject
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.local.cluster import Cluster

pytestmark = pytest.mark.processes
RTT_MS = 200.0
WRITES = 5
APP = """
from dataclasses import dataclass
from proa import App, bounded

app = App("shop", regions=["eu-west-1", "us-east-1"], lease_s=1)

@dataclass
class Item:
    id: str
    left: int = 0

carts = app.table("carts", Item, key="id", mode="any")
stock = app.table("stock", Item, key="id", mode="strong")

@app.put("/carts/{id}")
async def keep(id: str, item: Item) -> Item:
    await carts.put(item)
    return item

@app.get("/carts/{id}")
async def cart(id: str) -> Item:
    return await carts.get(id)

@app.get("/carts/{id}/fresh")
async def fresh(id: str) -> Item:
    return await carts.get(id, level=bounded(0))

@app.put("/stock/{id}")
async def fill(id: str, item: Item) -> Item:
    await stock.put(item)
    return item

@app.get("/stock/{id}")
async def shown(id: str) -> Item:
    return await stock.get(id, level=bounded(60))
"""


class Visitor:
    """One client: where it asks, and the session that it carries."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.session = ""

    async def ask(self, url, method, path, item=None, *, carrying=True):
        client = HttpClient(url)
        headers = (("proa-session", self.session),) if carrying else ()
        body = json.dumps(item).encode() if item else b""
        answer = await client.send(Request(method, path, body, headers=headers), 5)
        client.close()
        if carrying:
            self.session = answer.headers.get("proa-session", self.session)
        return answer

    def other(self, answer):
        """The address of the region that did not give this answer."""
        gave = answer.headers["proa-region"]
        return self.cluster.region_url(next(name for name in self.cluster.regions if name != gave))


async def shop(visitor):
    """Write through the edge, read at once in the other region: with the session, and without."""
    with_session, without, fresh = [], [], []
    edge = visitor.cluster.edge_url
    for number in range(WRITES):
        path = f"/carts/c{number}"
        written = await visitor.ask(edge, "PUT", path, {"id": f"c{number}", "left": number})
        there = visitor.other(written)
        without.append((await visitor.ask(there, "GET", path, carrying=False)).status)
        with_session.append((await visitor.ask(there, "GET", path)).status)
        written = await visitor.ask(edge, "PUT", f"/carts/f{number}", {"id": f"f{number}"})
        fresh.append((await visitor.ask(visitor.other(written), "GET", f"/carts/f{number}/fresh")).status)
    return with_session, without, fresh


async def restock(visitor):
    """Two strong writes; the other region has a copy of the first."""
    edge = visitor.cluster.edge_url
    written = await visitor.ask(edge, "PUT", "/stock/boat", {"id": "boat", "left": 1})
    there = visitor.other(written)
    await visitor.ask(there, "GET", "/stock/boat", carrying=False)
    await visitor.ask(visitor.cluster.region_url(written.headers["proa-region"]), "PUT", "/stock/boat", {"id": "boat"})
    answers = [await visitor.ask(there, "GET", "/stock/boat", carrying=carrying) for carrying in (False, True)]
    return [json.loads(answer.body)["left"] for answer in answers]


async def move_on(visitor):
    """The region that has just confirmed a read goes away; the edge leads to the other one."""
    edge = visitor.cluster.edge_url
    written = await visitor.ask(edge, "PUT", "/carts/last", {"id": "last", "left": 9})
    await visitor.ask(visitor.other(written), "GET", "/carts/last")
    await inject(visitor.cluster, fault("kill", written.headers["proa-region"]))
    answer = await visitor.ask(edge, "GET", "/carts/last")
    return written.headers["proa-region"], answer


async def scenario(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    async with Cluster(str(tmp_path / "app.py"), tmp_path / "state", rtt_ms=RTT_MS, relay=True) as cluster:
        visitor = Visitor(cluster)
        return await shop(visitor), await restock(visitor), await move_on(visitor)


def test_a_session_reads_its_writes_in_a_distant_region_and_after_a_loss(tmp_path):
    (with_session, without, fresh), restocked, (lost, answer) = asyncio.run(scenario(tmp_path))
    assert with_session == [200] * WRITES
    assert 404 in without, "else nothing was shown: the commit was there before the read"
    assert fresh == [200] * WRITES
    assert restocked == [1, 0], "a copy of a minute, unless the session wrote since"
    assert (answer.status, json.loads(answer.body)["left"]) == (200, 9)
    assert answer.headers["proa-region"] != lost
