"""The final state: what every store's file holds, read as another process would."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from proa.app import App
from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.rows import row_of
from proa.nodes.witness import STORE
from proa.runtime.region import STORE_FILE
from proa.simulation.history import Final, StoreState

_commit = msgspec.msgpack.Decoder(Commit).decode
_outcome = msgspec.msgpack.Decoder(Outcome).decode


def final_of(app: App, folders: Mapping[str, Path], lost_at: Mapping[str, float]) -> Final:
    """Read all stores."""
    regions = {name: _read(app, folders[name] / STORE_FILE) for name in app.regions}
    return Final(regions, _read(app, folders["witness"] / STORE), frozenset(lost_at), dict(lost_at))


def _read(app: App, path: Path) -> StoreState:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return _state(app, connection)
    finally:
        connection.close()


def _state(app: App, connection: sqlite3.Connection) -> StoreState:
    rows = {
        (table, key): row_of(table, key, rest)
        for table in app.tables
        for key, *rest in connection.execute(SQL["scan"], (table,))
    }
    return StoreState(
        rows=rows,
        decoded={address: _value(app, row) for address, row in rows.items() if row.value is not None},
        cursors=dict(connection.execute(SQL["cursors"])),
        outcomes={
            (scope, key): _outcome(record)
            for scope, key, record in connection.execute("SELECT scope, key, record FROM outcomes")
        },
        parked=[_commit(row[4]) for row in connection.execute(SQL["parked"])],
        duplicates=[(_outcome(kept), _outcome(other)) for kept, other, _ in connection.execute(SQL["duplicates"])],
        journal={(origin, seq): _commit(entry) for origin, seq, entry in connection.execute(SQL["all_entries"])},
    )


def _value(app: App, row: Any) -> Any:
    return app.tables[row.table].decode(row.value)
