"""Shared breakers: where one opens, the same dependency's breakers in other regions open too.

What is shared is a row a region and dependency, in a table of mode `any` that replicates as all others do: no region
waits for another one, and without a network each has its own breaker still. A row says for how long a breaker is open;
that time counts from when it is heard, since two regions' clocks are never compared. Rows that were there when the
region started say nothing about now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from proa.bell import Bell
from proa.core.policy.breaker import BREAKERS, Circuit
from proa.core.replicate.journal import Key, Write
from proa.errors import ProaError
from proa.ports import Batch, Clock, Entropy, RegionStore
from proa.runtime.authority import Authority
from proa.runtime.calls import BreakerOpened

LOOK_S = 0.2
"""How often rows are looked at, at most, where the store changes all the time."""
QUIET_S = 3600.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(float).decode


class SharedBreakers:
    """Tells other regions of this one's breakers, and this one's breakers of other regions'."""

    def __init__(
        self,
        region: str,
        regions: Sequence[str],
        circuits: Mapping[str, Circuit],
        store: RegionStore,
        authority: Authority,
        ends: tuple[Clock, Entropy],
    ) -> None:
        self._region = region
        self._peers = [name for name in regions if name != region]
        self._circuits = circuits
        self._store = store
        self._authority = authority
        self._clock, self._entropy = ends
        self._opened: set[str] = set()
        self._news = Bell()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tell and to listen."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tells()), loop.create_task(self._listens())]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def on_event(self, event: msgspec.Struct) -> None:
        """Take note of a breaker that opened for reasons of its own."""
        if isinstance(event, BreakerOpened) and event.dependency in self._circuits and event.cause != "another region":
            self._opened.add(event.dependency)
            self._news.ring()

    async def _tells(self) -> None:
        while True:
            if not self._opened:
                await self._news.wait(QUIET_S)
            opened, self._opened = sorted(self._opened), set()
            if opened:
                await self._write(opened)

    async def _write(self, dependencies: list[str]) -> None:
        """Commit the rows; where that fails the other regions find out by themselves."""
        writes = [
            Write(BREAKERS, f"{name}/{self._region}", _encode(self._circuits[name].breaker.open_s))
            for name in dependencies
        ]
        try:
            await self._store.commit(Batch(self._entropy.token(), {}, writes, epoch=self._authority.epoch))
        except ProaError:
            return

    async def _listens(self) -> None:
        known = await self._rows()
        while True:
            await self._store.changed(self._store.cursors(), QUIET_S)
            rows = await self._rows()
            for key, (version, open_s) in rows.items():
                if known.get(key, (0, 0.0))[0] != version:
                    self._heard(key[1].rpartition("/")[0], open_s)
            known = rows
            await self._clock.sleep(LOOK_S)

    def _heard(self, dependency: str, open_s: float) -> None:
        self._circuits[dependency].hear(open_s, self._clock.monotonic())

    async def _rows(self) -> dict[Key, tuple[int, float]]:
        """The other regions' rows: their version here, and for how long their breaker has opened."""
        keys = [(BREAKERS, f"{name}/{peer}") for name in self._circuits for peer in self._peers]
        rows = await self._store.read(keys)
        return {
            key: (row.version, _decode(row.value)) for key, row in zip(keys, rows, strict=True) if row and row.value
        }
