"""Anti-entropy between regions: compare what two of them hold, and mend what is damaged.

One region asks, a stretch of a table at a time, while units go on on both sides; the other answers from its own store.
Only rows that differ although both sides have applied all that either has seen are looked into, and cured on both sides
(`cures`).

A background round compares every pair of regions slowly. What it finds it mends, and an event tells of it: damage that
was found has a cause, and a person should look for it. An entry of the journal that cannot be read is fetched from
whichever peer has it, as soon as it is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from proa.app import App
from proa.core.replicate.journal import Dot, Key, Row, commit_of
from proa.core.replicate.repair import Difference, Held, Stretch, Sum, difference, dots, judge, least, suspects
from proa.core.replicate.stamp import Versions
from proa.core.residency import may_hold, table_of, whole
from proa.declare.keys import NEXT
from proa.errors import NotResident, StoreFull
from proa.ports import Clock, Link, Method, RegionStore, Telemetry
from proa.runtime.cures import AWAY, CURES, Asked, Copies, Cures, Exchange, Rows
from proa.runtime.events import EntryMended, EntryTorn, RowsDiverged, TablesCompared

T = TypeVar("T")
COARSE, FINE = 512, 32
"""Rows of a stretch: what one digest stands for at first, and where the two sides differ."""
TURN = 32
"""Stretches that are compared in one call."""
PAUSE_S = 0.25
"""Between two calls of a background round."""
KEYS_MAX = 32
MEND_EVERY_S = 5.0
"""How often peers are asked for a damaged entry of the journal that none of them has given so far."""
_encode = msgspec.msgpack.Encoder().encode


class Found(msgspec.Struct, frozen=True):
    """One row that differs: in what way the asking region's is another, both rows, and what came of mending it."""

    key: Key
    what: Difference
    ours: Row | None
    theirs: Row | None
    mended: bool = False


class _Case(msgspec.Struct, frozen=True):
    """A row that differs, and what the right one must have seen at least."""

    found: Found
    least: Versions


class Compared(msgspec.Struct):
    """What came of comparing: rows looked at, bytes exchanged, what differs, and where to go on (None: at the end)."""

    rows: int = 0
    exchanged: int = 0
    found: list[Found] = []
    next: str | None = None


class Repairer:
    """Compares one region with its peers, and answers theirs."""

    def __init__(
        self, app: App, region: str, store: RegionStore, link: Link, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._region = region
        self._peers = [name for name in app.regions if name != region]
        self._parts = app.kept()
        self._every_s = app.repair_every_s
        self._store = store
        self._link = link
        self._clock = clock
        self._telemetry = telemetry
        self._cures = Cures(app, region, store, link, clock)
        self._task: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None

    # The background round.

    def start(self) -> None:
        """Begin the rounds. Of each pair the region whose name sorts first asks."""
        if self._store.damaged:
            self._mending = asyncio.get_running_loop().create_task(self._mend_found())
        if self._every_s and any(self._region < peer for peer in self._peers):
            self._task = asyncio.get_running_loop().create_task(self._rounds())

    def stop(self) -> None:
        for task in (self._task, self._mending):
            if task:
                task.cancel()

    async def _rounds(self) -> None:
        while True:
            await self._clock.sleep(self._every_s)
            for peer in self._peers:
                if self._region < peer:
                    await self.round(peer)

    async def round(self, peer: str) -> Compared:
        """Compare all rows with a peer's, and mend them; as far as it came where the peer cannot be asked."""
        began, total = self._clock.monotonic(), Compared()
        try:
            for part in self._parts:
                if self._both_hold(peer, part):
                    await self._whole(peer, part, total)
        except (*AWAY, StoreFull):
            return total
        mended = sum(found.mended for found in total.found)
        took_s = self._clock.monotonic() - began
        self._telemetry.emit(TablesCompared(peer, total.rows, total.exchanged, len(total.found), mended, took_s))
        return total

    def _both_hold(self, peer: str, part: str) -> bool:
        """Whether both regions may hold the rows of a part of a table, so that it can be compared."""
        return may_hold(self._region, part) and may_hold(peer, part)

    async def _whole(self, peer: str, table: str, total: Compared) -> None:
        """Compare a whole table, and mend it."""
        start: str | None = ""
        while start is not None:
            part = await self.compare(peer, table, start, mend=True)
            total.rows += part.rows
            total.exchanged += part.exchanged
            total.found += part.found
            start = part.next
            await self._clock.sleep(PAUSE_S if start is not None else 0.0)

    # Entries of the journal.

    def mend(self, dot: Dot) -> None:
        """An entry of the journal is damaged: say so, and put a peer's copy in its place as soon as one is given."""
        self._telemetry.emit(EntryTorn(*dot))
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._mend_entries())

    async def _mend_found(self) -> None:
        """Mend what was found damaged before anybody could be told."""
        for dot in await self._store.repairs.torn():
            self._telemetry.emit(EntryTorn(*dot))
        await self._mend_entries()

    async def _mend_entries(self) -> None:
        while torn := await self._store.repairs.torn():
            for dot in torn:
                await self._mend_entry(dot)
            if await self._store.repairs.torn():
                await self._clock.sleep(MEND_EVERY_S)

    async def _mend_entry(self, dot: Dot) -> None:
        for peer in self._peers:
            with suppress(*AWAY, StoreFull):
                copies = await Exchange(self._link, peer).ask("repair.commits", [dot], Copies)
                if sound := [copy for copy in copies if copy[0] == dot and commit_of(copy[1], dot)]:
                    await self._store.repairs.replace_entries(dict(sound))
                    self._telemetry.emit(EntryMended(*dot, peer))
                    return

    # Comparing.

    async def compare(self, peer: str, table: str, start: str = "", *, mend: bool) -> Compared:
        """Compare the next stretches of a table from `start` on with a peer's, and mend what differs if asked to.

        Raises:
            LinkDown, LinkTimeout, LinkRefused: the peer cannot be asked.
        """
        if not self._both_hold(peer, table):
            raise NotResident(f"{self._region} and {peer} may not both hold the rows of {table_of(table)}")
        exchange = Exchange(self._link, peer)
        stretches, sums = await self._stretches(table, start)
        keys: list[str] = []
        for stretch in await self._differing(exchange, stretches, sums):
            for fine in await self._differing(exchange, *await self._cut(stretch)):
                keys += await self._suspects(exchange, fine)
        at = stretches[0].at
        asked = [(table, key) for key in keys]
        cases = [one for some in _chunks(asked) for one in await self._judged(exchange, some, at)]
        found = await self._mend(exchange, cases, at) if cases and mend else [one.found for one in cases]
        rows = sum(one.count for one in sums)
        return Compared(rows, exchange.bytes, found, stretches[-1].end)

    async def _stretches(self, table: str, start: str) -> tuple[list[Stretch], list[Sum]]:
        """The next stretches of a table as they are here, the last one open where the table ends."""
        at = self._clock.now()
        stretches: list[Stretch] = []
        sums: list[Sum] = []
        while len(stretches) < TURN:
            stretch = Stretch(table, start, None, at, COARSE)
            (own,) = await self._store.repairs.sums([stretch])
            whole = own.count < COARSE
            stretches.append(stretch if whole else msgspec.structs.replace(stretch, end=_after(own.last)))
            sums.append(own)
            if whole:
                break
            start = _after(own.last)
        # The other side may have more rows in between; it looks at one more, so that it cannot seem to be the same.
        return [msgspec.structs.replace(stretch, limit=COARSE + 1) for stretch in stretches], sums

    async def _cut(self, stretch: Stretch) -> tuple[list[Stretch], list[Sum]]:
        """A stretch in finer ones, by the rows that are here."""
        keys = sorted(await self._store.repairs.heads(stretch))[FINE::FINE]
        starts: list[str] = [stretch.start, *keys]
        ends: list[str | None] = [*keys, stretch.end]
        fine = [
            msgspec.structs.replace(stretch, start=start, end=end, limit=FINE + 1)
            for start, end in zip(starts, ends, strict=True)
        ]
        return fine, await self._store.repairs.sums(fine)

    async def _differing(self, peer: Exchange, stretches: Sequence[Stretch], sums: Sequence[Sum]) -> list[Stretch]:
        theirs = await peer.ask("repair.sums", list(stretches), list[bytes])
        return [one for one, own, other in zip(stretches, sums, theirs, strict=True) if own.digest != other]

    async def _suspects(self, peer: Exchange, stretch: Stretch) -> list[str]:
        """The keys of a stretch whose rows differ at this moment, a page of the other side's rows at a time."""
        found: list[str] = []
        start: str | None = stretch.start
        while start is not None:
            page = msgspec.structs.replace(stretch, start=start, limit=COARSE)
            theirs = await peer.ask("repair.heads", page, dict[str, bytes])
            start = _after(max(theirs)) if len(theirs) == COARSE else None
            end = stretch.end if start is None else start
            ours = await self._store.repairs.heads(msgspec.structs.replace(page, end=end, limit=-1))
            found += suspects(ours, theirs)
        return found

    async def _judged(self, peer: Exchange, keys: Sequence[Key], at: float) -> list[_Case]:
        """Those of some rows that differ, and are not in motion."""
        repairs = self._store.repairs
        before = repairs.held(keys).rows
        there = await peer.ask("repair.rows", Rows(list(keys), dots(before)), Held)
        here = repairs.held(keys, dots(there.rows))
        return [
            _Case(Found(key, difference(ours, theirs, at), ours, theirs), least(ours, theirs, here, there))
            for key, was, ours, theirs in zip(keys, before, here.rows, there.rows, strict=True)
            if was == ours and judge(ours, theirs, here, there, at) == "different"
        ]

    # Mending.

    async def _mend(self, peer: Exchange, cases: list[_Case], at: float) -> list[Found]:
        """Cure both sides until the rows are the same; those that resist are left as they are, and told of."""
        left = cases
        for cure in CURES:
            for some in _chunks(left):
                asked = Asked(cure, [one.found.key for one in some], [one.least for one in some])
                await self._cures.cure(asked)
                await peer.ask("repair.cure", asked, int)
            left = [one for some in _chunks(left) for one in await self._judged(peer, _keys(some), at)]
            if not left:
                break
        resisting = set(_keys(left))
        found = [one.found for one in cases]
        table, count = found[0].key[0], len(found)
        names = sorted(key for _, key in resisting)
        self._telemetry.emit(RowsDiverged(peer.name, table, count, count - len(resisting), names))
        return [msgspec.structs.replace(one, mended=one.key not in resisting) for one in found]

    # Answering: the one place where rows leave for a peer.

    def methods(self) -> dict[str, Method]:
        """The link methods that this region serves to its peers."""
        return {
            "repair.sums": self._serve(list[Stretch], self._sums),
            "repair.heads": self._serve(Stretch, self._heads),
            "repair.rows": self._serve(Rows, self._rows),
            "repair.commits": self._serve(list[Dot], self._commits),
            "repair.cure": self._serve(Asked, self._cured),
            "repair.look": self._serve(list[Dot], self._look),
        }

    def _serve(self, kind: Any, answer: Callable[[str, Any], Any]) -> Method:
        decode = msgspec.msgpack.Decoder(kind).decode

        async def served(caller: str, payload: Any) -> bytes:
            return _encode(await answer(caller, decode(payload)))

        return served

    def _check(self, caller: str, parts: Iterable[str]) -> None:
        """Raise NotResident where a caller asks for rows that it may not hold."""
        for part in parts:
            if not may_hold(caller, part):
                raise NotResident(f"{caller} may not hold the rows of {table_of(part)}")

    async def _sums(self, caller: str, stretches: list[Stretch]) -> list[bytes]:
        self._check(caller, (one.table for one in stretches))
        return [one.digest for one in await self._store.repairs.sums(stretches)]

    async def _heads(self, caller: str, stretch: Stretch) -> dict[str, bytes]:
        self._check(caller, [stretch.table])
        return await self._store.repairs.heads(stretch)

    async def _rows(self, caller: str, asked: Rows) -> Held:
        self._check(caller, (part for part, _ in asked.keys))
        return self._store.repairs.held(asked.keys, asked.dots)

    async def _commits(self, caller: str, wanted: list[Dot]) -> Copies:
        """Those of these commits that are sound and whole here, as they may go to the caller."""
        found = await self._store.repairs.entries(wanted)
        sound = {dot: entry for dot, entry in found.items() if commit_of(entry, dot)}
        return [(dot, passed) for dot, entry in sound.items() for passed in whole([entry], caller)]

    async def _look(self, _caller: str, asked: list[Dot]) -> int:
        """A peer could not read one of these entries: how many are damaged here, which are mended from now on."""
        return len(await self._store.repairs.torn(asked))

    async def _cured(self, _caller: str, asked: Asked) -> int:
        return await asyncio.get_running_loop().create_task(self._cures.cure(asked))


def _after(key: str) -> str:
    """The first text after a key."""
    return key + NEXT


def _keys(cases: Sequence[_Case]) -> list[Key]:
    return [one.found.key for one in cases]


def _chunks(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + KEYS_MAX] for at in range(0, len(items), KEYS_MAX)]
