"""What units promise each other: points read are serializable, also in the histories that weaker levels let through.

Each history is forced: handlers meet at gates, so that all of them have read before any of them commits.
"""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App
from support.inproc import system


@dataclass
class Doctor:
    id: str
    ward: str
    on_call: int


@dataclass
class Seen:
    id: str
    x: int
    y: int


class Gate:
    """Opens for good once so many have come; those of a re-run pass."""

    def __init__(self, parties):
        self.left = parties
        self.opened = asyncio.Event()

    async def __call__(self):
        self.left -= 1
        if self.left <= 0:
            self.opened.set()
        await self.opened.wait()


def hospital(mode):
    app = App("hospital", regions=["eu"])
    doctors = app.table("doctors", Doctor, key="id", mode=mode, indexes={"by_ward": "ward"})
    seen = app.table("seen", Seen, key="id", mode=mode)
    app.gate = None
    unit = "global" if mode == "strong" else "regional"

    @app.post("/doctors", unit=unit)
    async def hire(doctor: Doctor) -> None:
        await doctors.put(doctor)

    @app.post("/leave/{id}", unit=unit)
    async def leave(id: str, how: str) -> bool:
        """Go off call if another one stays; the others are found by their keys or by an index."""
        if how == "points":
            ward = [await doctors.get(name) for name in ("x", "y")]
        else:
            ward = (await doctors.by("by_ward").query("a")).rows
        await app.gate()
        if sum(doctor.on_call for doctor in ward) < 2:
            return False
        me = next(doctor for doctor in ward if doctor.id == id)
        await doctors.put(Doctor(id, me.ward, 0))
        return True

    @app.post("/set/{id}", unit=unit)
    async def set_one(id: str) -> None:
        await doctors.put(Doctor(id, "a", 1))

    @app.post("/look/{first}/{second}", unit=unit)
    async def look(first: str, second: str) -> Seen:
        """Read two rows, one before and one after others commit, and keep what was seen."""
        found = {first: (await doctors.get(first)).on_call}
        await app.gate()
        found[second] = (await doctors.get(second)).on_call
        row = Seen(f"{first}{second}", found["x"], found["y"])
        await seen.put(row)
        return row

    @app.get("/both")
    async def both() -> list[int]:
        return [row.on_call if row else 0 for row in await doctors.get_many(["x", "y"])]

    return app


def run(folder, mode, scenario):
    async def main():
        async with system(hospital(mode), folder) as s:
            for name in ("x", "y"):
                assert (await post(s, "/doctors", {"id": name, "ward": "a", "on_call": 0})).status == 204
            await scenario(s)

    asyncio.run(main())


async def post(s, path, body=None, query=""):
    return await s.request("eu", "POST", path, body, query=query)


def value(answer):
    return msgspec.json.decode(answer.body)


@pytest.mark.parametrize("mode", ["any", "strong"])
@pytest.mark.parametrize("how", ["points", "index"])
def test_write_skew_is_impossible_between_rows_that_were_read_or_returned_by_a_query(tmp_path, mode, how):
    async def scenario(s):
        await asyncio.gather(post(s, "/set/x"), post(s, "/set/y"))
        s.app.gate = Gate(2)
        left = await asyncio.gather(*(post(s, f"/leave/{name}", query=f"how={how}") for name in ("x", "y")))
        assert sorted(map(value, left)) == [False, True]
        assert sum(value(await s.request("eu", "GET", "/both"))) == 1

    run(tmp_path, mode, scenario)


@pytest.mark.parametrize("mode", ["any", "strong"])
def test_two_units_never_see_two_independent_writes_in_different_orders(tmp_path, mode):
    """The long fork: one reads x before and y after the writes, the other y before and x after."""

    async def scenario(s):
        s.app.gate = Gate(3)
        looking = [asyncio.create_task(post(s, path)) for path in ("/look/x/y", "/look/y/x")]
        while s.app.gate.left > 1:
            await asyncio.sleep(0)
        await asyncio.gather(post(s, "/set/x"), post(s, "/set/y"))
        await s.app.gate()
        seen = [(row["x"], row["y"]) for row in map(value, await asyncio.gather(*looking))]
        assert set(seen) != {(0, 1), (1, 0)}
        assert seen == [(1, 1), (1, 1)]

    run(tmp_path, mode, scenario)
