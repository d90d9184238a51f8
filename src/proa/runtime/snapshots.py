"""Snapshots: what this region read from the global store lately, kept for reads that need not be of this moment.

Reads at level `bounded` of `strong` tables come here. What is kept was current at some moment after its question left,
so its age is counted from there. What is missing or too old is read through, once for all who wait for the same. Nobody
tells a region that a row has changed: age is the only rule, and it holds also while the global store is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from proa.core.replicate.journal import Key, Row
from proa.errors import StaleRead, Unavailable
from proa.ports import Clock, GlobalStore, Span

BYTES_MAX = 16 * 1024 * 1024
OVERHEAD_BYTES = 256
"""About what an answer, and each row in it, costs besides the rows' values."""

Question = Key | Span


class Snapshot(msgspec.Struct, frozen=True):
    """One answer: current at some moment after `asked_at` (monotonic), as of `revision` of the global store."""

    asked_at: float
    revision: int
    rows: tuple[Row | None, ...]

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return OVERHEAD_BYTES + sum(OVERHEAD_BYTES + len(row.value or b"") for row in self.rows if row)


Answers = dict[Question, Snapshot]


class Snapshots:
    """The read-through cache of one region; the answers used longest ago are dropped first."""

    def __init__(self, store: GlobalStore, clock: Clock, bytes_max: int = BYTES_MAX) -> None:
        self._store = store
        self._clock = clock
        self._bytes_max = bytes_max
        self._kept: Answers = {}
        self._flights: dict[Question, tuple[float, asyncio.Future[Answers]]] = {}
        self.bytes = 0

    async def read(self, keys: Sequence[Key], within_s: float, revision: int = 0) -> list[Snapshot]:
        """Each row as it was at some moment within so many seconds, at `revision` or later.

        Raises:
            StaleRead: what is kept is older, and the global store does not answer.
        """
        return await self._answers(keys, within_s, revision)

    async def query(self, span: Span, within_s: float, revision: int = 0) -> Snapshot:
        """The same of a stretch of a table."""
        return (await self._answers([msgspec.structs.replace(span, now=0.0)], within_s, revision))[0]

    async def _answers(self, questions: Sequence[Question], within_s: float, revision: int) -> list[Snapshot]:
        since = self._clock.monotonic() - within_s
        found = {each: kept for each in questions if (kept := self._serving(each, since, revision))}
        missing = [each for each in questions if each not in found]
        if missing:
            try:
                found |= await self._through(missing, since, revision)
            except Unavailable as error:
                raise StaleRead(self._told(missing[0], within_s, error)) from error
        return [found[each] for each in questions]

    def _serving(self, question: Question, since: float, revision: int) -> Snapshot | None:
        """What is kept, if it will do; it counts as used."""
        kept = self._kept.get(question)
        if kept is None or kept.asked_at < since or kept.revision < revision or not self._whole(question, kept):
            return None
        self._kept[question] = self._kept.pop(question)
        return kept

    def _whole(self, question: Question, kept: Snapshot) -> bool:
        """A page of which a row has expired since would end too early."""
        if not isinstance(question, Span):
            return True
        now = self._clock.now()
        return all(row and row.alive(now) for row in kept.rows)

    # Reading through.

    async def _through(self, questions: Sequence[Question], since: float, revision: int) -> Answers:
        """The answers to these questions: somebody else's who asked lately, or else those of one call."""
        found: Answers = {}
        for each in questions:
            asked_at, flight = self._flights.get(each, (since, None))
            if flight is not None and asked_at >= since:
                answer = (await asyncio.shield(flight))[each]
                if answer.revision >= revision:
                    found[each] = answer
        left = [each for each in questions if each not in found]
        return found | (await asyncio.shield(self._begin(left)) if left else {})

    def _begin(self, questions: Sequence[Question]) -> asyncio.Future[Answers]:
        """Ask the global store; others may wait for the answer too, so it comes whoever gives up."""
        asked_at = self._clock.monotonic()
        flight = asyncio.ensure_future(self._ask(questions, asked_at))
        self._flights |= dict.fromkeys(questions, (asked_at, flight))
        flight.add_done_callback(lambda _: self._landed(questions, flight))
        return flight

    def _landed(self, questions: Sequence[Question], flight: asyncio.Future[Answers]) -> None:
        for each in questions:
            if self._flights.get(each, (0.0, None))[1] is flight:
                del self._flights[each]
        if not flight.cancelled():
            flight.exception()  # whoever asked may be gone: then nobody is to hear of it

    async def _ask(self, questions: Sequence[Question], asked_at: float) -> Answers:
        spans = [each for each in questions if isinstance(each, Span)]
        keys = [each for each in questions if not isinstance(each, Span)]
        if spans:
            view = await self._store.view([], msgspec.structs.replace(spans[0], now=self._clock.now()))
            return {spans[0]: self._keep(spans[0], Snapshot(asked_at, view.revision, tuple(view.rows)))}
        view = await self._store.view(keys)
        return {
            key: self._keep(key, Snapshot(asked_at, view.revision, (row,)))
            for key, row in zip(keys, view.rows, strict=True)
        }

    def _keep(self, question: Question, answer: Snapshot) -> Snapshot:
        """Keep what is newer, and make room."""
        known = self._kept.pop(question, None)
        if known:
            self.bytes -= known.size
            if known.revision > answer.revision:  # it was read after this one had been asked
                answer = msgspec.structs.replace(known, asked_at=max(known.asked_at, answer.asked_at))
        self._kept[question] = answer
        self.bytes += answer.size
        while self.bytes > self._bytes_max:
            self.bytes -= self._kept.pop(next(iter(self._kept))).size
        return answer

    def _told(self, question: Question, within_s: float, error: Unavailable) -> str:
        """Why a read is refused: how old what it could have had is."""
        name = question.table if isinstance(question, Span) else f"{question[0]} {question[1]!r:.80}"
        kept = self._kept.get(question)
        age = f"{self._clock.monotonic() - kept.asked_at:.1f} s old" if kept else "not kept"
        return f"{name} is {age} here; the read allows {within_s:g} s ({error.detail})"
