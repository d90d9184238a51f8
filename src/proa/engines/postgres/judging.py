"""What becomes of a group of batches: decided in memory, from what the database says of all that they touch.

It was read under the lock of the counters, so nothing of it changes before the group is written. One batch after
another is judged as if it were alone; the next one finds what the ones before it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.core.time import HybridClock, wall_of
from proa.engines.global_rows import global_row
from proa.errors import SchemaIncompatible
from proa.ports import Batch, Committed, Conflict, Fenced, Found, Result

Address = tuple[str, str]
"""Of an outcome: its scope and key."""


class Standing(msgspec.Struct, frozen=True):
    """What holds before the group: counters, the time, and of all that it names versions, answers and outcomes.

    `shapes` tells how the tables are declared, by whom declared them last, that it writes to and that have indexes.
    """

    revision: int
    stamp: int
    now: float
    versions: Mapping[Key, int]
    results: Mapping[str, Result]
    outcomes: Mapping[Address, Outcome]
    shapes: Mapping[str, str]


@dataclass(slots=True)
class Writes:
    """What the group leaves: the last state of each row, whether that is routine, outcomes, and answers by batch."""

    rows: dict[Key, Row] = field(default_factory=dict[Key, Row])
    routine: set[Key] = field(default_factory=set[Key])
    outcomes: dict[Address, Outcome] = field(default_factory=dict[Address, Outcome])
    results: dict[str, Committed] = field(default_factory=dict[str, Committed])

    @property
    def news(self) -> bool:
        """Whether there is something that may wake a watcher."""
        return any(table.startswith("~") and (table, key) not in self.routine for table, key in self.rows)


class Judge:
    """Judges one group; `writes` grows with each batch that commits. `shapes` are those of this process."""

    def __init__(self, standing: Standing, shapes: Mapping[str, str]) -> None:
        self.writes = Writes()
        self.revision = standing.revision
        self.stamps = HybridClock(standing.stamp)
        self._before = standing
        self._shapes = shapes

    def judge(self, batch: Batch) -> Result:
        """What the batch is answered."""
        if known := self.writes.results.get(batch.id) or self._before.results.get(batch.id):
            return known
        return self._obstacle(batch) or self._commit(batch)

    def _obstacle(self, batch: Batch) -> Conflict | Found | Fenced | None:
        for key, version in batch.reads.items():
            if self._version(key) != version:
                return Conflict(key)
        if batch.outcome and (found := self._outcome(batch.outcome)):
            return Found(found)
        return self._misfit(batch)

    def _version(self, key: Key) -> int:
        written = self.writes.rows.get(key)
        return written.version if written else self._before.versions.get(key, 0)

    def _outcome(self, wanted: Outcome) -> Outcome | None:
        """What is recorded under the key already and has not expired."""
        address = (wanted.scope, wanted.address)
        found = self.writes.outcomes.get(address) or self._before.outcomes.get(address)
        return found if found and found.expires_at > self._before.now else None

    def _misfit(self, batch: Batch) -> Fenced | None:
        """A process that declares an index otherwise than the store keeps it would leave rows that nobody finds."""
        for table in dict.fromkeys(write.table for write in batch.writes):
            if table in self._before.shapes and self._before.shapes[table] != self._shapes.get(table):
                detail = f"table {table} is declared otherwise by a process that started later; restart this one"
                return Fenced(SchemaIncompatible.code, detail)
        return None

    def _commit(self, batch: Batch) -> Committed:
        self.revision += 1
        stamp = self.stamps.tick(self._before.now)
        for write in batch.writes:
            key = (write.table, write.key)
            self.writes.rows[key] = global_row(*key, write.value, stamp, self.revision, write.expires_at)
            (self.writes.routine.add if batch.routine else self.writes.routine.discard)(key)
        if batch.outcome:
            self.writes.outcomes[batch.outcome.scope, batch.outcome.address] = batch.outcome
        result = Committed(self.revision, wall_of(stamp))
        if batch.id:
            self.writes.results[batch.id] = result
        return result


def keepable(batch: Batch) -> None:
    """Refuse what the database has no room for, before the rest of a group would suffer.

    Raises:
        ValueError: a zero character or half of a surrogate pair in a name or key.
    """
    named = [text for key in batch.reads for text in key] + [batch.id]
    named += [text for write in batch.writes for text in (write.table, write.key)]
    if batch.outcome:
        named += [batch.outcome.scope, batch.outcome.address]
    if any(b"\0" in text.encode() for text in named):
        raise ValueError("a name or key has a zero character in it")
