"""Sagas for people: those of the homes that a region acts for, and what a person may do with one.

Whatever a person does is a commit like any other that carries the saga on, followed by what wakes it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from proa.core.queue import LAST, SEPARATOR, prefix
from proa.core.replicate.journal import Write
from proa.core.saga import SAGAS, Entry, Record, Wake, anew, cancelled, retry_from
from proa.declare.codec import readable
from proa.declare.sagas import DeclaredSaga
from proa.errors import NotFound, NotHome, SagaCancelled, SagaRefused, Unprocessable
from proa.ports import Span
from proa.runtime.errands import raise_fenced
from proa.runtime.sagas.course import Course, decode_record, woken
from proa.runtime.sagas.engine import Sagas

PAGE = 500
PATIENCE_S = 2.0
"""How long a person waits for a run to end; a step may take longer, and a control API must answer."""
CANCELLING = "cancelling"
"""What is answered where the run has not ended: the saga is cancelled when it has."""
_decode = msgspec.msgpack.decode


class Line(msgspec.Struct, frozen=True):
    """A saga in a list. Times are in seconds since 1970; `due` is when it goes on by itself, 0 where it does not."""

    saga: str
    id: str
    status: str
    steps: int
    waits: str
    due: float
    attempts: int
    error: str
    said: str
    version: int
    started_at: float
    ended_at: float
    region: str


class Step(msgspec.Struct, frozen=True):
    """One step of a saga, with its result as JSON can hold it."""

    number: int
    kind: str
    name: str
    state: str
    at: float
    result: Any
    error: str
    said: str
    undo: str
    undone: bool


class Whole(msgspec.Struct, frozen=True):
    """A saga with its input, its result, its steps and the signals that wait."""

    line: Line
    unit: str
    input: Any
    result: Any
    steps: list[Step]
    signals: list[str]


class SagasDesk:
    """What people ask of the sagas of one region."""

    def __init__(self, sagas: Sagas, regions: tuple[str, ...]) -> None:
        self._sagas = sagas
        self._ends = sagas.ends
        self._regions = regions

    # Looking.

    async def listed(self, name: str, status: str, after: str = "") -> list[Line]:
        """Sagas of one name (of all, if empty) and status (those that go on or are stuck, if empty), by their keys."""
        found: list[Line] = []
        for saga in self._named(name):
            for home in self._homes(saga):
                found += [_line(record) for record in await self._all(saga, home, status, after)]
        return found[:PAGE]

    def _named(self, name: str) -> list[DeclaredSaga[Any, Any]]:
        declared = self._sagas.declared
        if name and name not in declared:
            raise NotFound(f"there is no saga {name!r}; there are {', '.join(declared)}")
        return [declared[name]] if name else list(declared.values())

    def _homes(self, saga: DeclaredSaga[Any, Any]) -> list[str]:
        return [region for region in self._regions if self._ends.may(saga.queue.place(region))]

    async def _all(self, saga: DeclaredSaga[Any, Any], home: str, status: str, after: str) -> list[Record]:
        start = prefix(saga.name, home)
        place, found = start + after, list[Record]()
        while len(found) < PAGE:
            span = Span(SAGAS, ("", place), ("", start + LAST), PAGE, self._ends.clock.now())
            rows = await self._ends.store.query(span)
            records = [decode_record(row.value) for row in rows if row.value is not None]
            found += [one for one in records if one.status == status or (not status and not one.ended)]
            if len(rows) < PAGE:
                break
            place = rows[-1].key + "\0"
        return found

    async def shown(self, name: str, id_: str) -> Whole:
        """One saga with everything that is known of it."""
        course = await self._course(name, id_)
        record, saga = course.record, course.saga
        return Whole(
            line=_line(record),
            unit=record.unit,
            input=readable(saga.input.decode, record.input),
            result=readable(saga.output.decode, record.result) if record.status == "done" else None,
            steps=[_step(number, entry) for number, entry in sorted(course.entries.items())],
            signals=[key.split(SEPARATOR)[3] for key, _ in await course.signals()],
        )

    async def _course(self, name: str, id_: str) -> Course:
        """A saga of which this region acts as home."""
        (saga,) = self._named(name) if name else (None,)
        if saga is None:
            raise Unprocessable("name a saga")
        home = saga.home_of(id_)
        if not self._ends.may(saga.queue.place(home)):
            acting = self._ends.authority.home_of(saga.queue.place(home))
            raise NotHome(f"{acting or 'no region'} acts for saga {name} {id_}")
        course = await self._sagas.course(saga, home, Wake(id_, "go"))
        if course is None:
            raise NotFound(f"there is no saga {name} {id_}, or it ended long ago")
        return course

    # Acting.

    async def retry(self, name: str, id_: str, step: int | None = None) -> Line:
        """Let a saga that is stuck or failed go on, from a step.

        Raises:
            SagaRefused: it goes on, is done, or has undone a step before that one.
        """
        await self._stopped(name, id_)
        async with self._sagas.turn(name, id_):
            course = await self._stopped(name, id_)
            record = course.record
            begin = retry_from(record, course.entries, step)
            if isinstance(begin, str):
                raise SagaRefused(begin)
            back = record.status == "failed" or step is not None
            status = "running" if back else record.stuck
            dropped = {number: entry for number, entry in course.entries.items() if back and number >= begin}
            course.entries = {number: entry for number, entry in course.entries.items() if number not in dropped}
            fresh = {"attempts": 0, "error": "", "said": "", "due": 0.0, "ended_at": 0.0}
            rounds, steps = anew(record, dropped), len(course.entries)
            again = replace(record, status=status, rounds=rounds, steps=steps, **fresh)
            return await self._go(course, again, course.dropped([*dropped]), course.entries)

    async def _stopped(self, name: str, id_: str) -> Course:
        course = await self._course(name, id_)
        if course.record.status not in ("stuck", "failed"):
            raise SagaRefused(f"{id_} is {course.record.status}")
        return course

    async def cancel(self, name: str, id_: str) -> Line:
        """End a saga at the step at which it waits, once the run under way is over; it undoes what it did.

        Where the run takes long the answer is `cancelling`, and a message does it.

        Raises:
            SagaRefused: it has ended, or undoes already.
        """
        patience = asyncio.timeout(PATIENCE_S)
        try:
            async with patience, self._sagas.turn(name, id_):
                patience.reschedule(None)
                return await self._cancel(await self._cancellable(name, id_))
        except TimeoutError:
            if not patience.expired():
                raise
        course = await self._cancellable(name, id_)
        await self._wake(course, Wake(id_, "cancel", name="a person"))
        return replace(_line(course.record), status=CANCELLING)

    async def _cancellable(self, name: str, id_: str) -> Course:
        course = await self._course(name, id_)
        record = course.record
        if record.ended or record.status == "undoing" or record.stuck == "undoing":
            raise SagaRefused(f"{id_} is {record.status}")
        return course

    async def _cancel(self, course: Course) -> Line:
        number, ended = cancelled(course.entries, SagaCancelled.code, "a person cancelled it", course.now())
        running = replace(course.record, status="running", attempts=0, due=0.0)
        return await self._go(course, running, [], {number: ended})

    async def signal(self, name: str, id_: str, signal: str, value: Any) -> Line:
        """Send a saga a signal.

        Raises:
            SagaRefused: it has ended.
            NotHome: this region lost the right to act for it meanwhile; nothing was sent.
        """
        course = await self._course(name, id_)
        if course.record.ended:
            raise SagaRefused(f"{id_} is {course.record.status}")
        if not signal.isidentifier():
            raise Unprocessable(f"a signal's name is an identifier, not {signal!r}")
        await self._wake(course, Wake(id_, "signal", msgspec.msgpack.encode(value), signal))
        return _line(course.record)

    async def _wake(self, course: Course, wake: Wake) -> None:
        write = woken(self._ends, course.saga.queue, course.record.home, wake)
        raise_fenced(await self._ends.commit(course.place, {}, [write]))

    async def _go(self, course: Course, record: Record, writes: list[Write], entries: dict[int, Entry]) -> Line:
        await course.commit(record, entries, [*writes, course.wake(Wake(record.id, "go"))])
        return _line(course.record)


Status = Literal["", "running", "undoing", "stuck", "done", "failed"]


def _line(record: Record) -> Line:
    return Line(
        saga=record.name,
        id=record.id,
        status=record.status,
        steps=record.steps,
        waits=record.waits,
        due=record.due,
        attempts=record.attempts,
        error=record.error,
        said=record.said,
        version=record.version,
        started_at=record.started_at,
        ended_at=record.ended_at,
        region=record.home,
    )


def _step(number: int, entry: Entry) -> Step:
    value = _decode(entry.value) if entry.value else None
    return Step(
        number=number,
        kind=entry.kind,
        name=entry.name,
        state=entry.state,
        at=entry.at,
        result=value,
        error=entry.error,
        said=entry.said,
        undo=entry.undo,
        undone=entry.undone,
    )
