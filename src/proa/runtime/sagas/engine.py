"""The engine: carries sagas on when a message wakes them, and undoes what a failed one did.

A message of a saga's queue is consumed like any other. What it sets off is a run of the saga's function (`Journey`)
over its journal (`Course`), in commits of its own; the message goes when that run has come as far as it can. So a run
that is cut short is repeated, and finds in the journal what it had done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from proa.core.effect import SEPARATOR
from proa.core.queue import said_of
from proa.core.replicate.journal import Write
from proa.core.saga import SAGAS, SIGNALS, Entry, Record, Wake, cancelled, saga_key, signal_key
from proa.declare.context import CURRENT, NoUnitHere
from proa.declare.queues import Message
from proa.declare.sagas import DeclaredSaga
from proa.errors import SagaCancelled, SagaMismatch, SagaRefused, code_of
from proa.runtime.errands import Ends
from proa.runtime.events import SagaEnded, SagaStuck
from proa.runtime.sagas.course import Course, record_of, woken
from proa.runtime.sagas.journey import Journey, Suspended, Undo, started

if TYPE_CHECKING:
    from proa.runtime.unit import Unit

_BETWEEN: Any = NoUnitHere(
    "a saga's function is in no unit: what it reads, writes, sends and calls belongs in a step (`await saga.step(...)`)"
)


class Sagas:
    """The sagas of one region."""

    def __init__(self, sagas: Mapping[str, DeclaredSaga[Any, Any]], ends: Ends) -> None:
        self.declared = sagas
        self.ends = ends
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def woken(self, saga: DeclaredSaga[Any, Any], message: Message[Wake], unit: Unit) -> None:
        """What the messages of a saga's queue set off. `unit` is that in whose commit the message goes."""
        wake = message.body
        if wake.what == "signal":
            await self._keep(saga, message, unit)
            return
        async with self.turn(saga.name, wake.id):
            course = await self.course(saga, message.region, wake, message)
            if course and course.record.status != "stuck" and not course.record.ended:
                await self._carry_on(course, message)

    @asynccontextmanager
    async def turn(self, name: str, id_: str) -> AsyncGenerator[None]:
        """One run of a saga at a time."""
        key = f"{name}{SEPARATOR}{id_}"
        lock, waiting = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(key)
            if waiting > 1:
                self._turns[key] = (lock, waiting - 1)

    # From messages to a saga that may go on.

    async def find(self, saga: DeclaredSaga[Any, Any], home: str, id_: str) -> tuple[Record | None, int]:
        """A saga's row, and its version."""
        (row,) = await self.ends.store.read([(SAGAS, saga_key(saga.name, home, id_))])
        return record_of(row, self.ends.clock.now())

    async def course(
        self, saga: DeclaredSaga[Any, Any], home: str, wake: Wake, message: Message[Wake] | None = None
    ) -> Course | None:
        """The saga that is woken, begun if it is to start, with what the message says noted; None where it is none."""
        record, version = await self.find(saga, home, wake.id)
        if record is None:
            if wake.what != "start" or message is None:
                return None
            now, seed = self.ends.clock.now(), self.ends.entropy.token()
            record = started(wake, saga, home, seed, now, message.id, message.trace)
            return Course(self.ends, saga, record, version)
        course = Course(self.ends, saga, record, version)
        await course.read()
        if wake.what == "timer":
            course.fired = wake.step
        if wake.what == "ended":
            _note_child(course, wake)
        if wake.what == "cancel":
            await _cancel(course, wake.name or "a unit")
        return course

    async def _keep(self, saga: DeclaredSaga[Any, Any], message: Message[Wake], unit: Unit) -> None:
        """Keep a signal until the saga waits for it, and let it look."""
        wake, home = message.body, message.region
        record, _ = await self.find(saga, home, wake.id)
        if record and record.ended:
            return
        expires_at = None if record else self.ends.clock.now() + saga.kept_s
        key = signal_key(saga.name, home, wake.id, wake.name, message.id)
        unit.keep(Write(SIGNALS, key, wake.body, "home", expires_at))
        saga.queue.post(unit, saga.queue.encoded(Wake(wake.id, "go")), home)

    # Carrying one on.

    async def _carry_on(self, course: Course, message: Message[Wake]) -> None:
        journey = Journey(course, message.heartbeat)
        try:
            result = await self._run(course, journey)
        except Suspended:
            await self._suspended(course, journey)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises fails the saga
            if journey.stopped:
                await self._suspended(course, journey)
            else:
                await self._fail(course, journey, error)
        else:
            if journey.stopped:
                await self._suspended(course, journey)
            elif left := _not_asked_for(course, journey):
                if left.kind == "cancelled":  # just before the end
                    await self._fail(course, journey, SagaCancelled(journey.id, left.error, left.said))
                    return
                said = f"step {journey.asked} is recorded as {left.kind} {left.name}, the code has the end there"
                await self._stuck(course, SagaMismatch(said))
            else:
                await self._end(course, replace(course.record, status="done", result=result, error="", said=""))

    async def _run(self, course: Course, journey: Journey) -> bytes:
        token = CURRENT.set(_BETWEEN)
        saga = course.saga
        try:
            return saga.output.encode(await saga.function(journey, saga.input.decode(course.record.input)))
        finally:
            CURRENT.reset(token)

    async def _suspended(self, course: Course, journey: Journey) -> None:
        """Its function is put away: it waits, does not fit its journal, or cannot go on for now."""
        if isinstance(journey.reason, SagaMismatch | SagaRefused):
            await self._stuck(course, journey.reason)
        elif journey.reason:
            raise journey.reason
        elif course.noted:
            await course.commit(course.record)

    async def _fail(self, course: Course, journey: Journey, error: Exception) -> None:
        """Undo what was done, the last first, one after the other."""
        left = _not_asked_for(course, journey)
        if left and left.kind != "cancelled":
            said = f"the code raised {said_of(error)} before step {journey.asked}, which the journal has"
            await self._stuck(course, SagaMismatch(said))
            return
        record = course.record
        if record.status != "undoing" and journey.undos:
            error_told = {"error": code_of(error), "said": said_of(error)}
            await course.commit(replace(record, status="undoing", waits="", attempts=0, **error_told))
        try:
            for undo in reversed(journey.undos):
                if not course.entries[undo.number].undone:
                    await self._undo(course, journey, undo)
        except Suspended:
            await self._suspended(course, journey)
            return
        await self._end(course, replace(course.record, status="failed", error=code_of(error), said=said_of(error)))

    async def _undo(self, course: Course, journey: Journey, undo: Undo) -> None:
        """Undo one step; where that fails for good the saga is stuck.

        Raises:
            Suspended: it is tried again later, or the saga is stuck.
        """
        entry = course.entries[undo.number]
        try:
            await journey.perform(undo.task, undo.number, lambda _: replace(entry, undone=True))
        except Exception as error:
            await journey.failed(undo.task, error)
            await self._stuck(course, error)
            raise Suspended from error

    async def _stuck(self, course: Course, error: Exception) -> None:
        """Nothing more happens to it until a person says so."""
        record = course.record
        await course.commit(
            replace(record, status="stuck", stuck=record.status, error=code_of(error), said=said_of(error), due=0.0)
        )
        self.ends.telemetry.emit(SagaStuck(record.name, record.id, code_of(error), said_of(error)))

    async def _end(self, course: Course, record: Record) -> None:
        """It ended: its parent is told, and its rows are forgotten in time."""
        now = self.ends.clock.now()
        ended = replace(record, ended_at=now, waits="", due=0.0, attempts=0)
        writes = [Write(SIGNALS, key, None, "home") for key, _ in await course.signals()]
        if (parent := record.parent) and (above := self.declared.get(parent.name)):
            error = ended.error or record.status if record.status == "failed" else ""
            body = ended.result if record.status == "done" else ended.said.encode()
            wake = Wake(parent.id, "ended", body, step=parent.step, error=error)
            writes.append(woken(self.ends, above.queue, record.home, wake))
        await course.commit(ended, course.entries, writes, expires_at=now + course.saga.kept_s)
        took_s = now - record.started_at
        self.ends.telemetry.emit(SagaEnded(record.name, record.id, record.status, ended.error, round(took_s, 3)))


def _not_asked_for(course: Course, journey: Journey) -> Entry | None:
    """The first entry of the journal that a function which has ended did not come to."""
    return course.entries.get(journey.asked)


async def _cancel(course: Course, who: str) -> None:
    """Somebody cancelled this saga, once."""
    record, before = course.record, [entry.error for entry in course.entries.values()]
    if record.status == "running" and SagaCancelled.code not in before:
        number, ended = cancelled(course.entries, SagaCancelled.code, f"{who} cancelled it", course.now())
        await course.commit(replace(record, attempts=0, due=0.0), {number: ended})


def _note_child(course: Course, wake: Wake) -> None:
    """A child of this saga ended."""
    begun = course.entries.get(wake.step)
    if begun and begun.kind == "child" and begun.state == "begun":
        course.note(wake.step, _of_child(begun, wake, course.now()))


def _of_child(begun: Entry, wake: Wake, now: float) -> Entry:
    if wake.error:
        said = wake.body.decode(errors="replace")
        return replace(begun, state="failed", at=now, error=wake.error, said=said)
    return replace(begun, state="done", at=now, value=wake.body)
