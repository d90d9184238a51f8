"""Replays through the control API: by an operator, audited once, sent once."""

import asyncio
from dataclasses import dataclass

from test_tables_api import Town

from proa import App
from proa.control.audit import read_log
from proa.core.roles import Assignment
from support.inproc import system

ROLES = Assignment(1, "active-active", {"eu": "active", "us": "active"})


@dataclass
class Order:
    id: str


class Desk(Town):
    part = "replays"


def shop(told):
    app = App("shop", regions=["eu", "us"])
    placed = app.event("placed", Order)

    @placed.on
    async def mail(order: Order) -> None:
        told.append(order.id)

    @app.post("/orders", idempotent="optional")
    async def place(order: Order) -> None:
        await placed.emit(order)

    return app


def test_an_operator_replays_events_and_a_viewer_does_not(tmp_path):
    told = []

    async def main():
        async with system(shop(told), tmp_path) as s:
            for region in s.regions.values():
                region.assume(ROLES, s.clock.monotonic() + 60)
            desk = await Desk(s).hire()
            await s.request("eu", "POST", "/orders", Order("1"))
            await heard(told, 1)
            wanted = {"event": "placed", "to": "mail", "since": 0, "until": s.clock.now() + 1, "replay": "r"}
            assert (await desk.call("eu", "POST", "", wanted, who="viewer"))[0] == 403
            assert (await desk.call("eu", "POST", "", wanted | {"event": "plcd"}))[0] == 404
            dry = wanted | {"dry_run": True}
            assert await desk.call("eu", "POST", "", dry) == (200, {"seen": 1, "sent": 1, "next": ""})
            for _ in range(2):
                assert await desk.call("eu", "POST", "", wanted) == (200, {"seen": 1, "sent": 1, "next": ""})
            await heard(told, 2)
            await asyncio.sleep(0.1)
            assert told == ["1", "1"]
            entries = [dated.entry for dated in (await read_log(s.store))[0]]
            noted = [entry.detail for entry in entries if entry.action == "events to be replayed"]
            assert [(one["event"], one["to"], one["replay"]) for one in noted] == [("placed", "mail", "r")]

    asyncio.run(main())


async def heard(told, count):
    async with asyncio.timeout(10):
        while len(told) < count:
            await asyncio.sleep(0.01)
