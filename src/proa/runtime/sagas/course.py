"""The course of one saga: its row and journal as they are read, and the commits that carry it on.

Every commit rests on the version of the saga's row: of two runs that carry one saga on, one is stopped there. What was
found out on the way (a sleep is over, a signal came) is noted, and goes with the next commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proa.core.queue import LAST, Envelope, key_at, prefix
from proa.core.replicate.journal import Key, Row, Write
from proa.core.saga import SAGAS, SIGNALS, STEPS, Entry, Record, Wake, saga_key, step_key, step_of
from proa.declare.queues import PRIORITY, Queue
from proa.declare.sagas import DeclaredSaga
from proa.errors import Unavailable, of_code
from proa.ports import Committed, Conflict, Fenced, Result, Span
from proa.runtime.errands import Ends, Errand

STEPS_MAX = 10_000
decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_encode = msgspec.msgpack.Encoder().encode
NO_ENTRIES: Mapping[int, Entry] = {}


class Course:
    """One saga on its way. `fired` is the step whose timer rang."""

    def __init__(self, ends: Ends, saga: DeclaredSaga[Any, Any], record: Record, version: int) -> None:
        self.ends = ends
        self.saga = saga
        self.place = saga.queue.place(record.home)
        self.record = record
        self.entries: dict[int, Entry] = {}
        self.fired = -1
        self._version = version
        self._epoch = ends.authority.epoch
        self._noted: dict[int, Entry] = {}
        self._writes: list[Write] = []

    @property
    def key(self) -> Key:
        """Where the saga's row is."""
        return (SAGAS, saga_key(self.record.name, self.record.home, self.record.id))

    def now(self) -> float:
        """Seconds since 1970."""
        return self.ends.clock.now()

    # What there is.

    async def read(self) -> None:
        """Read the journal."""
        record = self.record
        start = prefix(record.name, record.home, record.id)
        rows = await self.ends.store.query(Span(STEPS, ("", start), ("", start + LAST), STEPS_MAX, self.now()))
        self.entries = {step_of(row.key): _decode_entry(row.value) for row in rows if row.value is not None}

    async def signals(self, name: str = "") -> list[tuple[str, bytes]]:
        """The signals that wait, of one name or of all, by key in the order in which they were sent."""
        record = self.record
        start = prefix(record.name, record.home, record.id, *([name] if name else []))
        span = Span(SIGNALS, ("", start), ("", start + "\x7f"), 1 if name else STEPS_MAX, self.now())
        gone = {write.key for write in self._writes}
        rows = await self.ends.store.query(msgspec.structs.replace(span, limit=span.limit + len(gone)))
        return [(row.key, row.value) for row in rows if row.value is not None and row.key not in gone]

    # Carrying it on.

    def note(self, number: int, entry: Entry, *writes: Write) -> None:
        """Let the next commit say this, too."""
        self.entries[number] = self._noted[number] = entry
        self._writes += writes

    @property
    def noted(self) -> bool:
        """Whether there is anything to say."""
        return bool(self._noted)

    def wake(self, wake: Wake, at: float | None = None) -> Write:
        """What wakes this saga, at a time."""
        return woken(self.ends, self.saga.queue, self.record.home, wake, at)

    async def commit(
        self,
        record: Record,
        entries: Mapping[int, Entry] = NO_ENTRIES,
        writes: Sequence[Write] = (),
        *,
        errand: Errand | None = None,
        value: bytes = b"",
        expires_at: float | None = None,
    ) -> Result:
        """Carry the saga on, in one commit with what an errand's unit wrote, whose result is `value`.

        Raises:
            Unavailable: another run carried it on, or this region may not.
        """
        changed = {**self._noted, **entries}
        record = msgspec.structs.replace(record, steps=max(record.steps, *(number + 1 for number in changed), 0))
        all_writes = [
            Write(*self.key, _encode(record), "home", expires_at),
            *(self._entry(number, entry, expires_at) for number, entry in changed.items()),
            *self._writes,
            *writes,
        ]
        reads = {self.key: self._version}
        if errand:
            result = await errand.commit(reads, all_writes, value)
        else:
            result = await self.ends.commit(self.place, reads, all_writes, self._epoch)
        match result:
            case Committed():
                await self._committed(record, changed)
            case Fenced(code, detail):
                raise of_code(code, detail)
            case Conflict(key) if tuple(key) == self.key:
                raise Unavailable(f"saga {record.name} {record.id} was carried on by another run")
            case _:
                pass
        return result

    async def _committed(self, record: Record, changed: Mapping[int, Entry]) -> None:
        self.record = record
        self.entries.update(changed)
        self._noted, self._writes = {}, []
        (row,) = await self.ends.store.read([self.key])
        self._version = row.version if row else 0

    def _entry(self, number: int, entry: Entry | None, expires_at: float | None) -> Write:
        record = self.record
        key = step_key(record.name, record.home, record.id, number)
        return Write(STEPS, key, None if entry is None else _encode(entry), "home", expires_at)

    def dropped(self, numbers: Sequence[int]) -> list[Write]:
        """What takes entries out of the journal."""
        return [self._entry(number, None, None) for number in numbers]


def record_of(row: Row | None, now: float) -> tuple[Record | None, int]:
    """The saga that a row holds, and the row's version."""
    if row is None:
        return None, 0
    return (decode_record(row.value) if row.value is not None and row.alive(now) else None), row.version


def woken(ends: Ends, queue: Queue[Wake], home: str, wake: Wake, at: float | None = None) -> Write:
    """A message of Proa's own that wakes a saga, at a time."""
    now, id_ = ends.clock.now(), ends.unit_id()
    key = key_at(queue.name, home, PRIORITY, now if at is None else at, id_)
    return Write(queue.table, key, _encode(Envelope(id_, queue.encoded(wake), now, id_)))
