"""Merging into a region's rows: another region's writes and outcomes, and rows made anew of their history.

What both sides wrote without knowing of each other is decided by the table's policy, and logged with both versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import NO_VERSIONS, Commit, Key, Row, incoming
from proa.core.replicate.records import ConflictRecord
from proa.core.replicate.resolve import LastWriter, Merge, order, resolve, verdict
from proa.core.replicate.stamp import Versions, covers
from proa.engines.sqlite import duplicates
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.inside import Inside
from proa.engines.sqlite.records import log_conflict
from proa.engines.sqlite.rows import claim_outcome, put_next_row, put_row, read_row
from proa.errors import StoreCorrupt


class Merging:
    """Merges into the rows and outcomes of one store, inside its writer's transactions."""

    def __init__(self, inside: Inside) -> None:
        self._in = inside
        self._raised: list[ConflictRecord] = []
        self._doubled: list[tuple[Outcome, Outcome]] = []

    def commit(self, commit: Commit, version: int) -> None:
        """Merge all that a commit of another region wrote, under a local version."""
        seen = commit.seen
        if not covers(seen, self._in.forgotten):
            self.rebuild((write.table, write.key) for write in commit.writes)
        else:
            for write in commit.writes:
                self._write(incoming(commit, write, version), seen)
        if commit.outcome:
            self.outcome(commit.outcome)

    def _write(self, theirs: Row, seen: Versions) -> None:
        """Merge a row of a commit; where what is here is damaged, the row is made anew of its whole history."""
        try:
            self.row(theirs, seen)
        except ValueError:
            self._in.tables.remake(theirs.table, theirs.key, None)
            self.rebuild([(theirs.table, theirs.key)])

    def row(self, theirs: Row, seen: Versions = NO_VERSIONS) -> None:
        """Merge a row with what is here; `seen` is what its writer knew of."""
        plain = len(theirs.versions) == 1 and theirs.table not in self._in.tables.indexed
        if plain and put_next_row(self._in.writer, theirs):
            return
        ours = read_row(self._in.writer, (theirs.table, theirs.key))
        policy = self._in.merges.get(theirs.table, LastWriter())
        kept, rule = resolve(policy, ours, theirs, seen)
        if rule == "older":
            return
        self._in.tables.move(kept.table, kept.key, kept.value)
        put_row(self._in.writer, msgspec.structs.replace(kept, version=theirs.version))
        if ours and rule == "concurrent":
            self._log_conflict(verdict(policy, kept), policy, ours, theirs)

    def _log_conflict(self, rule: str, policy: Merge, ours: Row, theirs: Row) -> None:
        record = ConflictRecord(self._in.clock.now(), rule, ours, theirs)
        log_conflict(self._in.writer, record)
        if rule != policy.name:
            self._raised.append(record)

    # Outcomes.

    def outcome(self, theirs: Outcome) -> None:
        """Two finished units under one key: all replicas keep the earlier one (unit ids sort by time) and list both."""
        writer, address, now = self._in.writer, self._in.address, self._in.clock.now()
        self._in.recent.add(theirs.scope, address(theirs.address))
        try:
            ours = claim_outcome(writer, theirs, now, address)
        except StoreCorrupt:
            duplicates.meet_damaged(writer, theirs, now, address)
            return
        if ours and ours.unit != theirs.unit:
            duplicates.list_pair(writer, ours, theirs, now, address)
            self._doubled.append((ours, theirs))
        elif ours and ours.is_sealed:
            duplicates.put_whole(writer, theirs, address)

    def forget_outcome(self, outcome: Outcome | None) -> None:
        """The unit that recorded it does not stand any more."""
        if outcome:
            duplicates.unlist(self._in.writer, outcome, self._in.address)

    # History.

    def rebuild(self, keys: Iterable[Key]) -> None:
        """Make rows what the base and the journal without its parked commits make of them, oldest write first."""
        version, keys = self._in.version(), set(keys)
        for key in keys:
            self._in.tables.move(*key, None)
            self._in.writer.execute(SQL["drop_row"], key)
        for row in self._in.base.rows(keys, version):
            self.row(row)
        for row, seen in sorted(self._history(keys, version), key=lambda written: order(written[0])):
            self.row(row, seen)

    def _history(self, keys: set[Key], version: int) -> Iterator[tuple[Row, Versions]]:
        for origin, seq, entry in self._in.writer.execute(SQL["all_entries"]):
            if (origin, seq) not in self._in.parked and seq > self._in.base.floor_of(origin):
                commit = self._in.entry(origin, seq, entry)
                for write in commit.writes:
                    if (write.table, write.key) in keys:
                        yield incoming(commit, write, version), commit.seen

    # The batch.

    def tell(self) -> None:
        """What the batch had to say of merges, now that it is durable."""
        listeners = self._in.listeners
        doubled, self._doubled = self._doubled, []
        for ours, theirs in doubled:
            if listeners.doubled:
                listeners.doubled(ours, theirs)
        raised, self._raised = self._raised, []
        for record in raised:
            if listeners.merge_raised:
                listeners.merge_raised(record)

    def lose(self) -> None:
        """The batch is lost."""
        self._raised, self._doubled = [], []
