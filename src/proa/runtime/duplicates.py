"""Doubled effects are handed to the author: each once, in one region, until the author's handler has committed.

A pair belongs to the region of its later unit, whose effect is the one too many, or to that region's stand-in: the mark
that says *handled* is a row of mode `home` that names that region. The handler runs as a unit of its own; its rows and
the mark are one commit, and the mark must not have been there. So a crash in between changes nothing, a repeat finds
the mark, and so does every other region once the commit has reached it. Two regions never write the mark of one pair
under rights that overlap, and who takes over has first applied what the other did; what a lost region still commits
later is parked with the mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from proa.bell import Bell
from proa.core.dedupe import HANDLED, Outcome, Pair, began_at
from proa.core.home import Place
from proa.core.replicate.journal import Write
from proa.declare.context import CURRENT
from proa.declare.duplicates import Duplicate, Finished
from proa.declare.handlers import Route
from proa.errors import DeadlineExceeded, StoreCorrupt, StoreFull, code_of
from proa.ports import Committed, Conflict, Fenced
from proa.runtime.errands import Ends
from proa.runtime.events import DuplicateDamaged, DuplicateHandled, DuplicateNotHandled, traceback_of
from proa.runtime.unit import Frame, Unit

LOOK_EVERY_S = 1.0
"""How often pairs that wait are looked at; where none waits, nothing is."""
IDLE_S = 3600.0
BACKOFF_S = 0.25
BACKOFF_MAX_S = 60.0
RACES_MAX = 8
_encode = msgspec.msgpack.Encoder().encode


class Failing(msgspec.Struct):
    """A pair whose handler failed: how often, why last, and when it runs again (on the monotonic clock)."""

    attempts: int
    error: str
    again_at: float


class DuplicateHandlers:
    """Runs the `on_duplicate` handlers of one region's share of the pairs."""

    def __init__(self, routes: Mapping[str, Route], ends: Ends) -> None:
        self._routes = routes
        self._ends = ends
        self._failing: dict[str, Failing] = {}
        self._told: set[str] = set()
        self.waiting = 0
        """How many pairs wait for a handler, here or in another region."""
        self._news = Bell()
        self._task: asyncio.Task[None] | None = None

    @property
    def failing(self) -> int:
        """How many pairs wait for the next run of a handler that failed."""
        return len(self._failing)

    def start(self) -> None:
        """Begin to look; where no route has a handler there is nothing to do."""
        if self._routes and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task:
            self._task.cancel()

    def look(self) -> None:
        """A pair was found."""
        self.waiting += 1
        self._news.ring()

    async def _run(self) -> None:
        while True:
            try:
                await self._round()
            except (StoreCorrupt, StoreFull):
                self.waiting = max(self.waiting, 1)  # what cannot be read now may have been mended by the next look
            await self._news.wait(LOOK_EVERY_S if self.waiting else IDLE_S)

    async def _round(self) -> None:
        """Look at every pair once."""
        pairs = await self._ends.store.duplicates()
        self._tell([pair for pair in pairs if pair.damaged and not pair.handled])
        waiting = list(filter(self._waits, pairs))
        for pair in filter(self._due, waiting):
            await self._handle(pair)
        waiting = [pair for pair in await self._ends.store.duplicates() if self._waits(pair)]
        units = {pair.other.unit for pair in waiting}
        self._failing = {unit: failing for unit, failing in self._failing.items() if unit in units}
        self.waiting = len(waiting)

    def _tell(self, damaged: Sequence[Pair]) -> None:
        """Say once of each pair that it can be handed to nobody any more."""
        for other in (pair.other for pair in damaged if pair.other.unit not in self._told):
            self._told.add(other.unit)
            self._ends.telemetry.emit(DuplicateDamaged(other.scope, other.key, other.unit))

    def _waits(self, pair: Pair) -> bool:
        """Whether the pair is to be handled, by whomever; a later unit that failed had no effect."""
        open_ = not (pair.handled or pair.damaged)
        return open_ and pair.other.scope in self._routes and pair.other.status < 400

    def _due(self, pair: Pair) -> bool:
        """Whether to deal with the pair here and now; where this region may not hold an answer, another one has to."""
        failing = self._failing.get(pair.other.unit)
        if pair.kept.is_sealed or pair.other.is_sealed or (failing and failing.again_at > self._ends.clock.monotonic()):
            return False
        return self._ends.may(place_of(pair))

    # One pair.

    async def _handle(self, pair: Pair) -> None:
        unit, route = pair.other.unit, self._routes[pair.other.scope]
        try:
            committed = await self._attempt_all(pair, route)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is tried again later
            self._failed(pair, error)
            return
        if committed:
            self._failing.pop(unit, None)
            self._ends.telemetry.emit(DuplicateHandled(route.scope, pair.kept.unit, unit, committed))

    async def _attempt_all(self, pair: Pair, route: Route) -> str:
        """Run until a run is committed; its unit, or nothing where it is not for this region to do (any more)."""
        for race in range(RACES_MAX):
            if race:
                await self._ends.clock.sleep(BACKOFF_S / 100 * 2**race * self._ends.entropy.random())
            unit = self._ends.unit_id()
            match await self._attempt(pair, route, unit):
                case Committed():
                    return unit
                case Conflict(key) if tuple(key) != (HANDLED, pair.other.unit):
                    continue
                case _:
                    return ""
        raise DeadlineExceeded(f"lost {RACES_MAX} races for its rows")

    async def _attempt(self, pair: Pair, route: Route, name: str) -> Committed | Conflict | Fenced | None:
        deadline, first = self._ends.clock.monotonic() + route.timeout_s, f"duplicate {pair.other.unit}"
        unit = self._ends.new_unit(route, Frame(name, deadline=deadline, first=first, ground=place_of(pair)))
        epoch = self._ends.authority.epoch
        await self._run_handler(route, duplicate_of(pair), unit)
        batch = unit.batch("regional", None, epoch, keep_writes=True)
        batch.reads = {**batch.reads, (HANDLED, pair.other.unit): 0}
        batch.writes.append(Write(HANDLED, pair.other.unit, _encode(name), "home"))
        batch.places = (*batch.places, place_of(pair))
        result = await self._ends.store.commit(batch)
        if isinstance(result, Committed):
            unit.after_commit()
        return result if isinstance(result, Committed | Conflict | Fenced) else None

    async def _run_handler(self, route: Route, duplicate: Duplicate, unit: Unit) -> None:
        assert route.on_duplicate
        token = CURRENT.set(unit)
        try:
            async with asyncio.timeout(route.timeout_s):
                await route.on_duplicate(duplicate, unit)
        except TimeoutError:
            raise DeadlineExceeded(f"on_duplicate of {route.scope} took longer than {route.timeout_s:g} s") from None
        finally:
            CURRENT.reset(token)

    def _failed(self, pair: Pair, error: Exception) -> None:
        unit = pair.other.unit
        attempts = self._failing[unit].attempts + 1 if unit in self._failing else 1
        pause_s = min(BACKOFF_MAX_S, BACKOFF_S * 2**attempts) * (0.5 + self._ends.entropy.random() / 2)
        said = code_of(error)
        self._failing[unit] = Failing(attempts, said, self._ends.clock.monotonic() + pause_s)
        told = traceback_of(error)
        self._ends.telemetry.emit(DuplicateNotHandled(pair.other.scope, unit, attempts, said, round(pause_s, 3), told))


def place_of(pair: Pair) -> Place:
    """Whose the pair is: the region of its later unit, while that holds the right to write."""
    return Place(pair.other.unit, pair.other.region)


def duplicate_of(pair: Pair) -> Duplicate:
    """A listed pair as its author is shown it."""
    kept, other = pair.kept, pair.other
    return Duplicate(
        route=kept.scope,
        key=kept.key,
        kept=_finished(kept),
        other=_finished(other),
        same_payload=kept.fingerprint == other.fingerprint,
        found_at=pair.at,
    )


def _finished(outcome: Outcome) -> Finished:
    return Finished(
        unit=outcome.unit,
        region=outcome.region,
        at=began_at(outcome.unit),
        status=outcome.status,
        headers=outcome.headers,
        body=outcome.body,
    )
