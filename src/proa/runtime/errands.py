"""Errands: runs of the author's code that no client asked for, each a unit under the right to act for a place.

Consumers, schedules and sagas differ in what they run and in which rows say that it is done. What they share is here:
an errand takes the epoch before the handler runs, and asks the store to commit what the handler wrote together with
those rows, only if this region still acts for the place under that epoch. A unit that commits in the global store
records there, under the errand's key, that it is finished; a repeat finds that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.core.home import Place
from proa.core.replicate.journal import Key, Write
from proa.declare.context import CURRENT
from proa.declare.handlers import Route
from proa.errors import DeadlineExceeded, of_code
from proa.ports import Batch, Clock, Committed, Entropy, Fenced, Found, RegionStore, Result, Telemetry
from proa.runtime.authority import Authority
from proa.runtime.eager import Limit, within
from proa.runtime.unit import Frame, Unit

GLOBAL_OUTCOME_KEPT_S = 30 * 24 * 3600.0
"""How long the global store remembers that an errand is finished; nobody repeats one that was left for longer."""
RACES_MAX = 8
"""So often an errand is run whose commit others were faster than."""
BACKOFF_S = 0.002
NewUnit = Callable[[Route, Frame], Unit]


class Ends(msgspec.Struct, frozen=True):
    """What errands are run with in a region."""

    region: str
    store: RegionStore
    authority: Authority
    clock: Clock
    entropy: Entropy
    telemetry: Telemetry
    new_unit: NewUnit
    unit_id: Callable[[], str]
    commit_globally: Callable[[Batch], Awaitable[Result]]
    recorded: Callable[[str, str], Awaitable[Outcome | None]]

    def may(self, place: Place) -> bool:
        """Whether this region acts for a place at this moment."""
        return self.authority.may_write_home(place)

    async def back_off(self, races: int, base_s: float = BACKOFF_S) -> None:
        """Wait before the next try of a commit that lost so many races; not before the first one."""
        if races:
            await self.clock.sleep(base_s * 2**races * self.entropy.random())

    async def commit(
        self, place: Place, reads: Mapping[Key, int], writes: Sequence[Write], epoch: int | None = None
    ) -> Result:
        """Commit rows of Proa's own, without the author's code."""
        batch = Batch(self.unit_id(), dict(reads), list(writes), places=(place,))
        batch.epoch = self.authority.epoch if epoch is None else epoch
        return await self.store.commit(batch)

    async def write(self, writes: Sequence[Write]) -> None:
        """Commit rows of Proa's own that any region may write.

        Raises:
            ProaError: the region may commit nothing at the moment.
        """
        raise_fenced(await self.store.commit(Batch(self.unit_id(), {}, list(writes))))


def raise_fenced(result: Result) -> None:
    """Raise the error that a fence answered with, if one did."""
    if isinstance(result, Fenced):
        raise of_code(result.code, result.detail)


class Errand:
    """One run. `key` says of two runs whether they are the same errand."""

    __slots__ = ("_ends", "_epoch", "_key", "_limit", "_limit_s", "_place", "unit")

    def __init__(self, ends: Ends, route: Route, place: Place, key: str, limit_s: float, trace: str = "") -> None:
        self._ends = ends
        self._place = place
        self._key = key
        self._epoch = ends.authority.epoch
        self._limit = Limit()
        self._limit_s = limit_s
        deadline = ends.clock.monotonic() + limit_s
        frame = Frame(ends.unit_id(), trace, key, deadline=deadline, authority=ends.authority, ground=place)
        self.unit = ends.new_unit(route, frame)

    def heartbeat(self, for_s: float | None) -> None:
        """The run may last so long from now on; as long as its limit was in the first place if None."""
        seconds = for_s or self._limit_s
        self.unit.deadline = self._ends.clock.monotonic() + seconds
        self._limit.move(seconds)

    async def run(self, work: Callable[[], Coroutine[Any, Any, Any]], overdue: str) -> Any:
        """Run the author's code as this errand's unit, within its time.

        Raises:
            DeadlineExceeded: that was over, as `overdue` says. A TimeoutError of the code itself passes.
            Elsewhere: it came to a row whose home is another region, whatever it made of being told so.
        """
        token = CURRENT.set(self.unit)
        try:
            result = await within(self.unit.remaining_s, work(), self._limit)
            self.unit.stay()
        except BaseExceptionGroup:  # a task group tells in its own way what ended one of its tasks
            self.unit.stay()
            raise
        except TimeoutError:
            if not self._limit.over:
                raise
            raise DeadlineExceeded(overdue) from None
        else:
            return result
        finally:
            CURRENT.reset(token)

    async def finished(self) -> bytes | None:
        """What an earlier run came to that finished this errand in the global store; None where none did."""
        route = self.unit.route
        if route is None or route.unit != "global":
            return None
        outcome = await self._ends.recorded(route.scope, self._key)
        return outcome.body if outcome else None

    async def commit(self, reads: Mapping[Key, int], writes: Sequence[Write], body: bytes = b"") -> Result:
        """Commit what the code wrote, with rows that say that the errand is done, where they still are as `reads` says.

        What went to the global store is durable there before those rows are written, with what the run came to as
        `body`. Found is an earlier run that came to something else.
        """
        if self.unit.store == "global":
            result = await self._commit_in_both(reads, writes, body)
        else:
            result = await self._ends.store.commit(self._batch(reads, writes))
        if isinstance(result, Committed):
            self.unit.after_commit()
        return result

    def _batch(self, reads: Mapping[Key, int], writes: Sequence[Write]) -> Batch:
        batch = self.unit.batch("regional", None, self._epoch, keep_writes=True)
        batch.reads = {**batch.reads, **reads}
        batch.writes += writes
        batch.places = (*batch.places, self._place)
        return batch

    async def _commit_in_both(self, reads: Mapping[Key, int], writes: Sequence[Write], body: bytes) -> Result:
        result = await self._commit_globally(body)
        if not isinstance(result, Committed | Found) or (isinstance(result, Found) and result.outcome.body != body):
            return result
        return await self._ends.commit(self._place, reads, writes, self._epoch)

    async def _commit_globally(self, body: bytes) -> Result:
        unit, route = self.unit, self.unit.route
        assert route
        expires_at = self._ends.clock.now() + GLOBAL_OUTCOME_KEPT_S
        outcome = Outcome(route.scope, self._key, b"", 200, [], body, unit.unit, self._ends.region, expires_at)
        return await self._ends.commit_globally(unit.batch("global", outcome, self._epoch, keep_writes=True))
