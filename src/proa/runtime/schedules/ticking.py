"""Runs of ticks: each a unit in whose commit its due time is ticked off.

A tick that fails is tried again until the next one is due, or given up; that, too, is a commit, and nothing of the
handler's is in it. One that was due before this region acted for its schedule may be what ended the process that had
it: it is claimed durably before it runs, so that the attempt counts even if nobody is left to say how it ended.
"""

from __future__ import annotations

from proa.core.policy.retry import retry_after_s
from proa.core.queue import milliseconds, said_of
from proa.core.schedule import Pass, Run, claimed, dealt_with, fired, given_up
from proa.errors import Contended, ProaError, Unavailable
from proa.ports import Committed, Conflict, Result
from proa.runtime.errands import RACES_MAX, Ends, Errand
from proa.runtime.events import HandlerRaised, TickFailed, TickFired, TickGivenUp, TicksSkipped
from proa.runtime.schedules.slot import Change, Rows, Slot
from proa.runtime.unit import Elsewhere

AGAIN_S = 1.0
"""After so long a tick is looked at again that this region could not commit."""


class Ticking:
    """Does what is due."""

    def __init__(self, rows: Rows, ends: Ends) -> None:
        self._rows = rows
        self._ends = ends

    async def do(self, slot: Slot) -> None:
        """Do what is due for a slot, if anything is."""
        try:
            await self._do(slot)
        except Exception as error:  # noqa: BLE001 - the store has no room, or is damaged: the tick waits
            self._failed(slot, error, AGAIN_S)

    async def _do(self, slot: Slot) -> None:
        now_ms = self._now_ms()
        match slot.step(now_ms):
            case Run() as run if slot.again_ms <= now_ms:
                await self._attempt(slot, run)
            case Pass() as passed:
                if await self._settled(slot, lambda standing: dealt_with(standing, passed)):
                    self._ends.telemetry.emit(TicksSkipped(*slot.name, passed.skipped))
            case _:
                pass

    async def _settled(self, slot: Slot, change: Change) -> bool:
        """Change a slot's row without the author's code; whether that went well. It is known anew in any case."""
        result = await self._rows.write([slot], change)
        if not isinstance(result, Committed):
            self._wait(slot)
        await self._rows.read([slot])
        return isinstance(result, Committed)

    async def _attempt(self, slot: Slot, run: Run) -> None:
        if run.due_ms != slot.due_ms:
            slot.forget(run.due_ms)
        is_old = run.due_ms < slot.since_ms and not slot.attempts
        if is_old and slot.standing.began >= slot.schedule.retry.attempts:
            await self._give_up(slot, run, f"its process ended {slot.standing.began} times")
            return
        if is_old and not await self._settled(slot, claimed):
            return
        try:
            await self._fire(slot, run)
        except Elsewhere as elsewhere:
            home = self._ends.authority.home_of(elsewhere.place)
            await self._deal_with(slot, run, Unavailable(f"it needs a row whose home is {home}; send it a message"))
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is a failed attempt
            await self._deal_with(slot, run, error)

    async def _fire(self, slot: Slot, run: Run) -> None:
        """Run the handler until a run commits, or it is somebody else's to do so."""
        for race in range(RACES_MAX):
            await self._ends.back_off(race)
            result = await self._fire_once(slot, run)
            own = isinstance(result, Conflict) and tuple(result.key) == slot.schedule.row(slot.region)
            if isinstance(result, Conflict) and not own:
                continue
            if not isinstance(result, Committed):  # not ours any more, or changed under us
                self._wait(slot)
            await self._rows.read([slot])
            return
        raise Contended(f"{slot.schedule.route.scope} lost {RACES_MAX} races for its rows")

    async def _fire_once(self, slot: Slot, run: Run) -> Result:
        one, began, tick = slot.schedule, self._ends.clock.monotonic(), slot.tick(run)
        standing, version = slot.standing, slot.version  # others may change the row while the handler runs
        errand = Errand(self._ends, one.route, slot.place, f"{slot.region}/{run.due_ms}", one.timeout_s)
        await errand.run(lambda: one.call(tick, errand.unit), f"it took longer than {one.timeout_s:g} s")
        done = slot.written(fired(standing, run, self._now_ms()))
        result = await errand.commit({one.row(slot.region): version}, [done])
        if isinstance(result, Committed):
            slot.forget()
            took_s, late_s = self._ends.clock.monotonic() - began, self._ends.clock.now() - tick.due
            self._ends.telemetry.emit(TickFired(*slot.name, tick.due, took_s, late_s, run.skipped))
        return result

    # Failures.

    async def _deal_with(self, slot: Slot, run: Run, error: BaseException) -> None:
        """Try a failed tick again, or give it up."""
        if not isinstance(error, ProaError):
            self._ends.telemetry.emit(HandlerRaised.of(error, slot.schedule.route.scope, self._ends.unit_id()))
        slot.attempts = slot.tick(run).attempt
        wait_s = self._again_in_s(slot, run, error)
        if wait_s is None:
            await self._give_up(slot, run, said_of(error))
        else:
            self._failed(slot, error, wait_s)

    def _again_in_s(self, slot: Slot, run: Run, error: BaseException) -> float | None:
        """How long a failed tick waits; None: it is given up, for the next one is due by then, or it was its last."""
        one, now = slot.schedule, self._ends.clock.now()
        wait_s = one.retry.delay(slot.attempts, self._ends.entropy.random, retry_after_s(error))
        if wait_s is None or not one.retry.cures(error):
            return None
        next_ms = one.timing.after(max(slot.standing.due_ms, run.due_ms)) + one.offset_ms(slot.region)
        is_late = one.retry.timeout_s is not None and now >= run.due_ms / 1000 + one.retry.timeout_s
        is_overtaken = one.policy.catch_up != "all" and (now + wait_s) * 1000 >= next_ms
        return None if is_late or is_overtaken else wait_s

    def _failed(self, slot: Slot, error: BaseException, wait_s: float) -> None:
        slot.failing, slot.again_ms = said_of(error), self._now_ms() + int(wait_s * 1000)
        self._ends.telemetry.emit(TickFailed(*slot.name, slot.attempts, slot.failing, round(wait_s, 3)))

    async def _give_up(self, slot: Slot, run: Run, why: str) -> None:
        attempts = slot.attempts
        if await self._settled(slot, lambda standing: given_up(standing, run, why)):
            slot.forget()
            self._ends.telemetry.emit(TickGivenUp(*slot.name, run.due_ms / 1000, attempts, why))

    def _wait(self, slot: Slot) -> None:
        """Look at it again a little later."""
        slot.again_ms = self._now_ms() + int(AGAIN_S * 1000)

    def _now_ms(self) -> int:
        return milliseconds(self._ends.clock.now())
