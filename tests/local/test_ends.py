"""Confirming a region's end to the control plane."""

import asyncio

import msgspec

from proa.core.replicate.journal import Write
from proa.core.roles import NODES, Node
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.local.ends import confirm_end
from proa.ports import Batch
from proa.runtime.clock import SystemClock


async def inline(work):
    work()


async def put(store, node):
    row = (await store.read([(NODES, node.name)]))[0]
    write = Write(NODES, node.name, msgspec.msgpack.encode(node), "strong")
    await store.commit(Batch("", {(NODES, node.name): row.version if row else 0}, [write]))


async def stored(store, name):
    row = (await store.read([(NODES, name)]))[0]
    return msgspec.msgpack.decode(row.value, type=Node)


def scenario(tmp_path, check):
    async def main():
        store = SqliteGlobalStore(tmp_path / "global.sqlite", SystemClock(), inline)
        await check(store)
        await store.close()

    asyncio.run(main())


def node(boot):
    return Node(name="eu-west-1", kind="region", boot=boot, counter=7, lease_s=2.0)


def test_the_boot_that_was_seen_to_end_is_marked(tmp_path):
    async def check(store):
        await put(store, node("b1"))
        assert await confirm_end(store, "eu-west-1", "b1") is True
        assert await stored(store, "eu-west-1") == msgspec.structs.replace(node("b1"), ended=True)

    scenario(tmp_path, check)


def test_a_later_boot_is_left_alone(tmp_path):
    async def check(store):
        await put(store, node("b2"))
        assert await confirm_end(store, "eu-west-1", "b1") is False
        assert await stored(store, "eu-west-1") == node("b2")

    scenario(tmp_path, check)


def test_a_region_that_never_beat_needs_no_confirmation(tmp_path):
    async def check(store):
        assert await confirm_end(store, "eu-west-1", "b1") is False

    scenario(tmp_path, check)
