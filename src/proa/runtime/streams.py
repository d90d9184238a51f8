"""Change streams of one region: the journal of each origin it acts for is read on, and handed to the author.

How far a stream has come with an origin is a row of its own, written in the commit of the handler's own writes and
checked to be unchanged: so each change takes effect once, however often a handler runs. It is a row of mode `home` that
names the origin's region: two regions never write it under rights that overlap, and who takes over has first applied
what the other did. What a lost region still commits later is parked with it, and so is what was made of a change that
is parked itself.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from proa.core.home import Place as Home
from proa.core.replicate.journal import Commit, Dot, Key, Write
from proa.core.replicate.stamp import Versions, region_of
from proa.core.time import wall_of
from proa.declare.context import CURRENT
from proa.declare.handlers import Route
from proa.declare.streams import Change, Stream
from proa.errors import DeadlineExceeded, ProaError
from proa.ports import Clock, Committed, Conflict, Entropy, RegionStore, Result, Span, Telemetry
from proa.runtime.authority import Authority
from proa.runtime.events import StreamFailed, StreamGap
from proa.runtime.unit import Frame, Unit

POSITIONS = "~streams"
"""Key: stream and origin. Value: the last sequence that was handed over."""
SEPARATOR = "\x1f"
ENTRIES = 200
"""How many entries are looked at in one go."""
NOTED_EVERY = 1000
"""So many entries without a change are passed before that is noted durably."""
IDLE_S = 5.0
"""Commits wake a stream; after this it looks at its rights again, which time alone may have changed."""
BACKOFF_S = 0.25
BACKOFF_MAX_S = 60.0
_decode_commit = msgspec.msgpack.Decoder(Commit).decode
_decode_seq = msgspec.msgpack.Decoder(int).decode
_encode = msgspec.msgpack.Encoder().encode


class Failing(msgspec.Struct, frozen=True):
    """A handler that failed on an origin's changes: how often, why last, since when, and when it runs again.

    Both times are monotonic.
    """

    attempts: int
    error: str
    since: float
    again_at: float


class StreamStatus(msgspec.Struct, frozen=True):
    """How far a stream has come with an origin that this region acts for: `lag` entries are still to be looked at.

    `failing` is why its handler failed last, `attempts` how often in a row, `failing_s` for how long.
    """

    stream: str
    origin: str
    position: int
    lag: int
    failing: str = ""
    attempts: int = 0
    failing_s: float = 0.0


class Place(msgspec.Struct, frozen=True):
    """Where a stream stands with an origin: its row's version (0: none yet), and the last sequence handed over."""

    stream: Stream[Any]
    origin: str
    version: int
    seq: int

    @property
    def key(self) -> Key:
        return (POSITIONS, f"{self.stream.name}{SEPARATOR}{self.origin}")

    @property
    def home(self) -> Home:
        """Whose it is to go on: the origin's region, while that holds the right to write."""
        return Home(self.stream.name, region_of(self.origin))


class Streams:
    """Runs the streams of one region."""

    def __init__(
        self,
        streams: Sequence[Stream[Any]],
        store: RegionStore,
        authority: Authority,
        new_unit: Callable[[Route, Frame], Unit],
        ends: tuple[Clock, Entropy, Telemetry],
        unit_id: Callable[[], str],
    ) -> None:
        self._streams = streams
        self._store = store
        self._authority = authority
        self._new_unit = new_unit
        self._clock, self._entropy, self._telemetry = ends
        self._unit_id = unit_id
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        """Past a position, entries up to here have no change to tell of."""
        self._noted: dict[tuple[str, str], int] = {}
        self._failing: dict[tuple[str, str], Failing] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(stream)) for stream in self._streams]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def needed(self) -> Versions:
        """Up to where each origin's entries are done with, by every stream of which this region knows."""
        needed: Versions = {}
        for (_, origin), seq in self._noted.items():
            needed[origin] = min(seq, needed.get(origin, seq))
        return needed

    def status(self) -> list[StreamStatus]:
        """Every origin that this region acts for."""
        cursors = self._store.cursors()
        return [
            self._status(name, seq, cursors.get(name[1], 0))
            for name, seq in sorted(self._noted.items())
            if self._authority.may_write_home(Home(name[0], region_of(name[1])))
        ]

    def _status(self, name: tuple[str, str], seq: int, cursor: int) -> StreamStatus:
        lag = max(0, cursor - self._looked_at(name, seq))
        failing = self._failing.get(name)
        if failing is None:
            return StreamStatus(*name, seq, lag)
        failing_s = round(self._clock.monotonic() - failing.since, 3)
        return StreamStatus(*name, seq, lag, failing.error, failing.attempts, failing_s)

    async def _run(self, stream: Stream[Any]) -> None:
        while True:
            before = self._store.cursors()
            more = [await self._go_on(stream, origin) for origin in sorted(before) if self._due(stream, origin)]
            if not any(more):
                await self._store.changed(before, self._idle_s(stream))

    def _due(self, stream: Stream[Any], origin: str) -> bool:
        failing = self._failing.get((stream.name, origin))
        return (failing is None or failing.again_at <= self._clock.monotonic()) and not self._store.joining

    def _idle_s(self, stream: Stream[Any]) -> float:
        """Commits wake it; time alone ends a pause, or the wait for another region's lease."""
        now = self._clock.monotonic()
        again = [failing.again_at - now for (name, _), failing in self._failing.items() if name == stream.name]
        return max(0.01, min([IDLE_S, *again]))

    # One origin.

    async def _go_on(self, stream: Stream[Any], origin: str) -> bool:
        """Hand over the next changes of an origin; whether there may be more."""
        place = await self._place(stream, origin)
        name = (stream.name, origin)
        self._noted[name] = place.seq
        if not self._authority.may_write_home(place.home):
            return False
        floor = self._store.floors().get(origin, 0)
        if place.version == 0 or place.seq < floor:
            if place.seq < floor:
                self._telemetry.emit(StreamGap(stream.name, origin, place.seq, floor))
            return await self._hand_over(place, max(place.seq, floor), [], [])
        begin = self._looked_at(name, place.seq)
        entries = await self._store.journal({origin: begin}, ENTRIES)
        end, changes, dots = await self._changes(stream, begin, entries)
        if changes or end - place.seq >= NOTED_EVERY:
            return await self._hand_over(place, end, changes, dots)
        self._seen[name] = (place.seq, end)
        return bool(entries)

    def _looked_at(self, name: tuple[str, str], position: int) -> int:
        """Up to where the entries after a position are known to have no change; the position may have gone back."""
        at, seen = self._seen.get(name, (position, position))
        return seen if at == position else position

    async def _place(self, stream: Stream[Any], origin: str) -> Place:
        place = Place(stream, origin, 0, 0)
        (row,) = await self._store.read([place.key])
        if row and row.value:
            return Place(stream, origin, row.version, _decode_seq(row.value))
        return Place(stream, origin, 0, await self._beginning(stream, origin))

    async def _beginning(self, stream: Stream[Any], origin: str) -> int:
        """Where a stream begins that was never told of this origin; of a region that it knew it wants everything."""
        prefix = f"{stream.name}{SEPARATOR}{region_of(origin)}/"
        span = Span(POSITIONS, ("", prefix), ("", prefix + "~"), 1, self._clock.now())
        known = stream.start == "beginning" or await self._store.query(span)
        return 0 if known else self._store.cursors().get(origin, 0)

    async def _changes(
        self, stream: Stream[Any], begin: int, entries: Sequence[bytes]
    ) -> tuple[int, list[Change[Any]], list[Dot]]:
        """The next batch of changes, without what is set aside; up to which sequence they go, and their commits."""
        end, changes, dots = begin, list[Change[Any]](), list[Dot]()
        aside = await self._set_aside()
        for commit in map(_decode_commit, entries):
            if (commit.origin, commit.seq) not in aside and (found := list(_changes_in(stream, commit))):
                changes += found
                dots.append((commit.origin, commit.seq))
            end = commit.seq
            if len(changes) >= self._batch(stream, commit.origin):
                break
        return end, changes, dots

    async def _set_aside(self) -> set[Dot]:
        assignment = self._authority.assignment
        if assignment is None or not assignment.cuts:
            return set()
        return {(parked.commit.origin, parked.commit.seq) for parked in await self._store.parked()}

    def _batch(self, stream: Stream[Any], origin: str) -> int:
        """After a failure one commit at a time, so that what it does not like stands alone."""
        return 1 if (stream.name, origin) in self._failing else stream.batch

    # Handing over.

    async def _hand_over(self, place: Place, end: int, changes: Sequence[Change[Any]], dots: Sequence[Dot]) -> bool:
        name = (place.stream.name, place.origin)
        try:
            result = await self._commit(place, end, changes, dots)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is tried again later
            self._failed(name, error)
            return False
        if isinstance(result, Committed):
            self._failing.pop(name, None)
            self._noted[name] = end
        return isinstance(result, Committed | Conflict)  # a lost race is run again, a lost right is not

    async def _commit(self, place: Place, end: int, changes: Sequence[Change[Any]], dots: Sequence[Dot]) -> Result:
        stream, epoch = place.stream, self._authority.epoch
        deadline = self._clock.monotonic() + stream.timeout_s
        unit = self._new_unit(_route(stream), Frame(self._unit_id(), deadline=deadline))
        await self._handle(stream, changes, unit)
        batch = unit.batch("regional", None, epoch, keep_writes=True)
        batch.reads = {**batch.reads, place.key: place.version}
        batch.writes.append(Write(*place.key, _encode(end), "home"))
        batch.places = (*batch.places, place.home)
        batch.dots = [*batch.dots, *dots]
        return await self._store.commit(batch)

    async def _handle(self, stream: Stream[Any], changes: Sequence[Change[Any]], unit: Unit) -> None:
        token = CURRENT.set(unit)
        try:
            async with asyncio.timeout(stream.timeout_s):
                for change in changes:
                    await stream.handler(change)
        except TimeoutError:
            raise DeadlineExceeded(f"stream {stream.name} took longer than {stream.timeout_s:g} s") from None
        finally:
            CURRENT.reset(token)

    def _failed(self, name: tuple[str, str], error: Exception) -> None:
        now, before = self._clock.monotonic(), self._failing.get(name)
        attempts, since = (before.attempts + 1, before.since) if before else (1, now)
        pause_s = min(BACKOFF_MAX_S, BACKOFF_S * 2**attempts) * (0.5 + self._entropy.random() / 2)
        said = error.code if isinstance(error, ProaError) else type(error).__name__
        self._failing[name] = Failing(attempts, said, since, now + pause_s)
        told = "".join(traceback.format_exception(error))
        self._telemetry.emit(StreamFailed(*name, attempts, said, round(pause_s, 3), told))


def _changes_in(stream: Stream[Any], commit: Commit) -> Iterator[Change[Any]]:
    at = wall_of(commit.stamp)
    for write in commit.writes:
        if write.table in stream.table.parts:
            row = None if write.value is None else stream.table.decode(write.value)
            yield Change(write.key, row, region_of(commit.origin), commit.unit, at)


def _route(stream: Stream[Any]) -> Route:
    """What a unit must know of the declaration that it runs for."""
    return Route(
        method="STREAM",
        path=stream.name,
        scope=f"stream {stream.name}",
        handler=stream.handler,
        getters={},
        idempotent=False,
        timeout_s=stream.timeout_s,
        status=200,
        objectives=None,
        declared_unit="regional",
        declared_acknowledge=None,
        default_acknowledge="region",
        is_async=True,
    )
