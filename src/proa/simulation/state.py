"""The final state: what every store's file holds, read as another process would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from proa.app import App
from proa.core.audit import HEAD_KEY, Entry, Head
from proa.core.dedupe import HANDLED, Outcome
from proa.core.plan import Plan
from proa.core.queue import OUTBOX
from proa.core.replicate.journal import Commit, Key, Row
from proa.core.residency import completed, shown, table_of
from proa.core.roles import AUDIT, PLANS, ROLES, Assignment
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.rows import row_of
from proa.nodes.witness import STORE
from proa.runtime.composition.foundation import STORE_FILE
from proa.runtime.streams import POSITIONS
from proa.simulation.archive import Archive, kept_in
from proa.simulation.checkers.residency import marks
from proa.simulation.history import Control, Final, StoreState

_commit = msgspec.msgpack.Decoder(Commit).decode
_outcome = msgspec.msgpack.Decoder(Outcome).decode
_entry = msgspec.msgpack.Decoder(Entry).decode
_head = msgspec.msgpack.Decoder(Head).decode
_roles = msgspec.msgpack.Decoder(Assignment).decode
_plan = msgspec.msgpack.Decoder(Plan).decode


def final_of(app: App, folders: Mapping[str, Path], lost_at: Mapping[str, float], archive: Archive) -> Final:
    """Read all stores. `archive` is what disks that are gone had dropped from their journals."""
    regions: dict[str, StoreState] = {}
    for name in app.regions:
        with _opened(folders[name] / STORE_FILE) as connection:
            regions[name] = replace(_state(app, connection), residents=_residents(app, folders[name]))
        if regions[name].floors:
            archive = _joined(archive, kept_in(folders[name] / STORE_FILE))
    regions = {name: _with_dropped(name, state, archive) for name, state in regions.items()}
    with _opened(folders["witness"] / STORE) as connection:
        return Final(regions, _state(app, connection), frozenset(lost_at), dict(lost_at), _control(connection))


def _joined(one: Archive, other: Archive) -> Archive:
    """The commits of both; regions have copies of a commit that may lack different rows."""
    both = {dot: completed(one[dot], other[dot]) for dot in one.keys() & other.keys()}
    return {**one, **other, **both}


def _with_dropped(name: str, state: StoreState, archive: Archive) -> StoreState:
    """The state with all that its region has ever applied in its journal."""
    floors = state.floors
    dropped = {dot: shown(commit, name) for dot, commit in archive.items() if dot[1] <= floors.get(dot[0], 0)}
    return replace(state, journal={**dropped, **state.journal}) if dropped else state


def _residents(app: App, folder: Path) -> frozenset[str]:
    """The marks of resident rows among the bytes of a store's files, where the app declares a residency at all."""
    if not any(table.residency for table in app.tables.values()):
        return frozenset()
    return marks(b"\n".join(path.read_bytes() for path in sorted(folder.glob(f"{STORE_FILE}*"))))


def _opened(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


def _control(connection: sqlite3.Connection) -> Control:
    entries = dict(_values(connection, AUDIT))
    head = entries.pop(HEAD_KEY, None)
    plans = {key: _plan(value) for key, value in _values(connection, PLANS)}
    assignment = next((_roles(value) for _, value in _values(connection, ROLES)), None)
    cuts, roles = (assignment.cuts, assignment.roles) if assignment else ((), {})
    return Control([_entry(value) for value in entries.values()], _head(head) if head else Head(), plans, cuts, roles)


def _values(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, bytes]]:
    """The values of a table in the order of their keys."""
    for key, value, *_ in connection.execute(SQL["scan"], (table,)):
        yield key, value


def _state(app: App, connection: sqlite3.Connection) -> StoreState:
    rows = {
        (table, key): row_of(table, key, rest)
        for table in dict.fromkeys([*app.schemas(strong=True), *app.kept(), OUTBOX, POSITIONS])
        for key, *rest in connection.execute(SQL["scan"], (table,))
    }
    return StoreState(
        rows=rows,
        decoded=dict(_decoded(app, rows.values())),
        base={
            (table, key): row_of(table, key, rest)
            for table, key, *rest in connection.execute(SQL["base_after"], ("", ""))
        },
        floors={origin: seq for origin, seq, *_ in connection.execute(SQL["floors"])},
        cursors=dict(connection.execute(SQL["cursors"])),
        outcomes={(one.scope, one.address): one for one in _outcomes(connection)},
        parked=[_commit(row[4]) for row in connection.execute(SQL["parked"])],
        duplicates=[
            (_outcome(kept), _outcome(other)) for kept, other, *_ in connection.execute(SQL["duplicates"], (HANDLED,))
        ],
        journal={(origin, seq): _commit(entry) for origin, seq, entry in connection.execute(SQL["all_entries"])},
        indexed=frozenset(connection.execute(SQL["all_index_entries"])),
        gaps=frozenset(connection.execute(SQL["all_gaps"])),
    )


def _outcomes(connection: sqlite3.Connection) -> Iterator[Outcome]:
    """The records of finished keys, as far as the store may know them."""
    return (_outcome(record) for _, _, record in connection.execute(SQL["all_outcomes"]))


def _decoded(app: App, rows: Iterable[Row]) -> Iterator[tuple[Key, Any]]:
    """The living rows' values, but for those that are damaged still: their bytes show where regions are compared."""
    for row in rows:
        if row.value is not None and table_of(row.table) in app.tables:
            with suppress(ValueError):
                yield (row.table, row.key), app.table_of(row.table).decode(row.value)
