"""A journey: one run of a saga's function from its start, through what its journal has to where it stands, and on.

What the journal has is answered from there. What it has not is done, one step at a time, each in a commit that carries
the saga on. Where there is nothing to do but wait the function is put away: `Suspended` ends it, and it runs again when
the saga is woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec.structs import replace

from proa.core.policy.retry import Retry, retry_after_s
from proa.core.queue import said_of
from proa.core.replicate.journal import Write
from proa.core.saga import SIGNALS, Entry, Kind, Parent, Record, Wake, child_id, mismatch, token
from proa.declare.codec import RowCodec
from proa.declare.effects import RESULT_BYTES_MAX
from proa.declare.sagas import STEP_TIMEOUT_S, DeclaredSaga, name_of
from proa.errors import (
    Contended,
    DeadlineExceeded,
    MessageTooLarge,
    Rejected,
    SagaCancelled,
    SagaMismatch,
    SagaRefused,
    SignalTimedOut,
    StepFailed,
    Unavailable,
    code_of,
)
from proa.ports import Committed
from proa.runtime.errands import RACES_MAX, Errand
from proa.runtime.events import SagaStepFailed
from proa.runtime.sagas.course import STEPS_MAX, Course, woken
from proa.runtime.unit import Elsewhere

T = TypeVar("T")
FAILURES: dict[str, type[StepFailed]] = {kind.code: kind for kind in (SagaCancelled, SignalTimedOut)}
"""Which error stands for a failed entry; all others are a plain StepFailed."""
Work = Callable[..., Awaitable[Any]]


class Suspended(BaseException):
    """Puts a saga's function away. No handler catches it."""


class Task(msgspec.Struct, frozen=True):
    """What is done as a unit: a step's work, or its undo. `key` says of two runs whether they are the same."""

    key: str
    name: str
    work: Work
    args: tuple[Any, ...]
    retry: Retry
    timeout_s: float


class Undo(msgspec.Struct, frozen=True):
    """What undoes a step of this number."""

    number: int
    task: Task


class Journey:
    """`declare.sagas.Saga` for one run. `stopped`: it came to where it waits, with the reason where it cannot go on."""

    def __init__(self, course: Course, heartbeat: Callable[[float], None]) -> None:
        self._course = course
        self._heartbeat = heartbeat
        self._turn = asyncio.Lock()
        self._asked = 0
        self._at = course.record.started_at
        self._tokens = 0
        self.undos: list[Undo] = []
        self.stopped = False
        self.reason: Exception | None = None

    # `declare.sagas.Saga`.

    @property
    def id(self) -> str:
        return self._course.record.id

    @property
    def version(self) -> int:
        return self._course.record.version

    def now(self) -> float:
        return self._at

    def token(self) -> str:
        self._tokens += 1
        return token(self._course.record.seed, self._tokens)

    async def step(
        self,
        work: Work,
        *args: Any,
        undo: Work | None = None,
        retry: Retry | None = None,
        timeout_s: float = STEP_TIMEOUT_S,
        name: str = "",
    ) -> Any:
        number, named = self._number(), name or name_of(work)
        async with self._turn:
            entry = self._recorded(number, "step", named)
            self._can_undo(number, entry, undo, args)
            if (value := self._passed(entry)) is None:
                task = Task(
                    self._course.record.task(number), named, work, args, retry or self._course.saga.retry, timeout_s
                )
                value = await self._live(number, entry, task, name_of(undo) if undo else "")
            return self._course.saga.codec_of(work).decode(value)

    async def sleep(self, seconds: float) -> None:
        number, course = self._number(), self._course
        async with self._turn:
            entry = self._recorded(number, "sleep", "")
            if self._passed(entry) is None:
                entry = entry or await self._begin(number, Entry("sleep", "", course.now(), due=course.now() + seconds))
                self._wait_for(number, entry)
                self._note(number, replace(entry, state="done", at=max(entry.due, self._at)))

    async def wait(self, signal: str, kind: type[T], *, timeout_s: float | None = None) -> T:
        number, course = self._number(), self._course
        async with self._turn:
            entry = self._recorded(number, "wait", signal)
            value = self._passed(entry)
            if value is None:
                value = await self._signalled(number, signal)
            if value is None:
                due = course.now() + timeout_s if timeout_s is not None else 0.0
                entry = entry or await self._begin(number, Entry("wait", signal, course.now(), due=due))
                self._wait_for(number, entry)
                said = f"no signal {signal} came in time"
                late = replace(entry, state="failed", at=entry.due, error=SignalTimedOut.code, said=said)
                self._note(number, late)
                self._passed(late)
            return RowCodec(kind).decode(value or b"")

    async def child(self, saga: DeclaredSaga[Any, Any], given: Any, *, undo: Work | None = None) -> Any:
        number, course = self._number(), self._course
        async with self._turn:
            entry = self._recorded(number, "child", saga.name)
            self._can_undo(number, entry, undo, (given,))
            value = self._passed(entry)
            if value is None:
                if entry is None:
                    named = name_of(undo) if undo else ""
                    begun = Entry("child", saga.name, course.now(), undo=named)
                    await self._begin(number, begun, self._started(number, saga, given))
                self._stop()
            return saga.output.decode(value)

    # What the journal has.

    def _number(self) -> int:
        self._asked += 1
        return self._asked - 1

    @property
    def asked(self) -> int:
        """How many steps the function has asked for."""
        return self._asked

    def _recorded(self, number: int, kind: Kind, name: str) -> Entry | None:
        """The entry of this number, if the journal has one; it must be the one that the code asks for."""
        if self.stopped:
            raise Suspended
        if number >= STEPS_MAX:
            self._stop(SagaRefused(f"a saga has {STEPS_MAX:,} steps at most; let a child do the rest"))
        entry = self._course.entries.get(number)
        if said := mismatch(number, entry, kind, name):
            self._stop(SagaMismatch(said))
        if entry is None and self._course.record.status == "undoing":
            self._stop(SagaMismatch(f"it failed before step {number}, and the code goes on with {kind} {name}"))
        return entry

    def _passed(self, entry: Entry | None) -> bytes | None:
        """The result of what has ended; None where it has not. What has failed is raised."""
        if entry is None or entry.state == "begun":
            return None
        self._at = entry.at
        if entry.state == "failed":
            raise FAILURES.get(entry.error, StepFailed)(entry.name, entry.error, entry.said)
        return entry.value

    def _can_undo(self, number: int, entry: Entry | None, undo: Work | None, args: tuple[Any, ...]) -> None:
        """Remember how to undo a step, before anything is known of how it ended."""
        if undo and not (entry and entry.kind == "cancelled"):
            retry = self._course.saga.undo_retry
            task = Task(self._course.record.task(number) + "u", name_of(undo), undo, args, retry, STEP_TIMEOUT_S)
            self.undos.append(Undo(number, task))

    def _stop(self, reason: Exception | None = None) -> NoReturn:
        """Put the function away; with a reason where it cannot go on."""
        self.stopped, self.reason = True, reason
        raise Suspended

    # Waiting.

    async def _begin(self, number: int, entry: Entry, *writes: Write) -> Entry:
        """Say durably what is waited for, with the timer that ends it."""
        course = self._course
        timer = [course.wake(Wake(self.id, "timer", step=number), entry.due)] if entry.due else []
        waits = f"{entry.kind} {entry.name}".strip()
        record = replace(course.record, waits=waits, due=entry.due, attempts=0)
        await course.commit(record, {number: entry}, [*timer, *writes])
        return entry

    def _wait_for(self, number: int, entry: Entry) -> None:
        """Go on if the time is over. A timer that rang says so, whatever the clock says."""
        if self._course.fired != number and not (entry.due and self._course.now() >= entry.due):
            self._stop()

    def _note(self, number: int, entry: Entry, *writes: Write) -> None:
        self._course.note(number, entry, *writes)
        self._at = entry.at

    async def _signalled(self, number: int, signal: str) -> bytes | None:
        """Take the first signal of a name that came, if one did."""
        for key, value in await self._course.signals(signal):
            came = Entry("wait", signal, self._course.now(), "done", value)
            self._note(number, came, Write(SIGNALS, key, None, "home"))
            return value
        return None

    def _started(self, number: int, saga: DeclaredSaga[Any, Any], given: Any) -> Write:
        """What starts a child."""
        course, record = self._course, self._course.record
        id_ = child_id(record, number)
        wake = Wake(id_, "start", saga.input.encode(given), parent=Parent(record.name, record.id, number))
        return woken(course.ends, saga.queue, record.home, wake)

    # Doing.

    async def _live(self, number: int, entry: Entry | None, task: Task, undo: str) -> bytes:
        """Do a step; its undo is durable before."""
        course = self._course
        begun = entry or Entry("step", task.name, course.now(), undo=undo)
        if undo and entry is None:
            await course.commit(replace(course.record, waits=f"step {task.name}", attempts=0), {number: begun})
        try:
            value = await self.perform(task, number, lambda value: self._done(begun, value))
        except Exception as error:
            await self.failed(task, error)
            failed = replace(begun, state="failed", at=course.now(), error=code_of(error), said=said_of(error))
            await course.commit(replace(course.record, waits="", attempts=0), {number: failed})
            self._passed(failed)
            raise AssertionError from error  # pragma: no cover - a failed entry is raised
        self._at = course.entries[number].at
        return value

    def _done(self, begun: Entry, value: bytes) -> Entry:
        return replace(begun, state="done", at=self._course.now(), value=value)

    async def perform(self, task: Task, number: int, told: Callable[[bytes], Entry]) -> bytes:
        """Run a task as a unit until a run commits, with the entry that tells of its result.

        Suspends where it is not the task that failed, but what it stands on.
        """
        course = self._course
        try:
            for race in range(RACES_MAX):
                await course.ends.back_off(race)
                errand = Errand(
                    course.ends,
                    course.saga.route_of(task.work),
                    course.place,
                    task.key,
                    task.timeout_s,
                    course.record.trace,
                )
                value = await errand.finished()
                if value is None:
                    value = await self._run(errand, task)
                record = replace(course.record, waits="", attempts=0, due=0.0)
                result = await course.commit(record, {number: told(value)}, errand=errand, value=value)
                if isinstance(result, Committed):
                    return value
            raise Contended(f"{task.name} lost {RACES_MAX} races for its rows")
        except Unavailable as error:
            if type(error) in (Unavailable, DeadlineExceeded):
                raise
            self._stop(error)

    async def _run(self, errand: Errand, task: Task) -> bytes:
        self._heartbeat(task.timeout_s + STEP_TIMEOUT_S)

        async def work() -> Any:
            return await task.work(*task.args)

        try:
            result = await errand.run(work, f"{task.name} took longer than {task.timeout_s:g} s")
            value = self._course.saga.codec_of(task.work).encode(result)
        except Elsewhere as elsewhere:
            raise Unavailable(
                f"{task.name} needs a row whose home is another region ({elsewhere.place.key}); "
                "let it send a message to a queue whose consumer does that"
            ) from None
        if len(value) > RESULT_BYTES_MAX:
            raise MessageTooLarge(f"{task.name} returned {len(value):,} bytes; at most {RESULT_BYTES_MAX:,} are kept")
        return value

    async def failed(self, task: Task, error: Exception) -> None:
        """Try a task again later, if its policy says so; return where it does not."""
        course, rng = self._course, self._course.ends.entropy.random
        attempts = course.record.attempts + 1
        curable = task.retry.cures(error) and not isinstance(error, Rejected)
        wait_s = task.retry.delay(attempts, rng, retry_after_s(error)) if curable else None
        course.ends.telemetry.emit(
            SagaStepFailed(course.saga.name, self.id, task.name, attempts, said_of(error), wait_s)
        )
        if wait_s is None:
            return
        at = course.now() + wait_s
        waits = f"{task.name}, which failed {attempts} of {task.retry.attempts} times"
        record = replace(
            course.record, attempts=attempts, waits=waits, due=at, error=code_of(error), said=said_of(error)
        )
        await course.commit(record, writes=[course.wake(Wake(self.id, "go"), at)])
        self._stop()


def started(
    wake: Wake, saga: DeclaredSaga[Any, Any], home: str, seed: str, now: float, unit: str, trace: str
) -> Record:
    """A saga that begins."""
    return Record(saga.name, wake.id, home, saga.version, wake.body, seed, now, unit, trace, parent=wake.parent)
