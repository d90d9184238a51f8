"""An app whose routes read at the level that their path names, for the tests of levels and sessions."""

import asyncio
from dataclasses import dataclass

import msgspec

from proa import App, bounded, strong
from proa.core.replicate.journal import Write
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.ports import Batch
from support.inproc import system

REGIONS = ["eu", "us", "ap"]
UNITS = {"strong": "global", "home": "home"}
LEVELS = {"strong": strong, "none": None}


@dataclass
class Item:
    id: str
    left: int = 0
    kind: str = "k"


def level_of(name):
    return LEVELS[name] if name in LEVELS else bounded(float(name))


def shop(topology="active-active", **options):
    app = App("shop", regions=REGIONS, topology=topology, **options)
    tables = {"any": app.table("items", Item, key="id", mode="any", indexes={"by_kind": "kind"})}
    tables["strong"] = app.table("stock", Item, key="id", mode="strong", indexes={"by_kind": "kind"})
    if topology == "active-passive":
        tables["active"] = app.table("jobs", Item, key="id", mode="active")
    else:
        tables["home"] = app.table("profiles", Item, key="id", mode="home", indexes={"by_kind": "kind"})

    for mode, table in tables.items():
        _routes(app, mode, table)
    return app


def _routes(app, mode, table):
    @app.get(f"/{mode}/{{id}}/{{level}}", timeout_s=1)
    async def get(id: str, level: str) -> Item:
        return await table.get(id, Item(id, -1), level=level_of(level))

    @app.get(f"/{mode}-many/{{level}}", timeout_s=1)
    async def many(level: str) -> list[int]:
        return [row.left if row else -1 for row in await table.get_many(["a", "b"], level=level_of(level))]

    @app.put(f"/{mode}", unit=UNITS.get(mode, "regional"), timeout_s=1)
    async def put(item: Item) -> None:
        await table.put(item)

    @app.delete(f"/{mode}/{{id}}", unit=UNITS.get(mode, "regional"), timeout_s=1)
    async def remove(id: str) -> None:
        await table.delete(id)

    @app.post(f"/{mode}/{{id}}/take/{{level}}", unit=UNITS.get(mode, "regional"), timeout_s=1)
    async def take(id: str, level: str) -> Item:
        """Read at a level, then write what follows from it."""
        item = await table.get(id, level=level_of(level))
        item.left -= 1
        await table.put(item)
        return item

    if mode != "active":

        @app.get(f"/{mode}-query/{{level}}", timeout_s=1)
        async def query(level: str) -> list[str]:
            page = await table.by("by_kind").query("k", level=level_of(level))
            return [row.id for row in page.rows]


def value(answer):
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body)


def code(answer):
    return answer.status, msgspec.json.decode(answer.body)["code"]


def run(tmp_path, scenario, app=None):
    async def main():
        async with system(app or shop(), tmp_path) as running:
            await scenario(running)

    asyncio.run(main())


def witness_away(running, *regions):
    running.links.cut |= {(region, "witness") for region in regions or REGIONS}


def apart(running, one, other):
    running.links.cut |= {(one, other), (other, one)}


def without(region, epoch=2, cuts=()):
    """A plan went on without this region."""
    roles = {name: "down" if name == region else "active" for name in REGIONS}
    return Assignment(epoch, "active-active", roles, revoked={region: epoch - 1}, cuts=cuts)


async def assign(running, assignment):
    """Let the global store say so."""
    write = Write(ROLES, ROLES_KEY, msgspec.msgpack.encode(assignment), "strong")
    await running.store.commit(Batch("roles", {}, [write]))


def leading(region, epoch=1, cuts=()):
    """One region is active."""
    roles = {name: "active" if name == region else "standby" for name in REGIONS}
    return Assignment(epoch, "active-passive", roles, cuts=cuts)
