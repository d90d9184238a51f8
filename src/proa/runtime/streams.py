"""Change streams of one region: the journal of each origin it acts for is read on, and handed to the author.

How far a stream has come with an origin is a row of its own, written in the commit of the handler's own writes and
checked to be unchanged: so each change takes effect once, however often a handler runs. It is a row of mode `home` that
names the origin's region: two regions never write it under rights that overlap, and who takes over has first applied
what the other did. What a lost region still commits later is parked with it, and so is what was made of a change that
is parked itself. What the journal has no longer is read from the base (`replay`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from proa.core.home import Place as Home
from proa.core.replicate.journal import Dot, Key, Write
from proa.core.replicate.resolve import dots_of
from proa.core.replicate.stamp import Versions, region_of
from proa.declare.context import CURRENT
from proa.declare.handlers import Route
from proa.declare.streams import Change, Stream
from proa.errors import DeadlineExceeded, NotFound, ProaError, StoreCorrupt, Unavailable, Unprocessable, code_of
from proa.ports import Committed, Conflict, Result, Span
from proa.runtime.changes import BlindReader, Reader
from proa.runtime.errands import Ends
from proa.runtime.events import StreamFailed, StreamGap, traceback_of
from proa.runtime.replay import Position, Walk, beginning, decode_position, seq_of, walked
from proa.runtime.unit import Frame, Unit

POSITIONS = "~streams"
"""Key: stream and origin. Value: the `Position`."""
SEPARATOR = "\x1f"
ENTRIES = 200
"""How many entries are looked at in one go."""
NOTED_EVERY = 1000
"""So many entries without a change are passed before that is noted durably."""
NOTED_EVERY_S = 600.0
"""Or fewer, after so long: what is not noted stays in the journal, and everything else that depends on it does, too."""
IDLE_S = 5.0
"""Commits wake a stream; after this it looks at every origin again: at rights, which time alone may have changed, and
at what others did with it."""
BACKOFF_S = 0.25
BACKOFF_MAX_S = 60.0
RACES_MAX = 20
"""So often a request to start over is repeated, against the stream's own commits."""
_encode = msgspec.msgpack.Encoder().encode


Sight = tuple[int, int, bool]
"""On what a turn depends but time: the origin's cursor here, the epoch, and whether this region may go on with it."""


class Failing(msgspec.Struct, frozen=True):
    """A handler that failed on an origin's changes: how often, why last, since when, and when it runs again.

    Both times are monotonic. `alone`: it was one commit, or one row; of several together nobody knows which it was.
    """

    attempts: int
    error: str
    since: float
    again_at: float
    alone: bool = True


class StreamStatus(msgspec.Struct, frozen=True):
    """How far a stream has come with an origin that this region acts for: `lag` entries are still to be looked at.

    `failing` is why its handler failed last, `attempts` how often in a row, `failing_s` for how long; what failed
    together with others is tried alone first. `walking` is the last row told, while it reads what the journal has no
    longer.
    """

    stream: str
    origin: str
    position: int
    lag: int
    failing: str = ""
    attempts: int = 0
    failing_s: float = 0.0
    walking: str = ""


class Place(msgspec.Struct, frozen=True):
    """Where a stream stands with an origin, by its row there of this version (0: none yet)."""

    stream: Stream[Any]
    origin: str
    version: int
    position: Position

    @property
    def name(self) -> tuple[str, str]:
        return (self.stream.name, self.origin)

    @property
    def key(self) -> Key:
        return (POSITIONS, f"{self.stream.name}{SEPARATOR}{self.origin}")

    @property
    def home(self) -> Home:
        """Whose it is to go on."""
        return _home(self.name)


class Told(msgspec.Struct, frozen=True):
    """What is handed over in one commit: changes, the commits that made them, and where the stream stands then."""

    end: Position
    changes: list[Change[Any]] = []
    dots: list[Dot] = []


class Streams:
    """Runs the streams of one region."""

    def __init__(self, streams: Sequence[Stream[Any]], ends: Ends) -> None:
        self._streams = streams
        self._ends = ends
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        """Past a position, entries up to here have no change to tell of."""
        self._noted: dict[tuple[str, str], Position] = {}
        self._noted_at: dict[tuple[str, str], float] = {}
        self._failing: dict[tuple[str, str], Failing] = {}
        self._idle: dict[tuple[str, str], tuple[Sight, float]] = {}
        """Where a turn found nothing to do: what it saw, and when. A commit of one origin wakes no other's turn."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(stream)) for stream in self._streams]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    @property
    def names(self) -> list[str]:
        """The streams that there are."""
        return [stream.name for stream in self._streams]

    def needed(self) -> Versions:
        """Up to where every stream is done with each origin's entries; where one has not looked yet, with none."""
        return {
            origin: min(self._done(stream, origin) for stream in self._streams) for origin in self._ends.store.cursors()
        }

    def _done(self, stream: Stream[Any], origin: str) -> int:
        return seq_of(self._noted.get((stream.name, origin), 0))

    def status(self) -> list[StreamStatus]:
        """Every origin that this region acts for."""
        cursors = self._ends.store.cursors()
        return [
            self._status(name, self._noted[name], cursors.get(name[1], 0))
            for name in sorted(self._noted)
            if self._ends.may(_home(name))
        ]

    def _status(self, name: tuple[str, str], position: Position, cursor: int) -> StreamStatus:
        seq, walking = seq_of(position), position.shown if isinstance(position, Walk) else ""
        lag = max(0, cursor - self._looked_at(name, seq))
        failing = self._failing.get(name)
        if failing is None or not failing.alone:
            return StreamStatus(*name, seq, lag, walking=walking)
        failing_s = round(self._ends.clock.monotonic() - failing.since, 3)
        return StreamStatus(*name, seq, lag, failing.error, failing.attempts, failing_s, walking)

    async def _run(self, stream: Stream[Any]) -> None:
        while True:
            before = self._ends.store.cursors()
            more = [await self._look(stream, origin, cursor) for origin, cursor in sorted(before.items())]
            if not any(more):
                await self._ends.store.changed(before, self._idle_s(stream))

    async def _look(self, stream: Stream[Any], origin: str, cursor: int) -> bool:
        """Take a turn if there may be something to do; whether there may be more."""
        name = (stream.name, origin)
        sight = (cursor, self._ends.authority.epoch, self._ends.may(_home(name)))
        if not self._due(name, sight):
            return False
        more = await self._turn(stream, origin)
        if not more:
            self._idle[name] = sight, self._ends.clock.monotonic()
        return more

    def _due(self, name: tuple[str, str], sight: Sight) -> bool:
        """Whether a turn may find something: not where one found nothing, and all that it saw is as it was."""
        now = self._ends.clock.monotonic()
        if self._ends.store.joining:
            return False
        if failing := self._failing.get(name):
            return failing.again_at <= now
        seen, at = self._idle.get(name, (None, 0.0))
        return sight != seen or now - at >= IDLE_S

    def _idle_s(self, stream: Stream[Any]) -> float:
        """Commits wake it; time alone ends a pause, or the wait for another region's lease."""
        now = self._ends.clock.monotonic()
        again = [failing.again_at - now for (name, _), failing in self._failing.items() if name == stream.name]
        return max(0.01, min([IDLE_S, *again]))

    # One origin.

    async def _turn(self, stream: Stream[Any], origin: str) -> bool:
        """Go on with an origin; where something of it cannot be read the stream waits there, and says so."""
        try:
            return await self._go_on(stream, origin)
        except (ValueError, ProaError) as error:
            self._noted.setdefault((stream.name, origin), 0)
            self._failed((stream.name, origin), error)
            return False

    async def _go_on(self, stream: Stream[Any], origin: str) -> bool:
        """Hand over the next changes of an origin; whether there may be more."""
        place = await self._place(stream, origin)
        self._noted[place.name] = place.position
        if not self._ends.may(place.home):
            return False
        if place.version == 0:
            return await self._hand_over(place, Told(place.position))
        floor = self._ends.store.floors().get(origin, 0)
        if not isinstance(place.position, Walk) and place.position < floor:
            self._ends.telemetry.emit(StreamGap(stream.name, origin, place.position, floor))
            return await self._hand_over(place, Told(floor))
        return await self._hand_over_next(place)

    async def _hand_over_next(self, place: Place) -> bool:
        told = await self._next(place, Reader(place.stream))
        if told is None:
            return await self._begin_again(place)
        if (
            told.changes
            or isinstance(place.position, Walk)
            or self._notes(place.name, seq_of(told.end) - place.position)
        ):
            return await self._hand_over(place, told)
        before = self._looked_at(place.name, place.position)
        self._seen[place.name] = (place.position, seq_of(told.end))
        return seq_of(told.end) > before

    def _notes(self, name: tuple[str, str], passed: int) -> bool:
        """Whether to note durably that so many entries have no change."""
        since = self._noted_at.setdefault(name, self._ends.clock.monotonic())
        return passed >= NOTED_EVERY or (passed > 0 and self._ends.clock.monotonic() - since >= NOTED_EVERY_S)

    async def _next(self, place: Place, reader: Reader) -> Told | None:
        """The next changes; None where the base over which the stream walks is not the one that it began with."""
        stream, origin, position = place.stream, place.origin, place.position
        if not isinstance(position, Walk):
            begin = self._looked_at(place.name, position)
            return await self._changes(place, begin, await self._ends.store.journal({origin: begin}, ENTRIES), reader)
        if position.region != self._ends.region:
            return None
        return await self._walked(place, position, self._batch(stream, origin), reader)

    async def _walked(self, place: Place, walk: Walk, limit: int, reader: Reader) -> Told | None:
        """The next rows of the base. What comes before something unreadable goes first."""
        stream, origin = place.stream, place.origin
        found = await walked(self._ends.store, origin, walk, list(stream.table.parts), limit)
        if found is None:
            return None
        end, rows = found
        changes: list[Change[Any]] = []
        for row in rows:
            try:
                changes.append(reader.in_base(origin, row))
            except ValueError:
                if changes:
                    return await self._walked(place, walk, len(changes), reader)
                raise
        return Told(end, changes, [dot for row in rows for dot in dots_of(row)])

    def _looked_at(self, name: tuple[str, str], position: int) -> int:
        """Up to where the entries after a position are known to have no change; the position may have gone back."""
        at, seen = self._seen.get(name, (position, position))
        return seen if at == position else position

    async def _place(self, stream: Stream[Any], origin: str) -> Place:
        place = Place(stream, origin, 0, 0)
        (row,) = await self._ends.store.read([place.key])
        if row and row.value:
            return Place(stream, origin, row.version, decode_position(row.value))
        return Place(stream, origin, 0, await self._beginning(stream, origin))

    async def _beginning(self, stream: Stream[Any], origin: str) -> Position:
        """Where a stream begins that was never told of this origin; of a region that it knew it wants everything."""
        prefix = f"{stream.name}{SEPARATOR}{region_of(origin)}/"
        span = Span(POSITIONS, ("", prefix), ("", prefix + "~"), 1, self._ends.clock.now())
        known = stream.start == "beginning" or await self._ends.store.query(span)
        return self._first(origin) if known else self._ends.store.cursors().get(origin, 0)

    def _first(self, origin: str) -> Position:
        return beginning(self._ends.region, self._ends.store.floors().get(origin, 0))

    async def _changes(self, place: Place, begin: int, entries: Sequence[bytes], reader: Reader) -> Told:
        """The next batch of changes, without what is set aside. What comes before something unreadable goes first."""
        end, changes, dots = begin, list[Change[Any]](), list[Dot]()
        aside = await self._set_aside()
        for entry in entries:
            try:
                dot, found = reader.in_entry(entry, (place.origin, end + 1))
            except (ValueError, StoreCorrupt):
                if changes:
                    break
                raise
            end = dot[1]
            if found and dot not in aside:
                changes += found
                dots.append(dot)
            if len(changes) >= self._batch(place.stream, place.origin):
                break
        return Told(end, changes, dots)

    async def _set_aside(self) -> set[Dot]:
        assignment = self._ends.authority.assignment
        if assignment is None or not assignment.cuts:
            return set()
        return {(parked.commit.origin, parked.commit.seq) for parked in await self._ends.store.parked()}

    def _batch(self, stream: Stream[Any], origin: str) -> int:
        """After a failure one commit at a time, so that what it does not like stands alone."""
        return 1 if (stream.name, origin) in self._failing else stream.batch

    # Handing over.

    async def _hand_over(self, place: Place, told: Told) -> bool:
        async def work() -> None:
            for change in told.changes:
                await place.stream.handler(change)

        return await self._attempt([place], [told.end], work, told.dots)

    async def _begin_again(self, place: Place) -> bool:
        """Walk over the base from its start; what was made of the rows told already goes, where that can be done."""
        if place.stream.reset_handler is None:
            return await self._hand_over(place, Told(self._first(place.origin)))
        places = await self._places(place.stream, region_of(place.origin))
        return await self._attempt(
            places, self._firsts(places), lambda: _reset(place.stream, region_of(place.origin)), ()
        )

    async def _attempt(
        self, places: Sequence[Place], ends: Sequence[Position], work: Callable[[], Awaitable[Any]], dots: Sequence[Dot]
    ) -> bool:
        try:
            result = await self._commit(places, ends, work, dots)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is tried again later
            for place in places:
                alone = len(dots) <= 1 or self._batch(place.stream, place.origin) == 1
                self._failed(place.name, error, alone=alone)
            return False
        return isinstance(result, Committed | Conflict)  # a lost race is run again, a lost right is not

    async def _commit(
        self, places: Sequence[Place], ends: Sequence[Position], work: Callable[[], Awaitable[Any]], dots: Sequence[Dot]
    ) -> Result:
        """Move the stream on from its places to others, in one commit with what `work` writes."""
        stream, epoch = places[0].stream, self._ends.authority.epoch
        deadline = self._ends.clock.monotonic() + stream.timeout_s
        unit = self._ends.new_unit(_route(stream), Frame(self._ends.unit_id(), deadline=deadline))
        await self._handle(stream, work, unit)
        batch = unit.batch("regional", None, epoch, keep_writes=True)
        batch.reads = {**batch.reads, **{place.key: place.version for place in places}}
        batch.writes += [Write(*place.key, _encode(end), "home") for place, end in zip(places, ends, strict=True)]
        batch.places = (*batch.places, places[0].home)
        batch.dots = [*batch.dots, *dots]
        result = await self._ends.store.commit(batch)
        if isinstance(result, Committed):
            unit.after_commit()
            for place, end in zip(places, ends, strict=True):
                self._failing.pop(place.name, None)
                self._idle.pop(place.name, None)
                self._noted[place.name] = end
                self._noted_at[place.name] = self._ends.clock.monotonic()
        return result

    async def _handle(self, stream: Stream[Any], work: Callable[[], Awaitable[Any]], unit: Unit) -> None:
        token = CURRENT.set(unit)
        try:
            async with asyncio.timeout(stream.timeout_s):
                await work()
        except TimeoutError:
            raise DeadlineExceeded(f"stream {stream.name} took longer than {stream.timeout_s:g} s") from None
        finally:
            CURRENT.reset(token)

    def _failed(self, name: tuple[str, str], error: Exception, *, alone: bool = True) -> None:
        now, before = self._ends.clock.monotonic(), self._failing.get(name)
        attempts, since = (before.attempts + 1, before.since) if before else (1, now)
        pause_s = min(BACKOFF_MAX_S, BACKOFF_S * 2**attempts) * (0.5 + self._ends.entropy.random() / 2)
        said = code_of(error)
        self._failing[name] = Failing(attempts, said, since, now + pause_s, alone)
        told = traceback_of(error)
        self._ends.telemetry.emit(StreamFailed(*name, attempts, said, round(pause_s, 3), told))

    # What people ask for.

    def named(self, name: str) -> Stream[Any]:
        """The stream of this name.

        Raises:
            NotFound: there is none.
        """
        for stream in self._streams:
            if stream.name == name:
                return stream
        raise NotFound(f"there is no stream {name!r}; there are {', '.join(self.names)}")

    async def rebuild(self, name: str) -> list[str]:
        """Start over with every region for which this one acts: reset and beginning are one commit for each.

        Raises:
            NotFound: there is no such stream.
            Unprocessable: it has no reset handler, or that raised.
            Unavailable: the right to act for a region was lost, or the stream's own commits won every race.
        """
        stream = self.named(name)
        if stream.reset_handler is None:
            raise Unprocessable(f"stream {name} has no reset handler, so everything would be told twice")
        regions = sorted({self._ends.region, *map(region_of, self._ends.store.cursors())})
        mine = [region for region in regions if self._ends.may(Home(name, region))]
        for region in mine:
            await self._start_over(stream, region)
        return mine

    async def _start_over(self, stream: Stream[Any], region: str) -> None:
        for _ in range(RACES_MAX):
            places = await self._places(stream, region)
            if not places:
                return  # the region has made no change yet
            try:
                result = await self._commit(places, self._firsts(places), lambda: _reset(stream, region), ())
            except ProaError:
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                raise Unprocessable(f"the reset handler of stream {stream.name} raised {said}") from error
            if isinstance(result, Committed):
                return
            if not isinstance(result, Conflict):
                break
        raise Unavailable(f"stream {stream.name} was not started over for {region}; try again")

    async def skip(self, name: str, origin: str, position: int, walking: str) -> list[str]:
        """Pass over what the handler fails on, or what cannot be read, after the place named; the keys of the rows.

        A commit that cannot be read itself stands for the keys that it may have had.

        Raises:
            NotFound: there is no such stream.
            Unprocessable: nothing fails there, or no longer at that place.
            Unavailable: it was not this region's to do, or somebody else was faster.
        """
        stream = self.named(name)
        place = await self._place(stream, origin)
        at = self._status(place.name, place.position, 0)
        if not at.failing or (at.position, at.walking) != (position, walking):
            raise Unprocessable(f"stream {name} fails at no change of {origin} after {position} {walking}".rstrip())
        told = await self._next(place, BlindReader(stream))
        if told is None or not told.changes:
            raise Unprocessable(f"stream {name} has no change of {origin} to skip")
        if not isinstance(await self._commit([place], [told.end], _nothing, ()), Committed):
            raise Unavailable(f"the change of {origin} was not skipped by stream {name}; look again")
        return [change.key for change in told.changes]

    async def _places(self, stream: Stream[Any], region: str) -> list[Place]:
        """Where the stream stands with every origin of a region."""
        return [
            await self._place(stream, one) for one in sorted(self._ends.store.cursors()) if region_of(one) == region
        ]

    def _firsts(self, places: Sequence[Place]) -> list[Position]:
        return [self._first(place.origin) for place in places]


def _home(name: tuple[str, str]) -> Home:
    """Whose it is to go on with a stream's origin: the origin's region, while that holds the right to write."""
    stream, origin = name
    return Home(stream, region_of(origin))


async def _nothing() -> None:
    """Take no notice of a change."""


async def _reset(stream: Stream[Any], region: str) -> None:
    """Clear what the stream made of a region's changes."""
    assert stream.reset_handler
    await stream.reset_handler(region)


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
