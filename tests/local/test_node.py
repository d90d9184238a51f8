"""A node process around what it serves."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest

from proa.local import node, witness
from proa.runtime.config import Address, ClusterConfig, NodeConfig

CONFIG = ClusterConfig("app", "", "", {"witness": NodeConfig("witness", "witness", Address("127.0.0.1", 1))})


@asynccontextmanager
async def serve(_config: ClusterConfig, _name: str) -> AsyncGenerator[str]:
    yield "boot"


@pytest.fixture
def collector() -> Iterator[None]:
    """This process's garbage collector, put back afterwards."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
def test_what_start_up_made_is_set_aside_from_the_collector_before_a_node_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(witness, "serve", serve)
    assert asyncio.run(announced()) == ("witness", "boot", True, node.GC_THRESHOLD)


async def announced() -> tuple[str, str, bool, int]:
    """What a node says, with the state of the collector at that moment."""
    said: asyncio.Future[tuple[str, str, bool, int]] = asyncio.get_running_loop().create_future()

    def announce(name: str, boot: str) -> None:
        said.set_result((name, boot, gc.get_freeze_count() > 0, gc.get_threshold()[0]))

    serving = asyncio.create_task(node.run(CONFIG, "witness", announce))
    try:
        return await said
    finally:
        serving.cancel()
