"""The scheduler of one region: one heap of times for all schedules, and a task only for a tick that runs.

What a schedule has done is a row of mode `home`, written in the commit of what its handler wrote and only where it
still is as it was read. So the region that acts for the schedule runs it, two never do under rights that overlap, and
who takes over has first applied what the other did. What a lost region still commits later is parked with its row.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from itertools import count

import msgspec

from proa.bell import Bell
from proa.core.home import Tenure
from proa.core.queue import milliseconds
from proa.core.schedule import Pass, Run, Wait, asked, born, paused, resumed
from proa.declare.schedules import Schedule
from proa.errors import Contended, NotFound, NotHome
from proa.ports import Committed, Conflict
from proa.runtime.errands import RACES_MAX, Ends
from proa.runtime.events import SchedulesUnknown
from proa.runtime.schedules.slot import Change, Rows, Slot
from proa.runtime.schedules.ticking import AGAIN_S, Ticking

IDLE_S = 5.0
"""The clock may be put forward: so often it is looked at again, whatever is due next."""
AT_ONCE = 100
"""So many ticks run at once in a region; others wait for them."""


class ScheduleStatus(msgspec.Struct, frozen=True):
    """Where a schedule stands that this region acts for; times are in seconds since 1970.

    `of` is the region whose ticks these are, empty where there is one for all. `next` is None while it is paused, or
    nobody knows. `failing` is why the tick that is due failed last, `attempts` how often it did.
    """

    schedule: str
    of: str
    timing: str
    next: float | None
    last: float | None
    paused: bool
    fired: int
    failed: int
    skipped: int
    error: str = ""
    failing: str = ""
    attempts: int = 0


class Scheduler:
    """Runs the schedules of one region."""

    def __init__(self, schedules: Iterable[Schedule], ends: Ends) -> None:
        self._ends = ends
        self._rows = Rows(ends)
        self._ticking = Ticking(self._rows, ends)
        self._slots = {(one.name, region): Slot(one, region) for one in schedules for region in one.slots}
        self._acting: dict[tuple[str, str], Slot] = {}
        self._heap: list[tuple[int, int, Slot]] = []
        self._order = count()
        self._unfit: list[Slot] = []
        self._tenure: Tenure | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()
        self._bell = Bell()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look at the time."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._listen())]

    def stop(self) -> None:
        """Begin nothing more; what is under way runs again."""
        for task in (*self._tasks, *self._running):
            task.cancel()

    # What is due, and when.

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - the store has no room, or is damaged: nothing is lost by waiting
                self._ends.telemetry.emit(SchedulesUnknown(f"{type(error).__name__}: {error}"))
            now_ms = self._now_ms()
            while self._heap and self._heap[0][0] <= now_ms:
                at_ms, _, slot = heapq.heappop(self._heap)
                if slot.at_ms == at_ms and not slot.busy and slot.name in self._acting:
                    self._begin_if_may(slot)
            await self._bell.wait(self._wait_s(now_ms))

    async def _listen(self) -> None:
        """Roles may change hands, and a lease be renewed for which due ticks wait."""
        authority = self._ends.authority
        while True:
            await authority.changed(authority.changes, IDLE_S)
            unfit, self._unfit = self._unfit, []
            for slot in unfit:
                self._look(slot, self._now_ms())
            self._bell.ring()

    def _wait_s(self, now_ms: int) -> float:
        longest_s = IDLE_S if self._ends.authority.tenure is self._tenure else AGAIN_S
        wait_s = (self._heap[0][0] - now_ms) / 1000 if self._heap else longest_s
        return min(longest_s, max(0.001, wait_s))

    def _now_ms(self) -> int:
        return milliseconds(self._ends.clock.now())

    def _begin_if_may(self, slot: Slot) -> None:
        slot.at_ms = None
        if not self._ends.may(slot.place):
            self._unfit.append(slot)
            return
        slot.busy = True
        task = asyncio.get_running_loop().create_task(self._go_on(slot))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _go_on(self, slot: Slot) -> None:
        """Do what is due, and know when to look again."""
        try:
            async with self._turns:
                await self._ticking.do(slot)
        finally:
            slot.busy = False
        if slot.name in self._acting:
            self._look_when_due(slot)
            self._bell.ring()

    def _look(self, slot: Slot, at_ms: int) -> None:
        """Look at a slot at a moment, and at no other one that was set before."""
        slot.at_ms = at_ms
        heapq.heappush(self._heap, (at_ms, next(self._order), slot))

    def _look_when_due(self, slot: Slot) -> None:
        now_ms = self._now_ms()
        match slot.step(now_ms):
            case Wait(until_ms):
                self._look(slot, until_ms + slot.schedule.offset_ms(slot.region))
            case Run() | Pass():
                self._look(slot, max(slot.again_ms, now_ms))
            case _:
                slot.at_ms = None

    # What this region acts for.

    async def _follow(self) -> None:
        """Take up the schedules that became this region's, and let go of those that are no longer."""
        tenure = self._ends.authority.tenure
        if tenure is None or tenure is self._tenure:
            return
        held = {name: slot for name, slot in self._slots.items() if tenure.holds(self._ends.region, slot.place)}
        taken = [slot for name, slot in held.items() if name not in self._acting]
        self._acting = {name: slot for name, slot in held.items() if name in self._acting}
        if await self._take_up(taken):
            self._acting, self._tenure = held, tenure

    async def _take_up(self, slots: Sequence[Slot]) -> bool:
        """Learn where schedules stand; those that are new begin now. Whether that is known."""
        since_ms = self._now_ms()
        await self._rows.read(slots)
        new = [slot for slot in slots if slot.version == 0]
        if new and not isinstance(await self._rows.write(new, lambda _: born(since_ms)), Committed):
            return False
        if new:
            await self._rows.read(new)
        for slot in slots:
            slot.since_ms = since_ms
            slot.forget()
            self._look_when_due(slot)
        return True

    # What people ask for.

    def status(self) -> list[ScheduleStatus]:
        """Every schedule that this region acts for."""
        return [self._status(slot) for slot in self._acting.values() if self._ends.may(slot.place)]

    def _status(self, slot: Slot) -> ScheduleStatus:
        one, standing = slot.schedule, slot.standing
        next_ms = None if standing.paused else one.timing.after(standing.due_ms) + one.offset_ms(slot.region)
        last = standing.fired_ms / 1000 or None
        counts = standing.paused, standing.fired, standing.failed, standing.skipped, standing.error
        following = next_ms and next_ms / 1000
        return ScheduleStatus(*slot.name, one.said, following, last, *counts, slot.failing, slot.attempts)

    async def run_now(self, name: str) -> list[str]:
        """Run a schedule once, besides its due times; whose ticks run here."""
        return await self._change(name, lambda standing: asked(standing, self._now_ms()))

    async def pause(self, name: str) -> list[str]:
        """Run nothing until it is resumed; whose ticks wait from now on."""
        return await self._change(name, paused)

    async def resume(self, name: str) -> list[str]:
        """Go on with what is due from now on; whose ticks run again."""
        return await self._change(name, lambda standing: resumed(standing, self._now_ms()))

    async def _change(self, name: str, change: Change) -> list[str]:
        acting = self._own(name)
        for slot in acting:
            await self._changed(slot, change)
        return [slot.region for slot in acting]

    async def _changed(self, slot: Slot, change: Change) -> None:
        for _ in range(RACES_MAX):
            await self._rows.read([slot])
            result = await self._rows.write([slot], change)
            if isinstance(result, Committed):
                await self._rows.read([slot])
                slot.forget()
                self._look_when_due(slot)
                self._bell.ring()
                return
            if not isinstance(result, Conflict):
                raise NotHome(f"{self._ends.region} lost the right to run schedule {slot.schedule.name}")
        raise Contended(f"schedule {slot.schedule.name} changes too often; try again")

    def check(self, name: str) -> None:
        """Raise NotFound unless there is such a schedule, and NotHome unless it is run here."""
        self._own(name)

    def _own(self, name: str) -> list[Slot]:
        """The slots of a schedule that this region acts for."""
        slots = self._named(name)
        acting = [slot for slot in slots if slot.name in self._acting and self._ends.may(slot.place)]
        if not acting:
            home = self._ends.authority.home_of(slots[0].place)
            raise NotHome(f"{self._ends.region} does not run schedule {name}; {home or 'no region'} does")
        return acting

    def _named(self, name: str) -> list[Slot]:
        found = [slot for (own, _), slot in self._slots.items() if own == name]
        if not found:
            raise NotFound(f"there is no schedule {name!r}; there are {sorted({own for own, _ in self._slots})}")
        return found
