"""Dead letters: messages that were given up. People look for them, send them back, change or remove them.

A letter goes back to the queue in which it died, as a message with its id, in the commit that takes it from here: so it
is in one of the two and never in both. Its attempts count from none again, and it remembers those that it had. Every
region can show all letters; only the one that acts for a letter's home changes anything about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from proa.bell import breathe
from proa.core.queue import LAST, Attempt, Dead, Spot, milliseconds, prefix, spot
from proa.core.replicate.journal import Row, Write
from proa.declare.codec import json_decoder, readable
from proa.declare.queues import BY_ERROR, BY_MESSAGE, Queue
from proa.errors import NotFound, Unavailable, Unprocessable
from proa.ports import Committed, Span
from proa.runtime.errands import Ends
from proa.runtime.events import DeadPurged, DeadRedriven

PAGE_MAX = 1000
SLICE = 500
LOOKED_AT_MAX = 20_000
"""So many letters are looked at for one page of those with certain fields; what is behind them is the next page's."""
BATCH = 200
"""So many letters share a commit."""
FULL_S = 0.5
"""How long sending back waits where the queue is full."""
Become = Callable[[Dead], list[Write]]
"""What is written instead of a letter."""
_decode = msgspec.msgpack.Decoder(Dead).decode
_encode = msgspec.msgpack.Encoder().encode
_plain = msgspec.msgpack.Decoder().decode


class Wanted(msgspec.Struct, frozen=True):
    """Which letters are meant: those of a queue to which everything that is said here applies.

    `error` is a fingerprint, `code` an error's code or an exception's name, `since` and `until` are when they died
    (seconds since 1970), `fields` are values in their bodies, as text, `message` is one id, `region` their home.
    """

    queue: str
    error: str = ""
    code: str = ""
    since: float = 0.0
    until: float = inf
    fields: Mapping[str, str] = {}
    message: str = ""
    region: str = ""

    def fits(self, dead: Dead) -> bool:
        """Whether a letter of the queue is meant."""
        return (
            self.since <= dead.at < self.until
            and self.error in ("", dead.fingerprint)
            and self.code in ("", dead.error)
            and self.message in ("", dead.envelope.id)
            and self.region in ("", spot(dead.key).home)
            and (not self.fields or _has(dead.envelope.body, self.fields))
        )


class Letter(msgspec.Struct, frozen=True):
    """A letter as people read it. `region` is its home, `attempts` how often it was tried before it was given up."""

    message: str
    queue: str
    region: str
    group: str
    died_at: float
    error: str
    said: str
    fingerprint: str
    attempts: int
    redriven: int
    sent_at: float
    unit: str
    trace: str
    body: Any
    history: Sequence[Attempt]


class Page(msgspec.Struct, frozen=True):
    """Some letters, the latest first; `next` is where to go on, empty where there are no more."""

    letters: list[Letter]
    next: str = ""


class Job(msgspec.Struct):
    """Letters on their way back to their queue, or out, so far. `state` is running, done, cancelled or failed."""

    id: str
    queue: str
    what: str
    moved: int = 0
    state: str = "running"
    why: str = ""


class DeadLetters:
    """The dead letters of one region's queues."""

    def __init__(self, queues: Mapping[str, Queue[Any]], ends: Ends, depth: Callable[[str, str], int]) -> None:
        self._queues = queues
        self._ends = ends
        self._depth = depth
        self._jobs: dict[str, tuple[Job, asyncio.Task[None]]] = {}

    def queue(self, name: str) -> Queue[Any]:
        """The declared queue of this name; NotFound where there is none."""
        if name not in self._queues:
            raise NotFound(f"there is no queue {name!r}; there are {', '.join(self._queues) or 'none'}")
        return self._queues[name]

    # Looking.

    async def page(self, wanted: Wanted, *, limit: int = 100, start: str = "") -> Page:
        """The latest letters that are meant, or those behind the place where an earlier page ended."""
        if not 1 <= limit <= PAGE_MAX:
            raise Unprocessable(f"limit is {limit}; a page has 1 to {PAGE_MAX} letters")
        found: list[Letter] = []
        looked_at, queue = 0, self.queue(wanted.queue)
        async for row, dead in self._letters(wanted, start, reverse=True):
            looked_at += 1
            if wanted.fits(dead):
                found.append(letter(queue, dead))
            if len(found) == limit or looked_at == LOOKED_AT_MAX:
                return Page(found, row.key)
        return Page(found)

    async def count(self, wanted: Wanted, *, mine: bool = False) -> int:
        """How many letters are meant; only of homes that this region acts for where they are to be `mine`."""
        number, queue = 0, self.queue(wanted.queue)
        async for _, dead in self._letters(wanted):
            number += wanted.fits(dead) and (not mine or self._ends.may(queue.place(spot(dead.key).home)))
        return number

    async def one(self, queue: str, message: str) -> Letter:
        """One letter; NotFound where there is none."""
        return letter(self.queue(queue), (await self._find(queue, message))[1])

    async def _find(self, queue: str, message: str) -> tuple[Row, Dead]:
        async for row, dead in self._letters(Wanted(queue, message=message)):
            return row, dead
        raise NotFound(f"queue {queue} has no dead letter {message!r}")

    async def _letters(
        self, wanted: Wanted, start: str = "", *, reverse: bool = False
    ) -> AsyncIterator[tuple[Row, Dead]]:
        """The letters of a queue, as the index finds them that fits best, from a place on."""
        table, first = self.queue(wanted.queue).dead_table, prefix(wanted.queue)
        index, entry = (BY_MESSAGE, wanted.message) if wanted.message else (BY_ERROR, wanted.error)
        if not entry:
            index = ""
        bounds = [first, first + LAST]
        if start:
            bounds[1 if reverse else 0] = start if reverse else start + LAST
        while True:
            span = Span(table, (entry, bounds[0]), (entry, bounds[1]), SLICE, index=index, reverse=reverse)
            rows = await self._ends.store.query(span)
            for row in rows:
                yield row, _decode(row.value or b"")
            if len(rows) < SLICE:
                return
            bounds[1 if reverse else 0] = rows[-1].key if reverse else rows[-1].key + LAST
            await breathe()

    # Changing.

    async def edit(self, queue: str, message: str, body: bytes) -> Letter:
        """Give a letter another body, in JSON.

        Raises:
            NotFound: there is no such letter.
            Unprocessable: the body is none of the queue's type.
            Unavailable: another region acts for it, or it changed at the same time.
        """
        declared = self.queue(queue)
        row, dead = await self._find(queue, message)
        encoded = declared.encoded(json_decoder(declared.kind)(body))
        edited = msgspec.structs.replace(dead, envelope=msgspec.structs.replace(dead.envelope, body=encoded))
        write = Write(declared.dead_table, row.key, _encode(edited), "home")
        if not await self._settle(declared, [row], [write]):
            raise Unavailable(
                f"{self._ends.region} does not act for the letters of {spot(dead.key).home}, or it changed"
            )
        return letter(declared, edited)

    def redrive(self, wanted: Wanted, *, to: str = "", rate: float = inf) -> Job:
        """Begin to send letters back to their queue, at most `rate` a second; to region `to`, or to their home."""
        queue, now = self.queue(wanted.queue), self._ends.clock.now
        return self._begin(wanted, "redrive", rate, lambda dead: _again(queue, dead, to, now()))

    def purge(self, wanted: Wanted, *, rate: float = inf) -> Job:
        """Begin to remove letters for good."""
        return self._begin(wanted, "purge", rate, lambda _: [])

    def jobs(self) -> list[Job]:
        """What was begun since the process began."""
        return [job for job, _ in self._jobs.values()]

    def cancel(self, job: str) -> Job:
        """Stop a job where it stands; what it has moved stays moved."""
        if job not in self._jobs:
            raise NotFound(f"{self._ends.region} has no job {job!r}")
        found, task = self._jobs[job]
        if found.state == "running":
            found.state = "cancelled"
            task.cancel()
        return found

    def stop(self) -> None:
        for _, task in self._jobs.values():
            task.cancel()

    def _begin(self, wanted: Wanted, what: str, rate: float, become: Become) -> Job:
        queue = self.queue(wanted.queue)
        if rate <= 0:
            raise Unprocessable(f"rate must be positive, got {rate:g}")
        job = Job(self._ends.entropy.token(4), wanted.queue, what)
        task = asyncio.get_running_loop().create_task(self._run(job, queue, wanted, rate, become))
        self._jobs[job.id] = job, task
        return job

    async def _run(self, job: Job, queue: Queue[Any], wanted: Wanted, rate: float, become: Become) -> None:
        size = max(1, min(BATCH, int(rate) if rate < inf else BATCH))
        try:
            async for batch in self._batches(wanted, size):
                await self._room(job, queue, spot(batch[0][1].key).home)
                moved = await self._move(queue, batch, become)
                job.moved += moved
                await self._ends.clock.sleep(moved / rate)
            job.state = "done"
        except Exception as error:  # noqa: BLE001 - whoever began it asks how it went
            job.state, job.why = "failed", f"{type(error).__name__}: {error}"
        event = DeadRedriven if job.what == "redrive" else DeadPurged
        self._ends.telemetry.emit(event(job.queue, job.moved, job.state))

    async def _batches(self, wanted: Wanted, size: int) -> AsyncIterator[list[tuple[Row, Dead]]]:
        """The letters that are meant and for whose home this region acts, of one home at a time."""
        batch: list[tuple[Row, Dead]] = []
        queue = self._queues[wanted.queue]
        async for row, dead in self._letters(wanted):
            home = spot(dead.key).home
            if not wanted.fits(dead) or not self._ends.may(queue.place(home)):
                continue
            if batch and (len(batch) == size or spot(batch[0][1].key).home != home):
                yield batch
                batch = []
            batch.append((row, dead))
        if batch:
            yield batch

    async def _room(self, job: Job, queue: Queue[Any], home: str) -> None:
        """Wait while the queue is full."""
        while job.what == "redrive" and queue.depth_max and self._depth(queue.name, home) >= queue.depth_max:
            await self._ends.clock.sleep(FULL_S)

    async def _move(self, queue: Queue[Any], batch: Sequence[tuple[Row, Dead]], become: Become) -> int:
        """Take letters away and write what they become; one by one where some changed at the same time."""
        rows = [row for row, _ in batch]
        writes = [Write(queue.dead_table, row.key, None, "home") for row in rows]
        if await self._settle(queue, rows, [*writes, *(write for _, dead in batch for write in become(dead))]):
            return len(batch)
        return sum([await self._move(queue, [one], become) for one in batch]) if len(batch) > 1 else 0

    async def _settle(self, queue: Queue[Any], rows: Sequence[Row], writes: Sequence[Write]) -> bool:
        place = queue.place(spot(_decode(rows[0].value or b"").key).home)
        reads = {(queue.dead_table, row.key): row.version for row in rows}
        return isinstance(await self._ends.commit(place, reads, writes), Committed)


def _again(queue: Queue[Any], dead: Dead, to: str, now: float) -> list[Write]:
    """The message that a letter becomes again."""
    envelope = dead.envelope
    told = msgspec.structs.replace(envelope, receives=0, not_before=0.0, moved=0, redriven=envelope.redriven + 1)
    died: Spot = spot(dead.key)
    where = died._replace(home=to or died.home, due_ms=milliseconds(now))
    return [Write(queue.table, where.key, _encode(told), "home")]


def letter(queue: Queue[Any], dead: Dead) -> Letter:
    """A letter as people read it; bytes that its type does not read are shown as such."""
    envelope, where = dead.envelope, spot(dead.key)
    return Letter(
        envelope.id,
        where.queue,
        where.home,
        where.group,
        dead.at,
        dead.error,
        dead.said,
        dead.fingerprint,
        envelope.receives,
        envelope.redriven,
        envelope.sent_at,
        envelope.unit,
        envelope.trace,
        readable(queue.decode, envelope.body),
        envelope.history,
    )


def _has(body: bytes, fields: Mapping[str, str]) -> bool:
    """Whether a body has these values, as text; `a.b` is a field of a field."""
    try:
        plain = _plain(body)
    except msgspec.DecodeError:
        return False
    return all(_text(plain, name.split(".")) == value for name, value in fields.items())


def _text(value: Any, path: Sequence[str]) -> str | None:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]  # pyright: ignore[reportUnknownVariableType]
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
