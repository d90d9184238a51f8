"""Slots: a schedule as one region's, or as everybody's, with its row as it is known here.

Whatever changes the row names the version that it knows, and the epoch; so what was overtaken changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from proa.core.home import Place
from proa.core.replicate.journal import Row, Write
from proa.core.schedule import Run, Standing, Step, step
from proa.declare.schedules import Schedule, Tick
from proa.ports import Batch, Result
from proa.runtime.errands import Ends

_decode = msgspec.msgpack.Decoder(Standing).decode
_encode = msgspec.msgpack.Encoder().encode
Change = Callable[[Standing], Standing]


class Slot:
    """A schedule as one region's, or as everybody's: its row of this version, and how the next tick fares.

    `since_ms` is when this region began to act for it: a tick that was due before may have ended the process that had
    it. `again_ms` is when one that failed runs again.
    """

    __slots__ = (
        "again_ms",
        "at_ms",
        "attempts",
        "busy",
        "due_ms",
        "failing",
        "region",
        "schedule",
        "since_ms",
        "standing",
        "version",
    )

    def __init__(self, schedule: Schedule, region: str) -> None:
        self.schedule = schedule
        self.region = region
        self.standing = Standing(0)
        self.version = 0
        self.since_ms = 0
        self.at_ms: int | None = None
        self.busy = False
        self.forget()

    def forget(self, due_ms: int = 0) -> None:
        """The next tick is another one."""
        self.due_ms = due_ms
        self.attempts = 0
        self.failing = ""
        self.again_ms = 0

    @property
    def place(self) -> Place:
        return self.schedule.place(self.region)

    @property
    def name(self) -> tuple[str, str]:
        return self.schedule.name, self.region

    def took(self, row: Row | None) -> None:
        """The row as the store has it."""
        self.version = row.version if row else 0
        if row and row.value is not None:
            self.standing = _decode(row.value)

    def written(self, standing: Standing) -> Write:
        """The row as it is to be."""
        table, key = self.schedule.row(self.region)
        return Write(table, key, _encode(standing), "home")

    def tick(self, run: Run) -> Tick:
        """The tick as its handler sees it."""
        name, attempt = self.schedule.name, max(self.attempts, self.standing.began - 1) + 1
        return Tick(name, run.due_ms / 1000, attempt, run.skipped, run.asked, self.region)

    def step(self, now_ms: int) -> Step:
        """What is to be done next."""
        one = self.schedule
        return step(one.timing, self.standing, one.policy, now_ms - one.offset_ms(self.region))


class Rows:
    """The rows of slots in a region's store."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends

    async def read(self, slots: Sequence[Slot]) -> None:
        rows = await self._ends.store.read([slot.schedule.row(slot.region) for slot in slots]) if slots else []
        for slot, row in zip(slots, rows, strict=True):
            slot.took(row)

    async def write(self, slots: Sequence[Slot], change: Change) -> Result:
        """Change rows, where they are still as they are known."""
        batch = Batch(self._ends.unit_id(), {}, [], places=tuple(slot.place for slot in slots))
        batch.reads = {slot.schedule.row(slot.region): slot.version for slot in slots}
        batch.writes = [slot.written(change(slot.standing)) for slot in slots]
        batch.epoch = self._ends.authority.epoch
        return await self._ends.store.commit(batch)
