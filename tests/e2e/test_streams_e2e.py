"""Change streams of real processes by the command line: what fails is skipped, a projection is built anew."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing

import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.cli.main import main
from proa.cli.output import FAILED, OK
from proa.local.cluster import Cluster

EU, US = "eu-west-1", "us-east-1"
APP = """
from dataclasses import dataclass

from proa import App, Change

app = App("shop", regions=["eu-west-1", "us-east-1"], lease_s=2)


@dataclass
class Order:
    id: str
    customer: str


@dataclass
class Total:
    region: str
    orders: int = 0


orders = app.table("orders", Order, key="id")
totals = app.table("totals", Total, key="region")


@app.put("/orders/{id}")
async def write(id: str, body: Order) -> None:
    await orders.put(body)


@app.get("/totals/{region}")
async def read(region: str) -> Total:
    return await totals.get(region, Total(region))


@orders.changes(name="totals")
async def count(change: Change[Order]) -> None:
    if not change.deleted:
        if not change.row.customer:
            raise KeyError("customer")
        total = await totals.get(change.region, Total(change.region))
        await totals.put(Total(change.region, total.orders + 1))


@count.reset
async def clear(region: str) -> None:
    await totals.delete(region)
"""
pytestmark = pytest.mark.processes


class Shell:
    """The command line beside a running system, as one operator."""

    def __init__(self, folder, capsys):
        self._app, self._state, self._capsys = str(folder / "shop"), str(folder / "state"), capsys
        self._token = ""

    async def proa(self, *words):
        """A command's exit code and what it printed as JSON."""
        self._capsys.readouterr()
        token = ["--token", self._token] if self._token else []
        code = await asyncio.to_thread(main, [*words, "--state-dir", self._state, *token, "--json"])
        return code, json.loads(self._capsys.readouterr().out)

    async def sign_on(self):
        _, said = await self.proa("operator", "add", "ada")
        self._token = said["token"]

    async def streams(self):
        """The exit code of `proa table streams`, and the failure of each origin."""
        code, said = await self.proa("table", "streams", self._app)
        return code, {one["origin"]: one["failing"] for one in said["streams"] if not one["lag"] or one["failing"]}

    async def until_streams(self, code, failing):
        deadline = time.monotonic() + 40
        while (found := await self.streams()) != (code, failing):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.2)


async def put(client, name, customer):
    body = json.dumps({"id": name, "customer": customer}).encode()
    assert (await client.send(Request("PUT", f"/orders/{name}", body), 10)).status < 300


async def total(client, region):
    return json.loads((await client.send(Request("GET", f"/totals/{region}"), 10)).body)["orders"]


def test_a_stream_is_watched_skipped_and_rebuilt_from_the_command_line(tmp_path, capsys):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(APP)

    async def story():
        async with Cluster(str(tmp_path / "shop"), tmp_path / "state") as cluster:
            shell = Shell(tmp_path, capsys)
            await shell.sign_on()
            with closing(HttpClient(cluster.region_url(EU))) as client:
                for name in ("a", "b"):
                    await put(client, name, "ada")
                await shell.until_streams(OK, {f"{EU}/1": "", f"{US}/1": ""})
                assert await total(client, EU) == 2
                await put(client, "bad", "")
                await put(client, "c", "ada")
                await shell.until_streams(FAILED, {f"{EU}/1": "KeyError", f"{US}/1": ""})
                skip = ("--skip", "totals", "--origin", f"{EU}/1", "--why", "no customer")
                code, said = await shell.proa("table", "streams", str(tmp_path / "shop"), *skip)
                assert (code, said) == (OK, {"skipped": ["bad"]})
                await shell.until_streams(OK, {f"{EU}/1": "", f"{US}/1": ""})
                assert await total(client, EU) == 3
                await put(client, "bad", "ada")
                code, said = await shell.proa("table", "rebuild", str(tmp_path / "shop"), "totals", "--why", "mended")
                assert (code, said["begun"], said["left"]) == (OK, {EU: [EU], US: [US]}, [])
                await shell.until_streams(FAILED, {f"{EU}/1": "KeyError", f"{US}/1": ""})
                await shell.proa("table", "streams", str(tmp_path / "shop"), *skip)
                await shell.until_streams(OK, {f"{EU}/1": "", f"{US}/1": ""})
                assert await total(client, EU) == 4

    asyncio.run(story())
