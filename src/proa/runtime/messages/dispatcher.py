"""The dispatcher: tells each queue of a region what arrives and what it acts for.

Commits wake it: it reads the journal of every origin for rows of messages, its own region's and those that others send
here. A change of roles wakes it, too: then it takes up the homes that became its own, and lets go of the others. What a
commit does not tell (a suffix set aside, a snapshot merged, a row mended) is found by looking again at the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from proa.core.queue import MESSAGES, Spot, spot
from proa.core.replicate.journal import Write
from proa.core.replicate.stamp import Versions
from proa.core.residency import table_of
from proa.declare.queues import Queue
from proa.errors import QueueFull
from proa.runtime.errands import Ends
from proa.runtime.messages.consumer import Consuming
from proa.runtime.messages.intake import Intake

ENTRIES = 500
IDLE_S = 5.0
"""Commits and changes of roles wake it; after this it looks whether time alone changed a right."""
LOOK_AGAIN_S = 60.0
"""How often rows are looked at again that no commit told of."""
_MARK = MESSAGES.encode()


class Written(msgspec.Struct, frozen=True, array_like=True):
    """What a journal entry says that it wrote; the rest of it is not decoded."""

    origin: str
    seq: int
    stamp: int
    epoch: int
    deps: msgspec.Raw
    writes: list[Write]


_decode = msgspec.msgpack.Decoder(Written).decode


class Dispatcher:
    """The queues of one region. `unit.Outbound` for its units."""

    def __init__(self, queues: Iterable[Queue[Any]], regions: Sequence[str], ends: Ends) -> None:
        self._ends = ends
        self._regions = regions
        self.intakes: Mapping[str, Intake] = {queue.name: Intake(queue, ends) for queue in queues}
        self._consuming = [
            Consuming(intake.queue.declared, intake, ends) for intake in self.intakes.values() if intake.queue.declared
        ]
        self._read: Versions = {}
        self._epoch = 0
        self._looked_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to hand out messages."""
        loop = asyncio.get_running_loop()
        self._read = self._ends.store.cursors()
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._follow())]
        for consuming in self._consuming:
            consuming.start()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for consuming in self._consuming:
            consuming.stop()
        for intake in self.intakes.values():
            intake.stop()

    # What arrives.

    async def _listen(self) -> None:
        store = self._ends.store
        while True:
            while entries := await store.journal(self._positions(), ENTRIES):
                for entry in entries:
                    self._heard(entry)
            await store.changed(self._read, IDLE_S)

    def _positions(self) -> Versions:
        """From where to read on of each origin; what is compacted already is passed over."""
        floors = self._ends.store.floors()
        for origin in self._ends.store.cursors():
            self._read[origin] = max(self._read.get(origin, 0), floors.get(origin, 0))
        return self._read

    def _heard(self, entry: bytes) -> None:
        written = _decode(entry)
        self._read[written.origin] = written.seq
        if _MARK in entry:
            for write in written.writes:
                if table_of(write.table) == MESSAGES:
                    self._told(spot(write.key), write.value)

    def _told(self, where: Spot, value: bytes | None) -> None:
        if intake := self.intakes.get(where.queue):
            (intake.gone if value is None else intake.arrived)(where)

    # What this region acts for.

    async def _follow(self) -> None:
        while True:
            await self.follow()
            await self._ends.authority.changed(IDLE_S)

    async def follow(self) -> None:
        """Take up the homes that became this region's, and let go of those that are no longer."""
        clock, authority = self._ends.clock, self._ends.authority
        for intake in self.intakes.values():
            homes = [region for region in self._regions if self._ends.may(intake.queue.place(region))]
            if homes != list(intake.homes):
                await intake.follow(homes, clock.now())
        now = clock.monotonic()
        if authority.epoch != self._epoch or now - self._looked_at > LOOK_AGAIN_S:
            self._epoch, self._looked_at = authority.epoch, now
            for intake in self.intakes.values():
                await intake.reload()

    # What units ask before they send.

    def admit(self, queue: Queue[Any], where: Spot) -> None:
        backlog = self.intakes[queue.name].homes.get(where.home)
        if queue.depth_max is not None and backlog is not None and backlog.depth >= queue.depth_max:
            raise QueueFull(
                f"queue {queue.name} holds {backlog.depth:,} messages in {where.home}, as many as it may",
                headers={"retry-after": "1"},
            )
