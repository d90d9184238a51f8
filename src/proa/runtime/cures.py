"""What a region does about rows of its own that are known to differ from a peer's, the mildest cure first.

1. `journal`: the row is made anew of the region's own journal. That heals a row which was changed or lost on the disk.
2. `commits`: where that does not help, journals disagree. Every region's copy of the commits concerned is compared, the
   one that most regions have is put in place of the others, and the row is made anew.
3. `rows`: where the journal does not have the commits any more, the other regions' rows are merged.

Nothing is ever taken from beyond the region's own cursors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeVar, get_args

import msgspec

from proa.app import App
from proa.bell import breathe
from proa.core.replicate.journal import Commit, Dot, Key, Row, Write, commit_of
from proa.core.replicate.records import ConflictRecord
from proa.core.replicate.repair import Fix, Held, as_write, content, dots, elected, taken
from proa.core.replicate.stamp import Versions, covers
from proa.core.residency import may_hold
from proa.errors import LinkDown, LinkRefused, LinkTimeout, NotResident, RegionJoining
from proa.ports import Clock, Link, RegionStore

T = TypeVar("T")
Copies = list[tuple[Dot, bytes]]
"""Journal entries by the dots of their commits."""
Cure = Literal["journal", "commits", "rows"]
CURES: tuple[Cure, ...] = get_args(Cure)
TIMEOUT_S = 10.0
AWAY = (LinkDown, LinkTimeout, LinkRefused, RegionJoining, NotResident)
_encode = msgspec.msgpack.Encoder().encode


class Rows(msgspec.Struct, frozen=True, array_like=True):
    """Which rows a region is asked for, and the commits of which the asker wants to know whether they are set aside."""

    keys: list[Key]
    dots: list[Dot]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Which cure a region is asked to try on its rows, and what the right rows must have seen at least."""

    cure: Cure
    keys: list[Key]
    least: list[Versions]


class Exchange:
    """Calls of one peer, and how many bytes they took."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.name = name
        self.bytes = 0

    async def ask(self, method: str, payload: Any, kind: type[T]) -> T:
        asked = _encode(payload)
        reply = await self._link.call(self.name, method, asked, timeout_s=TIMEOUT_S)
        self.bytes += len(asked) + len(reply)
        await breathe()
        return msgspec.msgpack.decode(reply, type=kind)


class Cures:
    """Mends the rows of one region."""

    def __init__(self, app: App, region: str, store: RegionStore, link: Link, clock: Clock) -> None:
        self._region = region
        self._peers = [name for name in app.regions if name != region]
        self._store = store
        self._link = link
        self._clock = clock
        self._schemas = app.schemas(strong=False)
        self._merges = app.merges()

    async def cure(self, asked: Asked) -> int:
        """Cure this region's rows; how many were changed."""
        match asked.cure:
            case "journal":
                return await self._from_journal(asked.keys, asked.least)
            case "commits":
                return await self._from_commits(asked.keys)
            case _:
                return await self._from_rows(asked.keys)

    async def _from_journal(self, keys: Sequence[Key], seen: Sequence[Versions] | None = None) -> int:
        """Make rows anew of the journal, where that has what the right row must have `seen` at least.

        A damaged journal would make an older row, on which units could go on.
        """
        repairs, at = self._store.repairs, self._clock.now()
        held = repairs.held(keys)
        made = await repairs.made(keys)
        fixes = [
            Fix(key, row.version if row else 0, made[key])
            for key, row in zip(keys, held.rows, strict=True)
            if key in made and content(row, at) != content(made[key], at)
        ]
        if seen is not None:
            wanted = dict(zip(keys, seen, strict=True))
            fixes = [fix for fix in fixes if fix.row and covers(fix.row.versions, wanted[fix.key])]
        return await repairs.fix(fixes) if fixes else 0

    async def _from_commits(self, keys: Sequence[Key]) -> int:
        """Let the regions vote on the commits that these rows are made of, and make them anew."""
        repairs = self._store.repairs
        before = repairs.held(keys).rows
        others = await self._others(keys, "repair.rows", Rows(list(keys), []), Held)
        wanted = dots([*before, *(row for held in others.values() for row in held.rows)])
        copies = await self._others(keys, "repair.commits", wanted, Copies)
        own = await repairs.entries(wanted)
        better = self._voted(keys, own, {region: dict(found) for region, found in copies.items()})
        if better:
            await repairs.replace_entries(better)
        complete = [key for key, row in zip(keys, before, strict=True) if all(dot in own for dot in dots([row]))]
        changed = await self._from_journal(complete)
        if better:
            await self._note(before, repairs.held(keys).rows)
        return changed

    def _voted(
        self, keys: Sequence[Key], own: Mapping[Dot, bytes], copies: Mapping[str, Mapping[Dot, bytes]]
    ) -> dict[Dot, bytes]:
        """The other regions' copies of commits that are to replace this region's."""
        better: dict[Dot, bytes] = {}
        for dot in own:
            commits = {region: commit_of(found.get(dot), dot) for region, found in copies.items()}
            commits[self._region] = commit_of(own[dot], dot)
            for key in keys:
                writes = {region: _write(commit, key) for region, commit in commits.items()}
                winner = elected(writes, self._readable)
                if winner and writes[winner] != writes[self._region]:
                    better[dot] = copies[winner][dot]
        return better

    def _readable(self, write: Write) -> bool:
        """Whether the row's table can read it."""
        schema = self._schemas.get(write.table)
        try:
            if schema and write.value is not None:
                schema.entries(write.key, write.value)
        except ValueError:
            return False
        return True

    async def _note(self, before: Sequence[Row | None], after: Sequence[Row | None]) -> None:
        """Keep what was there before a vote: only a person can say whether most regions were right."""
        now, pairs = self._clock.now(), zip(before, after, strict=True)
        records = [ConflictRecord(now, "diverged", ours, kept) for ours, kept in pairs if ours and kept]
        await self._store.note([record for record in records if record.ours.value != record.theirs.value])

    async def _from_rows(self, keys: Sequence[Key]) -> int:
        """Merge other regions' rows, where the journal has not all the commits that they are made of any more.

        Where regions have versions that saw the same and differ all the same, they vote.
        """
        repairs = self._store.repairs
        others = await self._others(keys, "repair.rows", Rows(list(keys), []), Held)
        before, fixes = repairs.held(keys), list[Fix]()
        for at, (key, ours) in enumerate(zip(keys, before.rows, strict=True)):
            theirs = {region: held.rows[at] for region, held in others.items()}
            untold = {region: row for region, row in theirs.items() if row and await self._untold(row)}
            if kept := self._better(key, ours, untold, before.durable):
                fixes.append(Fix(key, ours.version if ours else 0, kept, based=True))
        changed = await repairs.fix(fixes) if fixes else 0
        await self._note(before.rows, repairs.held(keys).rows)
        return changed

    def _better(self, key: Key, ours: Row | None, theirs: Mapping[str, Row], durable: Versions) -> Row | None:
        """The row to take the place of this region's; None where that stays."""
        equals = {region: row for region, row in theirs.items() if ours and row.versions == ours.versions}
        writes = {region: as_write(row) for region, row in (equals | {self._region: ours}).items()}
        winner = elected(writes, self._readable) if equals else None
        if winner and winner != self._region:
            return equals[winner]
        policy = self._merges.get(key[0])
        newer = (taken(policy, ours, row, durable) for row in theirs.values())
        return next((row for row in newer if row), None)

    async def _untold(self, row: Row) -> bool:
        """Whether the journal lacks a commit that a row is made of, so that it cannot say what to make of it.

        A row that shows what is set aside here is one that its region has yet to take back.
        """
        repairs, wanted = self._store.repairs, dots([row])
        return len(await repairs.entries(wanted)) < len(wanted) and not repairs.held([], wanted).parked

    async def _others(self, keys: Sequence[Key], method: str, payload: Any, kind: type[T]) -> dict[str, T]:
        """The answers of the peers that may hold these rows, and answer."""
        answers: dict[str, T] = {}
        parts = {part for part, _ in keys}
        for peer in self._peers:
            if not all(may_hold(peer, part) for part in parts):
                continue
            with suppress(*AWAY):
                answers[peer] = await Exchange(self._link, peer).ask(method, payload, kind)
        return answers


def _write(commit: Commit | None, key: Key) -> Write | None:
    return next((write for write in commit.writes if (write.table, write.key) == key), None) if commit else None
