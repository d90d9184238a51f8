"""Dead letters: messages that were given up. People look for them, send them back, change or remove them.

A letter goes back to the queue in which it died, as a message with its id, in the commit that takes it from here: so it
is in one of the two and never in both. Its attempts count from none again, and it remembers those that it had. Every
region can show all letters; only the one that acts for a letter's home changes anything about it.

There may be a million of them, and whoever asks shall not stop the region: a page and a count look at a bounded number
of letters, and say where to go on. What letters are found by at once is their error's fingerprint, their id, and when
they died; by anything else they are looked through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import inf, nextafter
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from proa.bell import breathe
from proa.core.queue import LAST, SEPARATOR, Dead, digits, milliseconds, prefix, spot
from proa.core.replicate.journal import Row, Write
from proa.declare.codec import json_decoder, readable
from proa.declare.keys import NEXT
from proa.declare.queues import BY_ERROR, BY_MESSAGE, Queue
from proa.errors import NotFound, Unavailable, Unprocessable
from proa.ports import Committed, Span
from proa.runtime.errands import Ends
from proa.runtime.events import DeadPurged, DeadRedriven

PAGE_MAX = 1000
SLICE = 500
LOOKED_AT_MAX = 5_000
"""So many letters are looked at for one page, or one count; what is behind them is the next one's."""
DIED_AT_MAX = 9_999_999_999.0
"""The latest time that keys have room for."""
BATCH = 200
"""So many letters share a commit."""
ENDED_KEPT = 100
"""So many jobs that have ended are told of; the ones begun before them are forgotten."""
FULL_S = 0.5
"""How long sending back waits where the queue is full."""
Found = tuple[Row, Dead]
"""A letter as the store has it."""
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


class Tried(msgspec.Struct, frozen=True):
    """An attempt as people read it, which stores keep as a `core.queue.Attempt`."""

    at: float
    region: str
    error: str
    said: str
    took_s: float


class Letter(msgspec.Struct, frozen=True):
    """A letter as people read it; times are in seconds since 1970.

    `message` is the message's id, `region` its home, `group` the one it is in, if any; `unit` sent it, under `trace`.
    It was given up after so many `attempts` with an `error` (a code, or an exception's name) that `said` why; those of
    one `fingerprint` failed alike. `redriven` is how often it was sent back before, `history` its attempts, `body` what
    it carries.
    """

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
    history: Sequence[Tried]


class Page(msgspec.Struct, frozen=True):
    """Some letters, the latest first, of so many `looked_at`; `next` is where to go on, empty where all were."""

    letters: list[Letter]
    looked_at: int
    next: str = ""


class Counted(msgspec.Struct, frozen=True):
    """How many letters there are among so many `looked_at`; `next` is where to go on, empty where all were."""

    letters: int
    looked_at: int
    next: str = ""


class Job(msgspec.Struct):
    """Letters on their way back to their queue, or out: how many a region has `moved` so far, and `what` it does.

    `state` is running, done, cancelled, or failed with the reason `why`.
    """

    id: str
    queue: str
    what: str
    moved: int = 0
    state: str = "running"
    why: str = ""


class Where(NamedTuple):
    """Where a letter stands among those of all homes, which are in the order in which they died."""

    died: str
    id: str
    home: str

    @property
    def text(self) -> str:
        """The same for people to hand back."""
        return f"{self.died}:{self.home}:{self.id}"

    @classmethod
    def of(cls, row: Row) -> Where:
        """The place of a letter's row."""
        _, home, died, id_ = row.key.split(SEPARATOR)
        return cls(died, id_, home)

    @classmethod
    def read(cls, text: str) -> Where:
        """The place that was handed back."""
        try:
            died, home, id_ = text.split(":", 2)
        except ValueError:
            raise Unprocessable(f"start is {text!r}, which is not where a page ended") from None
        return cls(died, id_, home)

    def end(self, queue: str, home: str) -> str:
        """The key before which letters of some home are behind this place."""
        return prefix(queue, home, self.died) + self.id + (NEXT if home < self.home else "")


Head = tuple[Where, Found, AsyncIterator[Found]]
"""The next letter of a stream, with its place before it and the rest behind it."""


class DeadLetters:
    """The dead letters of one region's queues."""

    def __init__(self, queues: Mapping[str, Queue[Any]], ends: Ends, depth: Callable[[str, str], int]) -> None:
        self._queues = queues
        self._ends = ends
        self._depth = depth
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def queue(self, name: str) -> Queue[Any]:
        """The declared queue of this name; NotFound where there is none."""
        if name not in self._queues:
            raise NotFound(f"there is no queue {name!r}; there are {', '.join(self._queues) or 'none'}")
        return self._queues[name]

    # Looking.

    async def page(self, wanted: Wanted, *, limit: int = 100, start: str = "") -> Page:
        """The latest letters that are meant, or those behind the place where an earlier page ended.

        It may have fewer than `limit`, or none, and say where to go on all the same.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise Unprocessable(f"limit is {limit}; a page has 1 to {PAGE_MAX} letters")
        found: list[Letter] = []
        looked_at, queue = 0, self.queue(wanted.queue)
        async for row, dead in self._latest(wanted, await self._homes(wanted), start):
            looked_at += 1
            if wanted.fits(dead):
                found.append(letter(queue, dead))
            if len(found) == limit or looked_at == LOOKED_AT_MAX:
                return Page(found, looked_at, Where.of(row).text)
        return Page(found, looked_at)

    async def count(self, wanted: Wanted, *, mine: bool = False, start: str = "") -> Counted:
        """How many letters are meant, from a place on; only of homes that this region acts for if they are `mine`."""
        number, looked_at = 0, 0
        async for row, dead in self._latest(wanted, await self._homes(wanted, mine=mine), start):
            looked_at += 1
            number += wanted.fits(dead)
            if looked_at == LOOKED_AT_MAX:
                return Counted(number, looked_at, Where.of(row).text)
        return Counted(number, looked_at)

    async def one(self, queue: str, message: str) -> Letter:
        """One letter; NotFound where there is none."""
        return letter(self.queue(queue), (await self._find(queue, message))[1])

    async def _find(self, queue: str, message: str) -> Found:
        wanted = Wanted(queue, message=message)
        async for found in self._latest(wanted, await self._homes(wanted)):
            return found
        raise NotFound(f"queue {queue} has no dead letter {message!r}")

    def _latest(self, wanted: Wanted, homes: Sequence[str], start: str = "") -> AsyncIterator[Found]:
        """The letters of some homes that may be meant, the latest first; those behind a place if it is given."""
        place = Where.read(start) if start else None
        ends = {home: place.end(wanted.queue, home) if place else "" for home in homes}
        return _merged([self._of_home(wanted, home, ends[home], reverse=True) for home in homes])

    async def _homes(self, wanted: Wanted, *, mine: bool = False) -> list[str]:
        """The homes of the letters that may be meant; only those that this region acts for if they are `mine`."""
        homes: list[str] = []
        start, end = prefix(wanted.queue), prefix(wanted.queue) + LAST
        while rows := await self._slice(wanted, start, end, 1, reverse=True):  # what was sent back leaves gaps in front
            homes.append(Where.of(rows[0]).home)
            end = prefix(wanted.queue, homes[-1])
        queue = self.queue(wanted.queue)
        return [
            home for home in homes if wanted.region in ("", home) and (not mine or self._ends.may(queue.place(home)))
        ]

    async def _of_home(
        self, wanted: Wanted, home: str, end: str = "", *, reverse: bool = False
    ) -> AsyncIterator[Found]:
        """The letters of one home that may be meant, those before the key `end` if it is given."""
        first = prefix(wanted.queue, home)
        start, last = first + _moment(wanted.since), first + _moment(wanted.until) + LAST
        end = min(end or last, last)
        while rows := await self._slice(wanted, start, end, SLICE, reverse=reverse):
            for row in rows:
                yield row, _decode(row.value or b"")
            if len(rows) < SLICE:
                return
            start, end = (start, rows[-1].key) if reverse else (rows[-1].key + NEXT, end)
            await breathe()

    async def _slice(self, wanted: Wanted, start: str, end: str, limit: int, *, reverse: bool = False) -> list[Row]:
        """Letters between two keys, as the index finds them that fits best."""
        index, entry = (BY_MESSAGE, wanted.message) if wanted.message else (BY_ERROR, wanted.error)
        table = self.queue(wanted.queue).dead_table
        span = Span(table, (entry, start), (entry, end), limit, index=index if entry else "", reverse=reverse)
        return await (self._ends.store.query(span) if entry else self._walked(span))

    async def _walked(self, span: Span) -> list[Row]:
        """The letters of a stretch. Those that left it may be many: others have their turn while they are passed."""
        rows, rest = await self._ends.store.walk(span)
        while rest and len(rows) < span.limit:
            await breathe()
            found, rest = await self._ends.store.walk(msgspec.structs.replace(rest, limit=SLICE))
            rows += found
        return rows[: span.limit]

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

    def redrive(self, wanted: Wanted, *, to: str = "", rate: float = inf, job: str = "") -> Job:
        """Begin to send letters back to their queue, at most `rate` a second; to region `to`, or to their home.

        Those that died until now: one that dies again is not sent back by the same job. A `job` that was named by who
        asks is begun once: who asks again under its name is told how it goes.
        """
        queue, now = self.queue(wanted.queue), self._ends.clock.now
        return self._begin(wanted, "redrive", rate, job, lambda dead: _again(queue, dead, to, now()))

    def purge(self, wanted: Wanted, *, rate: float = inf, job: str = "") -> Job:
        """Begin to remove letters for good, those that died until now; see `redrive` for the name of the `job`."""
        return self._begin(wanted, "purge", rate, job, lambda _: [])

    def jobs(self) -> list[Job]:
        """What goes on, and the last that have ended since the process began."""
        return [*self._jobs.values()]

    def cancel(self, queue: str, job: str) -> Job:
        """Stop a job where it stands; what it has moved stays moved.

        Raises:
            NotFound: there is none, or it ended long ago. Should its beginning still be on its way, it does nothing.
        """
        if job not in self._jobs:
            self._keep(Job(job, queue, "", state="cancelled"))
            raise NotFound(
                f"{self._ends.region} has no job {job!r}; it tells of those that go on and the last {ENDED_KEPT} that "
                "have ended since it started"
            )
        found = self._jobs[job]
        if found.state == "running":
            found.state = "cancelled"
            self._tasks[job].cancel()
        return found

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _begin(self, wanted: Wanted, what: str, rate: float, name: str, become: Become) -> Job:
        queue = self.queue(wanted.queue)
        if rate <= 0:
            raise Unprocessable(f"rate must be positive, got {rate:g}")
        if name in self._jobs:
            return self._jobs[name]
        job = self._keep(Job(name or self._ends.entropy.token(4), wanted.queue, what))
        there = msgspec.structs.replace(wanted, until=min(wanted.until, nextafter(self._ends.clock.now(), inf)))
        task = asyncio.get_running_loop().create_task(self._run(job, queue, there, rate, become))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id))
        return job

    def _keep(self, job: Job) -> Job:
        """Tell of a job from now on, and no more of those that ended too long ago."""
        self._jobs[job.id] = job
        ended = [one.id for one in self._jobs.values() if one.state != "running"]
        for old in ended[:-ENDED_KEPT]:
            del self._jobs[old]
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

    async def _batches(self, wanted: Wanted, size: int) -> AsyncIterator[list[Found]]:
        """The letters that are meant, those of one home at a time, for as long as this region acts for it."""
        queue = self._queues[wanted.queue]
        for home in await self._homes(wanted, mine=True):
            async for batch in _grouped(self._of_home(wanted, home), wanted.fits, size):
                if not self._ends.may(queue.place(home)):
                    break
                yield batch

    async def _room(self, job: Job, queue: Queue[Any], home: str) -> None:
        """Wait while the queue is full."""
        while job.what == "redrive" and queue.depth_max and self._depth(queue.name, home) >= queue.depth_max:
            await self._ends.clock.sleep(FULL_S)

    async def _move(self, queue: Queue[Any], batch: Sequence[Found], become: Become) -> int:
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


async def _merged(streams: Sequence[AsyncIterator[Found]]) -> AsyncIterator[Found]:
    """What comes in several streams, each the latest first, as one of the same order."""
    heads: list[Head] = []
    for stream in streams:
        heads += await _head(stream)
    while len(heads) > 1:
        heads.sort(key=itemgetter(0))
        _, found, stream = heads.pop()
        yield found
        heads += await _head(stream)
    for _, found, stream in heads:
        yield found
        async for further in stream:
            yield further


async def _head(stream: AsyncIterator[Found]) -> list[Head]:
    """The next letter of a stream; none where it is over."""
    found = await anext(stream, None)
    return [(Where.of(found[0]), found, stream)] if found else []


async def _grouped(stream: AsyncIterator[Found], fits: Callable[[Dead], bool], size: int) -> AsyncIterator[list[Found]]:
    """The letters of a stream that fit, so many at a time."""
    group: list[Found] = []
    async for found in stream:
        if fits(found[1]):
            group.append(found)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _moment(at: float) -> str:
    """A time as keys have it, within what they have room for."""
    return digits(milliseconds(min(max(at, 0.0), DIED_AT_MAX)))


def _again(queue: Queue[Any], dead: Dead, to: str, now: float) -> list[Write]:
    """The message that a letter becomes again."""
    envelope = dead.envelope
    told = msgspec.structs.replace(envelope, receives=0, not_before=0.0, moved=0, redriven=envelope.redriven + 1)
    died = spot(dead.key)
    where = msgspec.structs.replace(died, home=to or died.home, due_ms=milliseconds(now))
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
        envelope.sender,
        envelope.traceparent,
        readable(queue.decode, envelope.body),
        [Tried(*msgspec.structs.astuple(attempt)) for attempt in envelope.history],
    )


def _has(body: bytes, fields: Mapping[str, str]) -> bool:
    """Whether a body has these values, as text; `a.b` is a field of a field."""
    try:
        plain = _plain(body)
    except ValueError:
        return False
    return all(_text(plain, name.split(".")) == value for name, value in fields.items())


def _text(value: Any, path: Sequence[str]) -> str | None:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]  # pyright: ignore[reportUnknownVariableType]
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
