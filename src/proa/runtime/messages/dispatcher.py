"""The dispatcher: tells each queue of a region what arrives, what it acts for, and whether it is paused.

Commits wake it: those of its own region it is told as they become durable, those of others it reads in the journal. A
change of roles wakes it, too: then it takes up the homes that became its own, and lets go of the others. What a commit
does not tell (a suffix set aside, a snapshot merged, a row mended) is found by looking again at the rows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from proa.core.queue import FETCHED, MESSAGES, SEPARATOR, SETTINGS, Setting
from proa.core.replicate.journal import Row, Write
from proa.core.replicate.stamp import Versions, covers
from proa.declare.queues import Queue
from proa.errors import QueueFull
from proa.ports import Method, Span
from proa.runtime.errands import Ends
from proa.runtime.events import QueuePaused
from proa.runtime.messages.consumer import Consuming
from proa.runtime.messages.dead import DeadLetters
from proa.runtime.messages.figures import Alarms
from proa.runtime.messages.intake import Intake
from proa.runtime.messages.relay import Relay

ENTRIES = 500
IDLE_S = 5.0
"""Commits and changes of roles wake it; after this it looks whether time alone changed a right."""
LOOK_AGAIN_S = 60.0
"""How often rows are looked at again that no commit told of."""
ALARMS_EVERY_S = 1.0
_OF_QUEUES = re.compile(f"{MESSAGES}|{SETTINGS}".encode())


class Written(msgspec.Struct, frozen=True, array_like=True):
    """What a journal entry says that it wrote; the rest of it is not decoded."""

    origin: str
    seq: int
    stamp: int
    epoch: int
    deps: msgspec.Raw
    writes: list[Write]


_decode = msgspec.msgpack.Decoder(Written).decode
_decode_setting = msgspec.msgpack.Decoder(Setting).decode
_encode = msgspec.msgpack.Encoder().encode


class Dispatcher:
    """The queues of one region. `unit.Outbound` for its units."""

    def __init__(self, queues: Iterable[Queue[Any]], regions: Sequence[str], ends: Ends, relay: Relay) -> None:
        self._ends = ends
        self._relay = relay
        self._regions = regions
        self.queues = {queue.name: queue for queue in queues}
        self.intakes: Mapping[str, Intake] = {name: Intake(queue, ends) for name, queue in self.queues.items()}
        self.alarms = Alarms(self.intakes.values(), ends.clock, ends.telemetry)
        self.dead = DeadLetters(self.queues, ends, self.depth)
        self._consuming = [
            Consuming(intake.queue.declared, intake, ends) for intake in self.intakes.values() if intake.queue.declared
        ]
        self._hears: dict[str, Callable[[Write], None]] = {queue.table: self._arrived for queue in self.queues.values()}
        self._hears |= {SETTINGS: self._set, FETCHED: self._fetched_elsewhere}
        self._read: Versions = {}
        self._epoch = 0
        self._looked_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to hand out messages."""
        loop = asyncio.get_running_loop()
        self._read = self._ends.store.cursors()
        watching: list[Coroutine[Any, Any, None]] = [self._watch()] if self.alarms else []
        self._tasks = [loop.create_task(work) for work in (self._listen(), self._follow(), *watching)]
        for consuming in self._consuming:
            consuming.start()
        self._relay.start()

    def stop(self) -> None:
        self._relay.stop()
        for task in self._tasks:
            task.cancel()
        self.dead.stop()
        for consuming in self._consuming:
            consuming.stop()
        for intake in self.intakes.values():
            intake.stop()

    def methods(self) -> dict[str, Method]:
        """The link methods that other regions call."""
        return self._relay.methods()

    def look_again(self) -> None:
        """Look at once for messages that nobody told of."""
        self._relay.look()

    # What arrives.

    async def _listen(self) -> None:
        store = self._ends.store
        await self._look_at_settings()
        while True:
            for origin, seq in list(self._positions().items()):
                await self._hear(origin, seq)
            await store.changed(self._read, IDLE_S)  # at once, where there is more

    def _positions(self) -> Versions:
        """From where to read on of each origin; what is compacted already is passed over, what was told, too."""
        store = self._ends.store
        cursors, floors = store.cursors(), store.floors()
        for origin in cursors:
            self._read[origin] = max(self._read.get(origin, 0), floors.get(origin, 0))
        self._read[store.origin] = cursors.get(store.origin, 0)
        return self._read

    async def _hear(self, origin: str, after: int) -> None:
        """Read on in the journal of one origin. What a damaged entry would have told is soon found in the rows."""
        for seq, entry in enumerate(await self._ends.store.journal({origin: after}, ENTRIES), after + 1):
            self._read[origin] = seq
            if _OF_QUEUES.search(entry):
                try:
                    self.told(_decode(entry).writes)
                except ValueError:
                    await self._ends.store.repairs.torn([(origin, seq)])  # so it is named, and fetched from a peer
                    self._looked_at = -inf

    def told(self, writes: Iterable[Write]) -> None:
        """Rows were written. That one was removed is found when it is read: the commit that did so may be parked."""
        for write in writes:
            if write.value is not None and (hear := self._hears.get(write.table)):
                hear(write)

    def _arrived(self, write: Write) -> None:
        queue, home, band, _ = write.key.split(SEPARATOR, 3)
        if intake := self.intakes.get(queue):
            intake.arrived(write.key, home, band)

    def _fetched_elsewhere(self, write: Write) -> None:
        """Another region fetched a message of which each region has its own: one for this region may be there, too."""
        home, name, *_ = write.key.split(SEPARATOR)
        if home != self._ends.region and (queue := self.queues.get(name)) and queue.everywhere:
            self._relay.look()

    # What this region acts for.

    async def _follow(self) -> None:
        authority = self._ends.authority
        while True:
            since = authority.changes
            await self.follow()
            await authority.changed(since, IDLE_S)

    async def follow(self) -> None:
        """Take up the homes that became this region's, and let go of those that are no longer."""
        clock, authority = self._ends.clock, self._ends.authority
        for intake in self.intakes.values():
            homes = [region for region in self._regions if self._ends.may(intake.queue.place(region))]
            if set(homes) != set(intake.homes):
                await intake.follow(homes, clock.now())
        now = clock.monotonic()
        if authority.epoch != self._epoch or now - self._looked_at > LOOK_AGAIN_S:
            self._epoch, self._looked_at = authority.epoch, now
            self._relay.look()
            await self._reload()

    async def _reload(self) -> None:
        for intake in self.intakes.values():
            await intake.reload()
        await self._look_at_settings()

    async def _watch(self) -> None:
        while True:
            self.alarms.look()
            await self._ends.clock.sleep(ALARMS_EVERY_S)

    # What people set: a row that any region writes, so that it counts everywhere, and also while one is away.

    async def pause(self, queue: str, why: str, by: str) -> None:
        """Hand out nothing more of a queue, in any region, for this reason; where it is empty, go on.

        Raises:
            NotFound: there is no such queue.
            Unavailable: the region may commit nothing at the moment.
        """
        self.dead.queue(queue)
        setting = Setting(why, by, self._ends.clock.now())
        await self._ends.write([Write(SETTINGS, queue, _encode(setting))])
        self._ends.telemetry.emit(QueuePaused(queue, by, why))

    async def _look_at_settings(self) -> None:
        for row in await self._ends.store.query(Span(SETTINGS, ("", ""), ("", "~"), len(self.queues))):
            self._set(row)

    def _set(self, row: Row | Write) -> None:
        if (intake := self.intakes.get(row.key)) and row.value is not None:
            intake.pause(_decode_setting(row.value).paused)

    def acts_for(self, home: str) -> bool:
        """Whether this region hands out all messages of a home, of every queue that it may at this moment."""
        return all(intake.knows(home) for intake in self.intakes.values() if self._ends.may(intake.queue.place(home)))

    def due(self, within_s: float) -> str:
        """What is still to be done of what is due within so many seconds, in a few words; empty where nothing is."""
        if not covers(self._read, self._ends.store.cursors()) or not all(map(self.acts_for, self._regions)):
            return "commits or homes to look at"
        before = self._ends.clock.now() + within_s
        for name, intake in self.intakes.items():
            for home, backlog in intake.homes.items():
                at = backlog.due_at()
                if intake.queue.declared and not intake.paused and (backlog.out or (at is not None and at <= before)):
                    return f"messages of queue {name} of {home}"
        return "messages to fetch from the global store" if self._relay.busy else ""

    # What units say and ask.

    def left(self) -> None:
        self._relay.left()

    def admit(self, queue: Queue[Any], home: str) -> None:
        if queue.depth_max is not None and (depth := self.depth(queue.name, home)) >= queue.depth_max:
            raise QueueFull(
                f"queue {queue.name} holds {depth:,} messages in {home}, as many as it may",
                headers={"retry-after": f"{self._retry_after_s(queue, depth)}"},
            )

    def depth_of_all(self) -> int:
        """How many messages are not dealt with, of all queues that have a consumer."""
        consumed = [intake for intake in self.intakes.values() if intake.queue.declared]
        return sum(backlog.depth for intake in consumed for backlog in intake.homes.values())

    def depth(self, queue: str, home: str) -> int:
        """How many messages wait for a home, as far as this region knows: nothing, where it does not act for it."""
        backlog = self.intakes[queue].homes.get(home)
        return backlog.depth if backlog else 0

    def _retry_after_s(self, queue: Queue[Any], depth: int) -> int:
        """When a tenth of the queue will be handled, as fast as it goes now."""
        per_s = self.intakes[queue.name].handled.per_s(self._ends.clock.monotonic())
        return max(1, min(60, round(depth / 10 / per_s))) if per_s > 0 else 60
