"""Levels in one region: for a table and a level, what rows are read through.

Each way to read has the reading half of a store's shape, so a unit reads through it as it would from the store:

| mode | default | `strong` | `bounded(s)` |
|---|---|---|---|
| `any` | own store | refused: nobody decides alone | own store, once vouched for |
| `home` | own store | own store, in the row's home, to which the request is handed on | own store, once vouched for |
| `active` | own store | own store, if the lease lasts | the same, or once vouched for |
| `strong` | global store | global store | snapshots of it |

Within a session each way also notes what was seen. A plain read of a plain request does not come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from proa.core.home import Place
from proa.core.replicate.journal import Key, Row
from proa.declare.homes import place_of
from proa.declare.levels import Level
from proa.declare.tables import BaseTable
from proa.errors import DeclarationError, NotActive, NotHome
from proa.ports import Clock, GlobalStore, RegionStore, Span
from proa.runtime.authority import Authority
from proa.runtime.freshness import Freshness
from proa.runtime.session import Session, Sessions
from proa.runtime.snapshots import Snapshots

WAIT_SHARE = 0.4
"""How much of a unit's remaining time a read may wait for news: the edge may then still ask another region."""


class Source(Protocol):
    """The reading half of a store."""

    async def read(self, keys: Sequence[Key]) -> list[Row | None]: ...
    async def query(self, span: Span) -> list[Row]: ...


class Reading(Protocol):
    """What a level asks of the unit that reads."""

    @property
    def session(self) -> Session | None: ...
    def remaining_s(self) -> float: ...
    def attend(self, place: Place, authority: Authority) -> None: ...


class Levels:
    """How rows are read in one region."""

    def __init__(
        self,
        stores: tuple[RegionStore, GlobalStore],
        authority: Authority,
        freshness: Freshness,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._regional, self._global = stores
        self._authority = authority
        self._freshness = freshness
        self.sessions = sessions
        self._clock = clock
        self.snapshots = Snapshots(self._global, clock)

    def source(self, table: BaseTable[Any], level: Level | None, unit: Reading) -> Source:
        """What a unit reads a table's rows through.

        Raises:
            DeclarationError: rows of this mode cannot be read so.
        """
        name = level.name if level else "default"
        within_s = level.within_s if level else 0.0
        match table.mode, name:
            case "strong", "default" | "strong":
                return _Global(self._global, unit.session)
            case "strong", "bounded":
                return _Kept(self.snapshots, within_s, unit.session)
            case "active", "strong":
                return _Held(_Own(self._regional, unit.session), self._authority)
            case "home", "strong":
                return _AtHome(_Own(self._regional, unit.session), self._authority, table, unit)
            case _, "bounded":
                own = _Own(self._regional, unit.session)
                return _Fresh(own, self, table.mode, within_s, unit)
            case _, "default":
                return _Own(self._regional, unit.session)
            case _:
                raise DeclarationError(_refused(table))

    async def reach(self, mode: str, within_s: float, remaining_s: float) -> None:
        """Wait until what counts is here; see `Freshness.reach`. The holder of the right has all of it."""
        if mode != "active" or not self._authority.may_write_active():
            until = self._clock.monotonic() + WAIT_SHARE * remaining_s
            await self._freshness.reach(mode, within_s, until)


def _refused(table: BaseTable[Any]) -> str:
    return (
        f"table {table.name} has mode `{table.mode}`: every region writes it, so no read of it can be strong; "
        "use bounded(seconds), a session, or a table of mode `strong`"
    )


class _Own:
    """The region's own store."""

    def __init__(self, store: RegionStore, session: Session | None) -> None:
        self._store = store
        self._session = session

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        rows = await self._store.read(keys)
        if self._session:
            self._session.saw(rows)
        return rows

    async def query(self, span: Span) -> list[Row]:
        rows = await self._store.query(span)
        if self._session:
            self._session.saw_all(self._store.cursors())
        return rows


class _Fresh:
    """The region's own store, once everything of a moment is in it."""

    def __init__(self, own: Source, levels: Levels, mode: str, within_s: float, unit: Reading) -> None:
        self._own = own
        self._levels = levels
        self._mode = mode
        self._within_s = within_s
        self._unit = unit

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        await self._reach()
        return await self._own.read(keys)

    async def query(self, span: Span) -> list[Row]:
        await self._reach()
        return await self._own.query(span)

    async def _reach(self) -> None:
        await self._levels.reach(self._mode, self._within_s, self._unit.remaining_s())


class _Held:
    """The region's own store, as long as nobody else may write: the lease is looked at after the read."""

    def __init__(self, own: Source, authority: Authority) -> None:
        self._own = own
        self._authority = authority

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        rows = await self._own.read(keys)
        self._require()
        return rows

    async def query(self, span: Span) -> list[Row]:
        rows = await self._own.query(span)
        self._require()
        return rows

    def _require(self) -> None:
        if not self._authority.may_write_active():
            raise NotActive(f"a strong read needs the active region, and this one is {self._authority.role}")


class _AtHome:
    """The region's own store, for rows whose home it acts as; the unit ends here where that is another region."""

    def __init__(self, own: Source, authority: Authority, table: BaseTable[Any], unit: Reading) -> None:
        self._own = own
        self._authority = authority
        self._table = table
        self._unit = unit

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        """As for `_Held`, the right is looked at after the read."""
        rows = await self._own.read(keys)
        found = {key: row.value for (_, key), row in zip(keys, rows, strict=True) if row}
        for key in dict.fromkeys(key for _, key in keys):
            self._unit.attend(self._place(key, found.get(key)), self._authority)
        return rows

    async def query(self, span: Span) -> list[Row]:
        raise DeclarationError(
            f"table {span.table} has mode `home`: its rows have several homes; query bounded(seconds)"
        )

    def _place(self, key: str, value: bytes | None) -> Place:
        if value is None and self._table.home:
            raise NotHome(
                f"no row {key!r} of {self._table.name} is here, and nothing but the row's {self._table.home} names its "
                "home; bounded(0) shows whether any region has it"
            )
        return place_of(self._table, key, value)


class _Global:
    """The global store; within a session its revisions count too."""

    def __init__(self, store: GlobalStore, session: Session | None) -> None:
        self._store = store
        self._session = session

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        rows = await self._store.read(keys)
        if self._session:
            self._session.saw_strong(rows)
        return rows

    async def query(self, span: Span) -> list[Row]:
        if self._session is None:
            return await self._store.query(span)
        view = await self._store.view([], span)
        self._session.saw_revision(view.revision)
        return [row for row in view.rows if row]


class _Kept:
    """Snapshots of the global store, no older than the level and the session allow."""

    def __init__(self, snapshots: Snapshots, within_s: float, session: Session | None) -> None:
        self._snapshots = snapshots
        self._within_s = within_s
        self._session = session

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        found = await self._snapshots.read(keys, self._within_s, self._revision)
        rows = [each.rows[0] for each in found]
        if self._session:
            self._session.saw_strong(rows)
        return rows

    async def query(self, span: Span) -> list[Row]:
        found = await self._snapshots.query(span, self._within_s, self._revision)
        if self._session:
            self._session.saw_revision(found.revision)
        return [row for row in found.rows if row]

    @property
    def _revision(self) -> int:
        return self._session.revision if self._session else 0
