"""Consuming: the runs of a queue's handler, each a unit in whose commit its message goes.

A message that fails is tried again later or given up; that, too, is a commit, and nothing of the handler's is in it.
One that was there before this region acted for its home may be what ended the process that had it: it is claimed
durably before it runs, so that the attempt counts even if nobody is left to say how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from proa.core.policy.retry import retry_after_s
from proa.core.queue import (
    Again,
    Attempt,
    Dead,
    Envelope,
    Spot,
    digits,
    failed,
    milliseconds,
    prefix,
    said_of,
    spot,
)
from proa.core.replicate.journal import Key, Row, Write
from proa.declare.queues import Consumer, Message
from proa.errors import (
    Contended,
    EffectInFlight,
    EffectUnknown,
    MessageInterrupted,
    MessageUndecodable,
    ProaError,
    Rejected,
    Unavailable,
    code_of,
)
from proa.ports import Committed, Conflict, Result
from proa.runtime.errands import RACES_MAX, Ends, Errand
from proa.runtime.events import ConsumerStopped, HandlerRaised, MessageDead, MessageFailed, MessageHandled, MessageMoved
from proa.runtime.messages.intake import UNFIT_S, Intake
from proa.runtime.unit import Elsewhere

WAIT_S = 5.0
"""How long a message waits before it looks whether the outcome of an effect is known by now."""
MOVES_MAX = 8
"""So often a message follows the rows that it writes to another home."""
_decode = msgspec.msgpack.Decoder(Envelope).decode
_encode = msgspec.msgpack.Encoder().encode


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A message that was handed out, as its row under `address` has it in this version."""

    address: Key
    where: Spot
    version: int
    envelope: Envelope

    @property
    def key(self) -> str:
        """The key of its row."""
        return self.address[1]


class Consuming:
    """The runs of one queue's handler in a region."""

    def __init__(self, consumer: Consumer, intake: Intake, ends: Ends) -> None:
        self._consumer = consumer
        self._queue = intake.queue
        self._intake = intake
        self._ends = ends
        self._overdue = f"no heartbeat for {consumer.visibility_s:g} s"
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to consume."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()) for _ in range(self._consumer.concurrency)]

    def stop(self) -> None:
        """Begin nothing more; what is under way is handed out again."""
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        while True:
            keys = await self._intake.take(self._batch)
            try:
                await self._handle(keys)
            except Exception as error:  # noqa: BLE001 - the store has no room, or is damaged: nothing is lost by waiting
                self._ends.telemetry.emit(ConsumerStopped(self._queue.name, f"{type(error).__name__}: {error}"))
                for key in keys:
                    self._intake.put_back(key)
            finally:
                self._intake.ended()

    @property
    def _batch(self) -> int:
        """A unit of the global store is finished under the id of its message, so each has one of its own."""
        return 1 if self._consumer.route.unit == "global" else self._consumer.batch

    def _address(self, key: str) -> Key:
        return (self._queue.table, key)

    # From keys to messages that may run.

    async def _handle(self, keys: Sequence[str]) -> None:
        rows = await self._ends.store.read([self._address(key) for key in keys])
        ready: list[Taken] = []
        for key, row in zip(keys, rows, strict=True):
            if taken := await self._ready(key, row):
                ready.append(taken)
        if ready:
            await self._attempt(ready)

    async def _ready(self, key: str, row: Row | None) -> Taken | None:
        """The message, if it is there and may run now."""
        if row is None or row.value is None:
            self._intake.done(key)
            return None
        taken = Taken(self._address(key), spot(key), row.version, _decode(row.value))
        if taken.envelope.running:
            await self._fail(taken, MessageInterrupted(f"unit {taken.envelope.running} did not end"), 0.0)
            return None
        if (wait_s := taken.envelope.not_before - self._ends.clock.now()) > 0:
            self._intake.put_back(key, wait_s)
            return None
        return await self._claimed(taken) if self._is_old(taken) else taken

    def _is_old(self, taken: Taken) -> bool:
        backlog = self._intake.homes.get(taken.where.home)
        return backlog is None or taken.envelope.sent_at < backlog.since

    async def _claimed(self, taken: Taken) -> Taken | None:
        """Count the attempt durably before it runs."""
        told = msgspec.structs.replace(
            taken.envelope, receives=taken.envelope.receives + 1, running=self._ends.unit_id()
        )
        result = await self._settle(taken, [self._kept(taken.where, told)])
        if not isinstance(result, Committed):
            self._intake.put_back(taken.key)
            return None
        (row,) = await self._ends.store.read([taken.address])
        return Taken(taken.address, taken.where, row.version, told) if row else None

    def _kept(self, where: Spot, envelope: Envelope) -> Write:
        return Write(self._queue.table, where.key, _encode(envelope), "home")

    # Runs.

    async def _attempt(self, taken: Sequence[Taken]) -> None:
        """Run the handler until a run commits or fails; where a batch fails, each of it stands alone."""
        began = self._ends.clock.monotonic()
        try:
            await self._run_once_committed(taken)
        except Elsewhere as elsewhere:
            await self._apart(taken, elsewhere)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is a failed attempt
            await self._apart(taken, error, self._ends.clock.monotonic() - began)

    async def _apart(self, taken: Sequence[Taken], error: BaseException, took_s: float = 0.0) -> None:
        if len(taken) > 1:
            for one in taken:
                await self._attempt([one])
        elif isinstance(error, Elsewhere):
            await self._move(taken[0], error)
        elif isinstance(error, EffectUnknown | EffectInFlight):
            await self._wait(taken[0])
        else:
            await self._fail(taken[0], error, took_s)

    async def _run_once_committed(self, taken: Sequence[Taken]) -> None:
        for race in range(RACES_MAX):
            await self._ends.back_off(race)
            result = await self._run_once(taken)
            if isinstance(result, Conflict) and not self._is_own(result.key, taken):
                continue
            if not isinstance(result, Committed):  # not ours any more, or changed under us
                for one in taken:
                    self._intake.put_back(one.key)
            return
        raise Contended(f"{self._consumer.route.scope} lost {RACES_MAX} races for its rows")

    def _is_own(self, key: Key, taken: Sequence[Taken]) -> bool:
        return any(tuple(key) == one.address for one in taken)

    async def _run_once(self, taken: Sequence[Taken]) -> Result:
        first, began = taken[0], self._ends.clock.monotonic()
        route, visibility_s = self._consumer.route, self._consumer.visibility_s
        place = self._queue.place(first.where.home)
        errand = Errand(self._ends, route, place, first.envelope.id, visibility_s, first.envelope.traceparent)
        messages = [self._message(one, errand) for one in taken]
        await errand.run(lambda: self._call(messages, errand), self._overdue)
        handled_at = self._ends.clock.monotonic()
        took_s = handled_at - began
        reads: dict[Key, int] = {}
        writes: list[Write] = []
        ended: list[tuple[Taken, Again | Dead | None]] = []
        for one, message in zip(taken, messages, strict=True):
            verdict = None if message.failure is None else self._failed(one, message.failure, took_s)
            reads[one.address] = one.version
            writes += self._settled(one, verdict)
            ended.append((one, verdict))
        result = await errand.commit(reads, writes)
        if isinstance(result, Committed):
            self._intake.pace.committed((now := self._ends.clock.monotonic()) - handled_at, now)
            for one, verdict in ended:
                self._told(one, verdict, took_s)
        return result

    def _message(self, taken: Taken, errand: Errand) -> Message[Any]:
        try:
            body = self._queue.decode(taken.envelope.body)
        except Exception as error:
            raise MessageUndecodable(f"{self._queue.kind.__name__}: {error}") from error
        return Message(taken.where, taken.envelope, body, errand)

    def _call(self, messages: Sequence[Message[Any]], errand: Errand) -> Any:
        consumer = self._consumer
        given: list[Any] = list(messages) if consumer.whole else [message.body for message in messages]
        argument = given if consumer.batched else given[0]
        return consumer.handler(argument, errand.unit) if consumer.takes_context else consumer.handler(argument)

    # What becomes of a message.

    def _failed(self, taken: Taken, error: BaseException, took_s: float) -> Again | Dead:
        at, region = self._ends.clock.now(), self._ends.region
        attempt = Attempt(at, region, code_of(error), said_of(error), round(took_s, 6))
        curable = not isinstance(error, Rejected | MessageUndecodable) and self._queue.retry.cures(error)
        rng, after_s = self._ends.entropy.random, retry_after_s(error)
        return failed(
            taken.key, taken.envelope, attempt, self._queue.retry, rng, retry_after_s=after_s, curable=curable
        )

    def _settled(self, taken: Taken, verdict: Again | Dead | None) -> list[Write]:
        """What is written instead of the message."""
        where, removed = taken.where, Write(*taken.address, None, "home")
        match verdict:
            case None:
                return [removed]
            case Dead():
                return [removed, Write(self._queue.dead_table, dead_key(where, verdict.at), _encode(verdict), "home")]
            case Again(envelope, at) if where.group:
                return [self._kept(where, msgspec.structs.replace(envelope, not_before=at))]
            case Again(envelope, at):
                return [removed, self._kept(where.later(at), envelope)]

    def _told(self, taken: Taken, verdict: Again | Dead | None, took_s: float) -> None:
        """The verdict is durable."""
        queue, envelope, now = self._queue.name, taken.envelope, self._ends.clock.now()
        if isinstance(verdict, Again) and taken.where.group:
            self._intake.put_back(taken.key, verdict.at - now)
        else:
            self._intake.done(taken.key)
        match verdict:
            case None:
                self._intake.handled.mark(self._ends.clock.monotonic())
                self._ends.telemetry.emit(MessageHandled(queue, envelope.id, took_s, now - envelope.sent_at))
            case Again(told, at):
                error, again_in_s = told.history[-1].error, round(at - told.history[-1].at, 3)
                self._ends.telemetry.emit(MessageFailed(queue, envelope.id, told.receives, error, again_in_s))
            case Dead(told, _, _, error, said, mark):
                self._ends.telemetry.emit(MessageDead(queue, envelope.id, told.receives, error, said, mark))

    async def _fail(self, taken: Taken, error: BaseException, took_s: float) -> None:
        verdict = self._failed(taken, error, took_s)
        if isinstance(await self._settle(taken, self._settled(taken, verdict)), Committed):
            if not isinstance(error, ProaError):
                about = (self._consumer.route.scope, taken.envelope.sender, taken.envelope.traceparent)
                self._ends.telemetry.emit(HandlerRaised.of(error, *about))
            self._told(taken, verdict, took_s)
        else:
            self._intake.put_back(taken.key)

    async def _wait(self, taken: Taken) -> None:
        """Let a message wait for what nobody knows yet; that is no attempt."""
        if taken.envelope.running:
            told = msgspec.structs.replace(taken.envelope, receives=taken.envelope.receives - 1, running="")
            await self._settle(taken, [self._kept(taken.where, told)])
        self._intake.put_back(taken.key, WAIT_S)

    async def _settle(self, taken: Taken, writes: Sequence[Write]) -> Result:
        return await self._ends.commit(self._queue.place(taken.where.home), {taken.address: taken.version}, writes)

    async def _move(self, taken: Taken, elsewhere: Elsewhere) -> None:
        """Let a message follow the row that its handler writes to the region that acts as the row's home."""
        home = self._ends.authority.home_of(elsewhere.place)
        if home in (None, taken.where.home) or taken.envelope.moved >= MOVES_MAX:
            await self._fail(taken, Unavailable(f"no region acts as home of {elsewhere.place.key}"), 0.0)
            return
        where = msgspec.structs.replace(taken.where, home=home)
        moved = msgspec.structs.replace(taken.envelope, moved=taken.envelope.moved + 1)
        removed = Write(*taken.address, None, "home")
        if isinstance(await self._settle(taken, [removed, self._kept(where, moved)]), Committed):
            self._intake.done(taken.key)
            self._ends.telemetry.emit(MessageMoved(self._queue.name, taken.envelope.id, taken.where.home, home))
        else:
            self._intake.put_back(taken.key, UNFIT_S)


def dead_key(where: Spot, at: float) -> str:
    """Where a message is kept that was given up: in the order in which they were."""
    return prefix(where.queue, where.home, digits(milliseconds(at))) + where.id
